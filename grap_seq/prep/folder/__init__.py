"""A prepared folder: its files, what they say, and whether they are right."""
