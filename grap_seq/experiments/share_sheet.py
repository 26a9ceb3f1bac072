"""How much of the encoder's gradient some losses are, as a sheet: what their weights do not say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from grap_seq.experiments.methods import METHODS
from grap_seq.experiments.runs import TRAINED
from grap_seq.experiments.score_sheet import spread
from grap_seq.experiments.write import Sheet, Text
from grap_seq.pages.read import read

NOTE = (
    "Share that the losses that were scaled or are noise have of the sum of |w_k g_k|, the lengths"
    " of the losses' parts in the encoder's gradient, divided by what each of K losses would have"
    " if all were as long: 1 is an average loss. In the first and the last tenth of the logged"
    " steps; mean over seeds, and the lowest and highest."
)
TENTH = 10


def share_sheet(frame: pd.DataFrame, prefix: str, runs: Path) -> Sheet | None:
    """Shares of the losses whose names begin with `prefix`; None where no run has such losses.

    Args:
        frame: of `scores.raw`.
        prefix: "coles", or "noise".
        runs: folder of the grid's runs.

    Raises:
        ValueError: a file of a run is damaged.
    """
    rows = []
    done = frame[frame["state"] == "done"]
    for names, part in done.groupby(["dataset", "encoder", "method"], sort=False):
        shares = [share for run in part["run"] for share in _of_run(runs / run / TRAINED, prefix)]
        if shares:
            dataset, encoder, method = map(str, names)
            texts = [dataset, encoder, METHODS[method].title]
            texts += [spread(values) for values in zip(*shares, strict=True)]
            rows.append([Text(text) for text in texts])
    columns = ["dataset", "encoder", "method", f"{prefix}, first steps", "last steps"]
    return Sheet(columns, rows, NOTE) if rows else None


def _of_run(run: Path, prefix: str) -> Iterator[tuple[float, float]]:
    """Shares in the first and in the last steps, where the run has logged them."""
    # Labels alone, and fine-tuning, weigh nothing.
    logged = read(run).weights if (run / "weights.parquet").is_file() else None
    if logged is None:
        return
    columns = [column for column in logged.columns if column.startswith("norm/")]
    names = [column.removeprefix("norm/") for column in columns]
    some = [name for name in names if name.startswith(prefix)]
    if not some:
        return
    lengths = pd.DataFrame(
        {name: logged[f"effective/{name}"].abs() * logged[f"norm/{name}"] for name in names}
    )
    shares = lengths[some].sum(axis=1) / lengths.sum(axis=1) * len(names) / len(some)
    count = max(1, len(shares) // TENTH)
    yield float(shares.head(count).mean()), float(shares.tail(count).mean())
