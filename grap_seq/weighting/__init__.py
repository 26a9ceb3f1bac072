"""Weights of a composite loss, learned or fixed, for any PyTorch model.

A weighting is one autograd node between the backbone and the heads. Its forward pass changes
nothing; its backward pass sees the gradient of every loss with respect to the embedding, sends
their weighted sum to the backbone, and hands the weights their own gradient. Training stays an
ordinary `total.backward(); optimizer.step()`.
"""

from grap_seq.weighting.base import Weighting
from grap_seq.weighting.fixed import Equal, Fixed
from grap_seq.weighting.grap import GraP
from grap_seq.weighting.head_bank import HeadBank
from grap_seq.weighting.statistics import GradientStatistics

__all__ = ["Equal", "Fixed", "GraP", "GradientStatistics", "HeadBank", "Weighting"]
