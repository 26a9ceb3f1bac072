"""Raw files from the network, or artificial ones."""
