"""Differences of a table, beside numpy and scipy, and rows worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from grap_seq.experiments.difference_sheet import difference_sheet

TEST = {"equal": [0.70, 0.71, 0.69], "grap": [0.72, 0.70, 0.73]}


def frame(seeds: dict[str, list[int]] | None = None, **more: object) -> pd.DataFrame:
    rows = [
        {
            **{"dataset": "churn", "encoder": "gru", "method": method, "seed": seed},
            **{"state": "done", "made_by": "{}", "begun_by": None},
            **{"test_embedding": value, "val_embedding": value / 2, "test_both": None},
            **{"test_aggregates": 0.75, "test_untrained": 0.6 + seed / 10},
            **more,
        }
        for method, values in TEST.items()
        for seed, value in enumerate(values)
        if seeds is None or seed in seeds[method]
    ]
    return pd.DataFrame(rows)


def rows_of(data: pd.DataFrame, reference: str = "equal") -> dict[str, list[str]]:
    sheet = difference_sheet(data, reference)
    assert sheet is not None
    assert all(len(row) == len(sheet.columns) for row in sheet.rows)
    return {row[2].text: [cell.text for cell in row[3:]] for row in sheet.rows}


def test_differences_are_those_of_equal_seeds_with_their_standard_error() -> None:
    gaps = np.subtract(TEST["grap"], TEST["equal"])
    sheet = difference_sheet(frame(), "equal")
    assert sheet is not None
    # What no run has is no column.
    against = "minus equal weights"
    assert sheet.columns[3:] == ["test", against, "validation", against]
    found = rows_of(frame())
    assert found["equal weights"] == ["0.7000 ± 0.0100", "", "0.3500 ± 0.0050", ""]
    mean, error = gaps.mean(), stats.sem(gaps)
    assert found["GraP"][1] == f"{mean:+.4f} ± {error:.4f} (3)"
    assert found["GraP"][3] == f"{mean / 2:+.4f} ± {error / 2:.4f} (3)"
    # Of a table without the reference scores stand alone.
    assert [row[1] for row in rows_of(frame(), "mgda").values()] == [""] * 4


def test_plain_features_stand_below() -> None:
    found = rows_of(frame())
    assert list(found) == ["equal weights", "GraP", "untrained encoder", "aggregates"]
    # 0.6, 0.7 and 0.8, whichever method's runs say so; aggregates know no seed.
    assert found["untrained encoder"] == ["0.7000 ± 0.1000", "", "", ""]
    assert found["aggregates"] == ["0.7500", "", "", ""]


def test_seeds_that_one_side_lacks_say_nothing() -> None:
    found = rows_of(frame({"equal": [0, 1], "grap": [1, 2]}))
    assert found["GraP"][1] == "-0.0100 (1)"
    assert rows_of(frame({"equal": [0], "grap": [1]}))["GraP"][1] == ""
    failed = frame()
    failed.loc[failed["seed"] == 2, ["state", "test_embedding"]] = ["failed", None]
    gaps = np.subtract(TEST["grap"][:2], TEST["equal"][:2])
    assert rows_of(failed)["GraP"][1] == f"{gaps.mean():+.4f} ± {stats.sem(gaps):.4f} (2)"
    assert difference_sheet(failed[failed["state"] == "failed"], "equal") is None


@pytest.mark.parametrize("column", ["made_by", "begun_by"])
def test_differences_of_two_versions_are_marked(column: str) -> None:
    data = frame()
    data.loc[data["method"] == "equal", column] = json.dumps({"commit": "other"})
    assert rows_of(data)["GraP"][1].endswith("* (3)")
    assert not rows_of(frame())["GraP"][1].endswith("* (3)")


def test_datasets_and_encoders_are_compared_each_for_itself() -> None:
    other = frame(encoder="transformer", test_embedding=0.5)
    sheet = difference_sheet(pd.concat([frame(), other]), "equal")
    assert sheet is not None
    places = [(row[1].text, row[2].text, row[4].text) for row in sheet.rows]
    assert ("transformer", "GraP", "+0.0000 ± 0.0000 (3)") in places
    assert len(places) == 8
