"""The commands as Python functions, and a scikit-learn transformer."""
