"""Table 7: what training costs, and what a search over weights would."""

from __future__ import annotations

import pandas as pd

from grap_seq.experiments.write import Sheet, Text

# Runs of a search, as the paper supposes.
TRIALS = 50
NOTE = (
    f"Medians over runs. Ratios are to equal weights; `search` is the training time of {TRIALS}"
    " runs with equal weights in runs of the method. Times are wall times of this machine, with"
    " whatever else ran on it. Memory is the peak in training, in MiB:"
    " what PyTorch allocated on a GPU, or all that the process held on a CPU, libraries and all."
)


def costs(frame: pd.DataFrame) -> pd.DataFrame:
    """Steps a second, seconds an epoch and of training, and peak memory by method; ratios to equal.

    Args:
        frame: of `scores.raw`.

    Returns:
        A row for dataset, encoder and method; `search` is what `TRIALS` runs of equal weights take,
        in runs of this method.

    Raises:
        ValueError: a dataset and encoder without a finished run of equal weights.
    """
    done = frame[frame["state"] == "done"].copy()
    pairs = done[["dataset", "encoder"]].drop_duplicates()
    equal = done.loc[done["method"] == "equal", ["dataset", "encoder"]].drop_duplicates()
    if len(equal) < len(pairs):
        raise ValueError("table 7 compares with equal weights: leave equal in methods=")
    done["steps_per_second"] = done["training_steps"] / done["training_epoch_seconds"]
    done["epoch_seconds"] = done["training_epoch_seconds"] / done["training_epochs"]
    # Runs from before memory was measured have none.
    done["peak_memory_mib"] = done.get("training_peak_memory_mib", float("nan"))
    names = ["steps_per_second", "epoch_seconds", "training_seconds", "peak_memory_mib"]
    found = done.groupby(["dataset", "encoder", "method"], sort=False)[names].median()
    columns = found.reset_index()[["dataset", "encoder"]]
    base = found.xs("equal", level="method").reindex(pd.MultiIndex.from_frame(columns))
    for name in names:
        found[f"{name}_ratio"] = found[name].to_numpy() / base[name].to_numpy()
    search = TRIALS * base["training_seconds"].to_numpy() / found["training_seconds"].to_numpy()
    return found.assign(search=search).reset_index()


def cost_sheet(found: pd.DataFrame) -> Sheet:
    """`costs` for people."""
    shown = found.round(3).astype(str).replace("nan", "")
    rows = [[Text(text) for text in row] for row in shown.itertuples(index=False)]
    return Sheet(list(shown.columns), rows, NOTE)
