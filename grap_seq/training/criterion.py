"""By which score a run chooses the epoch whose weights it keeps."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from grap_seq.data.sequences import Sequences
from grap_seq.settings import AUTO

Criterion = Literal["probe", "loss", "last"]
CHOICES: dict[str, Criterion] = {"probe": "probe", "loss": "loss", "last": "last"}
# A probe's score of n labels has a standard error of about 0.5 / sqrt(n), 0.016 here; epochs differ
# by less, and the best of ten by chance alone is 1.5 standard errors above their mean.
FEW_LABELS = 1000


def criterion(select: str, train: Sequences, val: Sequences) -> Criterion:
    """What `select=auto` means for some data; any other choice is itself.

    The probe where validation has `FEW_LABELS` labels or more beside those of its largest class
    (of numbers all count), else the validation loss; without validation sequences the last epoch.
    """
    if select == AUTO:
        fitted, scored = train.examples().labels, val.examples().labels
        if rare(scored) >= FEW_LABELS and rare(fitted):
            return "probe"
        return "loss" if int((val.lengths >= 2).sum()) >= 2 else "last"
    return CHOICES[select]


def rare(labels: NDArray[Any]) -> int:
    """Number of labels that are not the most frequent one."""
    counts = np.unique(labels, return_counts=True)[1]
    return int(counts.sum() - counts.max(initial=0))
