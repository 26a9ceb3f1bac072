"""Shares of the encoder's gradient, beside values worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from grap_seq.experiments.share_sheet import share_sheet
from tests.pages.runs import write_run
from tests.sealed import reseal


def row(method: str, seed: int, state: str = "done") -> dict[str, object]:
    names = {"dataset": "flights", "encoder": "gru", "method": method}
    return {**names, "run": f"{method}_{seed}", "state": state}


def logged(runs: Path, name: str, noise: float) -> None:
    """Two real losses and two of noise in 20 logged steps: noise ends a tenth as long."""
    steps = [*range(20)]
    fading = [1.0] * 10 + [0.1] * 10
    columns = {f"norm/{loss}": [2.0] * 20 for loss in ("value", "time")}
    columns |= {f"norm/noise{place}": fading for place in range(2)}
    columns |= {f"effective/{loss}": [0.5] * 20 for loss in ("value", "time")}
    # A weight below zero, as a projection may have, is as long.
    columns |= {"effective/noise0": [noise] * 20, "effective/noise1": [-noise] * 20}
    folder = write_run(runs / name / "run")
    pd.DataFrame({"step": steps, "epoch": 0, **columns}).to_parquet(folder / "weights.parquet")
    reseal(folder)


def test_a_fair_share_is_one(tmp_path: Path) -> None:
    for seed, noise in enumerate((1.0, 3.0)):
        logged(tmp_path, f"grap_noise4_{seed}", noise)
    rows = [row("grap_noise4", seed) for seed in (0, 1)]
    rows += [row("grap_noise4", 2, "failed"), row("supervised", 0)]
    sheet = share_sheet(pd.DataFrame(rows), "noise", tmp_path)
    assert sheet is not None
    assert list(sheet.columns[3:]) == ["noise, first steps", "last steps"]
    # |w g|: 1 and 1 beside 1 and 1; 3 and 3 beside them. Of four, two are of noise.
    first = [2 / 4 * 2, 6 / 8 * 2]
    last = [0.2 / 2.2 * 2, 0.6 / 2.6 * 2]
    texts = [
        f"{sum(values) / 2:.3g} ({min(values):.3g} to {max(values):.3g})"
        for values in (first, last)
    ]
    (only,) = sheet.rows
    assert [cell.text for cell in only] == [
        "flights",
        "gru",
        "GraP, 4 losses of noise",
        *texts,
    ]


def test_without_such_losses_there_is_no_sheet(tmp_path: Path) -> None:
    logged(tmp_path, "grap_0", 1.0)
    assert share_sheet(pd.DataFrame([row("grap", 0)]), "coles", tmp_path) is None
