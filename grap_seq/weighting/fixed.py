"""Constant weights: given numbers, or the medians of an earlier run's trajectory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from grap_seq import seal
from grap_seq.weighting.base import Weighting
from grap_seq.weighting.rescale import equal_scale
from grap_seq.weighting.statistics import GradientStatistics


class Fixed(Weighting):
    """Constant weights.

    The composite is rescaled to the norm of the plain sum, as GraP's default is, so that a fixed
    run and a learned one differ in the weights alone.

    Args:
        names: the losses.
        weights: a number >= 0 for each of them, or the folder of an earlier run, for the medians
            of its weights over all logged steps ("GraP Tuned" in the paper's Tables 3 and 6).
        missing: weight of losses that `weights` leaves out; None: it has to name them all.

    Raises:
        ValueError: weights for other losses, negative or not finite ones, or only zeros.
            Or the earlier run's weights.parquet is damaged.
        FileNotFoundError: the earlier run has none.
    """

    def __init__(
        self,
        names: Sequence[str],
        weights: Mapping[str, float] | str | Path,
        *,
        missing: float | None = None,
    ) -> None:
        super().__init__(names)
        if isinstance(weights, (str, Path)):
            weights = medians(Path(weights))
        if missing is not None:
            weights = {**dict.fromkeys(names, missing), **weights}
        if set(weights) != set(names):
            raise ValueError(
                f"fixed weights are given for {sorted(weights)}, the losses are {sorted(names)}:"
                " give one weight for each loss"
            )
        values = torch.tensor([float(weights[name]) for name in self.names])
        if not values.isfinite().all() or values.min() < 0 or values.max() == 0:
            raise ValueError(
                f"fixed weights {dict(weights)}: they must be finite, at least 0 and not all 0"
            )
        self.weights.copy_(values)

    def coefficients(self, statistics: GradientStatistics | None) -> Tensor:
        del statistics
        return self.weights

    def scale(self, coefficients: Tensor, statistics: GradientStatistics) -> Tensor:
        gram = statistics.gram
        coefficients = coefficients.to(gram.dtype)
        return equal_scale(coefficients, torch.ones_like(coefficients), gram)


def medians(run: Path) -> dict[str, float]:
    """Median weight of every loss over the trajectory in a run folder's weights.parquet."""
    path = run / "weights.parquet"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: name the folder of a `grap-seq pretrain` run, or give a weight"
            " for each loss"
        )
    seal.check(run, path.name, "restore it from a copy, or give a weight for each loss")
    # Imported here: it takes longer than torch, and most weightings have no use for it.
    import pandas as pd

    weights = pd.read_parquet(path).filter(regex="^weight/").median()
    return {str(name).removeprefix("weight/"): float(value) for name, value in weights.items()}
