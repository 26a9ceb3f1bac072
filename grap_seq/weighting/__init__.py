"""Weights of a composite loss, learned or fixed, for any PyTorch model.

A weighting is one autograd node between the backbone and the heads. Its forward pass changes
nothing; its backward pass sees the gradient of every loss with respect to the embedding, sends
their weighted sum to the backbone, and hands the weights their own gradient. Training stays an
ordinary `total.backward(); optimizer.step()`.
"""

from grap_seq.weighting.auxiliary import Auxiliary
from grap_seq.weighting.base import Weighting
from grap_seq.weighting.dwa import DWA
from grap_seq.weighting.equal import Equal
from grap_seq.weighting.fixed import Fixed
from grap_seq.weighting.gradnorm import GradNorm
from grap_seq.weighting.gramian import GramianWeighting
from grap_seq.weighting.grap import GraP
from grap_seq.weighting.grap_published import GraPPublished
from grap_seq.weighting.head_bank import HeadBank
from grap_seq.weighting.mgda import MGDA
from grap_seq.weighting.pcgrad import PCGrad
from grap_seq.weighting.statistics import GradientStatistics
from grap_seq.weighting.supervised import Supervised
from grap_seq.weighting.torchjd_adapter import TorchJD

__all__ = [
    "DWA",
    "MGDA",
    "Auxiliary",
    "Equal",
    "Fixed",
    "GraP",
    "GraPPublished",
    "GradNorm",
    "GradientStatistics",
    "GramianWeighting",
    "HeadBank",
    "PCGrad",
    "Supervised",
    "TorchJD",
    "Weighting",
]
