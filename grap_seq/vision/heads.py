"""Projector and predictor of All4One, and batch norms that take a pass without remembering it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def projector(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Features (B, inputs) to projections (B, outputs): three layers, each with a batch norm."""
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs),
        nn.BatchNorm1d(outputs),
    )


def predictor(width: int, hidden: int) -> nn.Sequential:
    """Projections (B, width) to guesses (B, width) of what the momentum branch makes of them."""
    return nn.Sequential(
        nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, width)
    )


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Within, a module's batch norms in training mode leave their running statistics alone.

    They normalise by the batch as ever. A head that several losses share runs once for each of
    them on the same batch, which is to count once.
    """
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    before = [norm.track_running_stats for norm in norms]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm, tracked in zip(norms, before, strict=True):
            norm.track_running_stats = tracked
