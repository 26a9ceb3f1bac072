"""Table 7: what training costs, and what a search over weights would."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from grap_seq.files import atomic_write

# Runs of a search, as the paper supposes.
TRIALS = 50


def costs(frame: pd.DataFrame) -> pd.DataFrame:
    """Steps a second, seconds an epoch and of training by method, and their ratio to equal weights.

    Args:
        frame: of `scores.raw`.

    Returns:
        A row for dataset, encoder and method; `search` is what `TRIALS` runs of equal weights take,
        in runs of this method.
    """
    done = frame[frame["state"] == "done"].copy()
    done["steps_per_second"] = done["training_steps"] / done["training_epoch_seconds"]
    done["epoch_seconds"] = done["training_epoch_seconds"] / done["training_epochs"]
    names = ["steps_per_second", "epoch_seconds", "training_seconds"]
    found = done.groupby(["dataset", "encoder", "method"], sort=False)[names].median()
    equal = found.xs("equal", level="method")
    columns = found.reset_index()[["dataset", "encoder"]]
    base = equal.reindex(pd.MultiIndex.from_frame(columns))
    for name in names:
        found[f"{name}_ratio"] = found[name].to_numpy() / base[name].to_numpy()
    search = TRIALS * base["training_seconds"].to_numpy() / found["training_seconds"].to_numpy()
    return found.assign(search=search).reset_index()


def cost_table(
    folder: Path, name: str, title: str, frame: pd.DataFrame, command: str
) -> list[Path]:
    """NAME.md, .csv and .html in a folder."""
    found = costs(frame)
    shown = found.round(3).astype(str)
    lines = [f"# {title}", "", f"`{command}`", "", f"| {' | '.join(shown.columns)} |"]
    lines.append("|" + "---|" * len(shown.columns))
    lines += [f"| {' | '.join(row)} |" for row in shown.itertuples(index=False)]
    note = (
        f"Medians over runs. Ratios are to equal weights; `search` is the training time of {TRIALS}"
        " runs with equal weights in runs of the method. Times are wall times of this machine, with"
        " whatever else ran on it."
    )
    content = {
        "md": "\n".join([*lines, "", note, ""]),
        "csv": found.to_csv(index=False),
        "html": f"<!doctype html><meta charset=utf-8><h1>{title}</h1>"
        f"{found.round(3).to_html(index=False)}<p>{note}\n",
    }
    paths = []
    for ending, text in content.items():
        paths.append(folder / f"{name}.{ending}")
        with atomic_write(paths[-1]) as temporary:
            temporary.write_text(text, "utf-8")
    return paths
