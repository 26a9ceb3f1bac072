"""What a run came to: which epoch was kept and why, and whether more training would help."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

# A loss still falls where the last quarter of the epochs brought more than this share of its fall.
STILL_FALLING = 0.03
# By what an epoch is kept, and the column of metrics.csv that says so.
REASONS = {
    "probe": ("the best score of the validation probe", "val_probe"),
    "score": ("the best validation score of the head", "val_score"),
    "loss": ("the lowest validation loss", "val_loss"),
    "last": ("the last one", None),
}


def still_falling(losses: ArrayLike) -> bool | None:
    """Whether a validation loss was falling at the end; None for fewer than four values.

    It was where the last value is the lowest, and the last quarter of the values brought more than
    `STILL_FALLING` of the whole fall. A rate that decays to zero flattens the very last values, so
    a quarter is looked at.

    Args:
        losses: of epochs, shape (E,).
    """
    values = np.asarray(losses, float)
    if len(values) < 4:
        return None
    recent = values[-1 - len(values) // 4] - values[-1]
    return bool(values[-1] == values.min() and recent > STILL_FALLING * (values[0] - values[-1]))


def summarise(run: Path, by: str, epoch: int, planned: int) -> dict[str, Any]:
    """Facts of a finished run, for model.json.

    Args:
        run: its folder, with metrics.csv.
        by: what chose the epoch, one of `REASONS`.
        epoch: the kept one, from 0.
        planned: how many epochs were to be trained.

    Returns:
        `kept` epoch, counted from 1, and its last `step`; `trained` of `planned` epochs; `by` what
        it was chosen and its `score`, None for the last one; whether the validation loss was
        `still_falling`, None where nobody knows; and how many updates were `skipped`, of how many.
    """
    metrics = pd.read_csv(run / "metrics.csv")
    losses = metrics["val_loss"].dropna().to_numpy() if "val_loss" in metrics else np.zeros(0)
    kept, (_, column) = metrics[metrics["epoch"] == epoch], REASONS[by]
    return {
        "kept": epoch + 1,
        "step": int(kept["step"].item()),
        "trained": len(metrics),
        "planned": planned,
        "by": by,
        "score": float(kept[column].item()) if column else None,
        "still_falling": still_falling(losses),
        "skipped": int(metrics["skipped_updates"].sum()),
        "updates": int(metrics["step"].max()),
    }


def sentences(found: Mapping[str, Any]) -> list[str]:
    """A summary for a reader."""
    score = "" if found["score"] is None else f" ({found['score']:.4f})"
    trained, planned = found["trained"], found["planned"]
    said = [f"Epoch {found['kept']} of {trained} was kept: {REASONS[found['by']][0]}{score}."]
    if trained < planned:
        said.append(f"Training stopped after {trained} of {planned} epochs.")
    if found["skipped"]:
        said.append(
            f"{found['skipped']:,} of {found['updates']:,} updates were skipped: their losses or"
            " gradients were not finite."
        )
    if found["still_falling"]:
        longer = f"epochs={2 * trained}"
        said.append(f"The validation loss was still falling: try longer training, {longer}.")
    elif found["still_falling"] is not None:
        said.append("The validation loss was no longer falling.")
    return said
