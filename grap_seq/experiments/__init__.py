"""The paper's experiments: grids of ordinary runs, and tables of their scores."""
