"""Self-supervised learning on images: All4One with learned weights, the paper's second domain."""
