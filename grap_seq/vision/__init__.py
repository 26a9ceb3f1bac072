"""Self-supervised learning on images: All4One with learned weights, the paper's second domain."""

from grap_seq.vision.load import load

__all__ = ["load"]
