"""What methods did over their steps: validation losses, weights and cosines as bands over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from grap_seq.pages.bands import Band, band, windows
from grap_seq.pages.read import RunFiles, columns

# Stretches of a run that are averaged over: a cosine of one batch is mostly noise.
STRETCHES = {"weight": 20, "cosine": 8}
Runs = Mapping[str, Sequence[RunFiles]]
Panels = dict[str, dict[str, Band]]
Curves = dict[str, "pd.Series[float]"]
SCORE = "validation score (probe)"


def validation(runs: Runs) -> Panels:
    """The validation score where runs have one, then every validation loss, by epochs' last steps.

    Args:
        runs: of each method by title.
    """
    return _panels(runs, _validation)


def weights(runs: Runs) -> Panels:
    """Weight of every loss, of the methods that weigh losses; nothing where no weight moves."""
    panels = _panels(runs, lambda files: _trajectory(files, "weight"))
    bands = [band for of in panels.values() for band in of.values()]
    return panels if any(band.mean.min() < band.mean.max() for band in bands) else {}


def cosines(runs: Runs) -> Panels:
    """Cosine of every loss's gradient with the downstream one, where it was measured."""
    return _panels(runs, lambda files: _trajectory(files, "cosine"))


def _panels(runs: Runs, curves: Callable[[RunFiles], Curves]) -> Panels:
    found: Panels = {}
    for title, of in runs.items():
        read = [curves(files) for files in of]
        for name in dict.fromkeys(name for run in read for name in run):
            drawn = band([run[name] for run in read if name in run])
            if drawn is not None:
                found.setdefault(name, {})[title] = drawn
    return found


def _validation(files: RunFiles) -> Curves:
    if files.metrics is None:
        return {}
    metrics = files.metrics.set_index("step")
    found = {str(name): values for name, values in columns(metrics, "val_loss").items()}
    return {SCORE: metrics["val_probe"], **found} if "val_probe" in metrics else found


def _trajectory(files: RunFiles, kind: str) -> Curves:
    if files.weights is None or files.weights.empty:
        return {}
    values = columns(files.weights.set_index("step"), kind)
    # Without a label nothing was measured, and all are zero.
    if not values.any(axis=None):
        return {}
    return {str(name): windows(curve, STRETCHES[kind]) for name, curve in values.items()}
