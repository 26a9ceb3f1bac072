"""Scores of cells, and what the losses weighed, as sheets."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd

from grap_seq.experiments.methods import METHODS
from grap_seq.experiments.scores import Cell
from grap_seq.experiments.write import Sheet, Text

NOTE = (
    "Test score of LightGBM on the embeddings, mean ± standard deviation over seeds (number of"
    " seeds). Bold: the best of a column, and what a paired t test over seeds cannot tell from it"
    " at 5 %; with fewer than two seeds only the highest. In brackets what the paper has. *: runs"
    " of several versions of the code or of its packages."
)
IMAGE_NOTE = (
    "Accuracy of a linear classifier on frozen features, on validation images, mean ± standard"
    " deviation over seeds (number of seeds). Bold: the best of a column, and what a paired t test"
    " over seeds cannot tell from it at 5 %; with fewer than two seeds only the highest. In"
    " brackets what the paper has, of the online classifier, after all epochs of the configs."
    " *: runs of several versions of the code or of its packages."
)
WEIGHTS = (
    "Median weight over a run of the losses that were scaled or are noise, and of the others,"
    " divided by the mean of all losses' medians: mean over seeds, and the lowest and highest."
)


def text_of(cell: Cell) -> str:
    """A score without its emphasis."""
    if not cell.scores:
        return f"failed ({len(cell.failed)})" if cell.failed else ""
    spread = f" ± {cell.std:.4f}" if len(cell.scores) > 1 else ""
    failed = f", {len(cell.failed)} failed" if cell.failed else ""
    paper = "" if cell.paper is None else f" [{cell.paper[0]:.4f} ± {cell.paper[1]:.4f}]"
    mixed = "*" if cell.mixed else ""
    return f"{cell.mean:.4f}{spread}{mixed} ({len(cell.scores)}{failed}){paper}"


def score_sheet(cells: Sequence[Cell], note: str = NOTE) -> Sheet:
    """A row a method, a column for every dataset and encoder."""
    columns = list(dict.fromkeys((cell.dataset, cell.encoder, cell.metric) for cell in cells))
    several = len({encoder for _, encoder, _ in columns}) > 1
    names = [
        f"{dataset}{f', {encoder}' if several else ''} ({metric})"
        for dataset, encoder, metric in columns
    ]
    known = {(cell.dataset, cell.encoder, cell.metric, cell.method): cell for cell in cells}
    rows = []
    for method in dict.fromkeys(cell.method for cell in cells):
        row = [Text(METHODS[method].title)]
        for column in columns:
            cell = known.get((*column, method))
            strong = cell is not None and (cell.best or cell.tied is True)
            row.append(Text("" if cell is None else text_of(cell), strong))
        rows.append(row)
    return Sheet(["method", *names], rows, note)


def weight_sheet(frame: pd.DataFrame, prefix: str) -> Sheet | None:
    """What the losses weighed whose names begin with `prefix`, and the others; None where no run
    has such losses.

    Args:
        frame: of `scores.raw`.
        prefix: "coles", or "noise".
    """
    rows = []
    groups = frame[frame["weights"].notna()].groupby(["dataset", "encoder", "method"], sort=False)
    for (dataset, encoder, method), part in groups:
        shares = [share for text in part["weights"] if (share := relative(text, prefix))]
        if shares:
            texts = [
                dataset,
                encoder,
                METHODS[str(method)].title,
                *map(spread, zip(*shares, strict=True)),
            ]
            rows.append([Text(str(text)) for text in texts])
    columns = ["dataset", "encoder", "method", prefix, "the others"]
    return Sheet(columns, rows, WEIGHTS) if rows else None


def spread(values: Sequence[float]) -> str:
    """Their mean, the lowest and the highest."""
    return f"{sum(values) / len(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def relative(weights: str, prefix: str) -> tuple[float, float] | None:
    """Means of the weights of some losses and of the others, by the mean of all.

    None where there are none of either, or all are zero.

    Args:
        weights: by loss, as JSON.
        prefix: of the names of the some.
    """
    known: dict[str, float] = json.loads(weights)
    some = [value for name, value in known.items() if name.startswith(prefix)]
    others = [value for name, value in known.items() if not name.startswith(prefix)]
    if not some or not others or not any(known.values()):
        return None
    mean = sum(known.values()) / len(known)
    return sum(some) / len(some) / mean, sum(others) / len(others) / mean


def numbers(cells: Sequence[Cell]) -> pd.DataFrame:
    """A row a cell."""
    return pd.DataFrame(
        [
            {
                "dataset": cell.dataset,
                "encoder": cell.encoder,
                "method": cell.method,
                "metric": cell.metric,
                "seeds": len(cell.scores),
                "mean": cell.mean,
                "std": cell.std,
                "best": cell.best,
                "tied": cell.tied,
                "failed": len(cell.failed),
                "mixed_versions": cell.mixed,
                "paper_mean": None if cell.paper is None else cell.paper[0],
                "paper_std": None if cell.paper is None else cell.paper[1],
            }
            for cell in cells
        ]
    )
