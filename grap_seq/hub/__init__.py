"""Models on the Hugging Face hub: what travels, its card, and the way there and back."""
