"""What a dataset is: its description, a proposal for one, and the recipes."""
