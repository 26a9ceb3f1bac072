"""Curves of several seeds as one: their mean, and a band of a standard deviation around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Band:
    """Mean and sample standard deviation of curves at some steps, shape (N,) each.

    Attributes:
        std: zero for a single curve.
        curves: how many there were.
    """

    steps: Array
    mean: Array
    std: Array
    curves: int


def band(curves: Sequence[pd.Series[float]]) -> Band | None:
    """The band of curves, as far as all of them go; None where there is nothing to draw.

    Epochs end at other steps with other seeds, so curves are read off, on straight lines, at the
    steps of all.

    Args:
        curves: values by step; NaN where nothing was measured.
    """
    known = [curve.dropna() for curve in curves]
    known = [curve for curve in known if len(curve)]
    if not known:
        return None
    first = max(float(curve.index[0]) for curve in known)
    last = min(float(curve.index[-1]) for curve in known)
    steps = np.unique(np.concatenate([curve.index.to_numpy(float) for curve in known]))
    steps = steps[(steps >= first) & (steps <= last)]
    if not len(steps):
        return None
    values = np.array([np.interp(steps, curve.index, curve.to_numpy(float)) for curve in known])
    std = values.std(axis=0, ddof=1) if len(known) > 1 else np.zeros(len(steps))
    return Band(steps, values.mean(axis=0), std, len(known))


def windows(curve: pd.Series[float], count: int) -> pd.Series[float]:
    """Means of a noisy curve over so many stretches of equal length, each at its mean step."""
    if len(curve) <= count:
        return curve
    place = np.arange(len(curve)) * count // len(curve)
    means = curve.groupby(place).mean()
    means.index = pd.Index(pd.Series(curve.index.to_numpy(float)).groupby(place).mean())
    return means
