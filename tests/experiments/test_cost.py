"""Costs of methods, worked out by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from grap_seq.experiments.cost import TRIALS, cost_sheet, costs


def row(dataset: str, method: str, seconds: float, state: str = "done") -> dict[str, object]:
    return {
        "dataset": dataset,
        "encoder": "gru",
        "method": method,
        "state": state,
        "training_steps": 1000.0,
        "training_epochs": 10.0,
        "training_epoch_seconds": seconds,
        "training_seconds": seconds + 10,
        "training_peak_memory_mib": 4 * seconds,
    }


def test_ratios_are_to_equal_weights_of_the_same_dataset() -> None:
    rows = [row("a", "equal", 50), row("a", "grap", 100), row("a", "grap", 80)]
    rows += [row("b", "equal", 200), row("b", "grap", 220), row("b", "grap", 1e9, "failed")]
    found = costs(pd.DataFrame(rows)).set_index(["dataset", "method"])
    assert found.loc[("a", "equal"), "steps_per_second"] == 20
    # The median of 10 and 12.5.
    assert found.loc[("a", "grap"), "steps_per_second_ratio"] == pytest.approx(11.25 / 20)
    assert found.loc[("a", "grap"), "epoch_seconds_ratio"] == pytest.approx(9 / 5)
    assert found.loc[("b", "grap"), "epoch_seconds_ratio"] == pytest.approx(1.1)
    # The median of 400 and 320.
    assert found.loc[("a", "grap"), "peak_memory_mib"] == 360
    assert found.loc[("a", "grap"), "peak_memory_mib_ratio"] == pytest.approx(360 / 200)
    assert found.loc[("b", "equal"), "search"] == TRIALS
    assert found.loc[("b", "grap"), "search"] == pytest.approx(TRIALS * 210 / 230)


def test_without_equal_weights_there_is_nothing_to_compare_with() -> None:
    rows = [row("a", "equal", 50), row("a", "grap", 100), row("b", "grap", 220)]
    with pytest.raises(ValueError, match="leave equal in methods="):
        costs(pd.DataFrame(rows))


def test_runs_from_before_memory_was_measured() -> None:
    rows = pd.DataFrame([row("a", "equal", 50), row("a", "grap", 100)])
    found = costs(rows.drop(columns="training_peak_memory_mib"))
    assert found["peak_memory_mib"].isna().all()
    assert found["epoch_seconds"].tolist() == [5, 10]
    shown = cost_sheet(found).rows[0]
    assert "nan" not in {cell.text for cell in shown}
