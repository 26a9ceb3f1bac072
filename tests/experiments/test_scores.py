"""Cells of a table, beside numpy, scipy and the paper's page."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from grap_seq.experiments.score_sheet import (
    numbers,
    relative,
    score_sheet,
    text_of,
    weight_sheet,
)
from grap_seq.experiments.scores import Cell, cells, published, tied
from grap_seq.experiments.write import markdown, page

SCORES = {
    "equal": [0.70, 0.71, 0.69, 0.72],
    "grap": [0.72, 0.73, 0.71, 0.745],
    "mgda": [0.715, 0.74, 0.70, 0.76],
}


def frame(scores: dict[str, list[float]], **more: object) -> pd.DataFrame:
    rows = [
        {
            "dataset": "churn",
            "encoder": "gru",
            "method": method,
            "seed": seed,
            "state": "done",
            "metric": "auc",
            "test_embedding": value,
            "made_by": "{}",
            "begun_by": None,
            **more,
        }
        for method, values in scores.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def by_method(found: list[Cell]) -> dict[str, Cell]:
    return {cell.method: cell for cell in found}


def test_mean_deviation_and_what_cannot_be_told_from_the_best() -> None:
    found = by_method(cells(frame(SCORES), "1"))
    for method, values in SCORES.items():
        assert found[method].mean == pytest.approx(np.mean(values))
        assert found[method].std == pytest.approx(np.std(values, ddof=1))
    assert [method for method, cell in found.items() if cell.best] == ["mgda"]
    for method in ("equal", "grap"):
        p = stats.ttest_rel(SCORES[method], SCORES["mgda"]).pvalue
        assert found[method].tied == (p > 0.05)
    assert found["grap"].tied
    assert not found["equal"].tied
    text = markdown("t", "command", [score_sheet(list(found.values()))])
    assert "| GraP | **0.7263 ± 0.0149 (4) [0.8354 ± 0.0071]** |" in text
    assert "| equal weights | 0.7050 ± 0.0129 (4) [0.8379 ± 0.0079] |" in text


def test_one_seed_proves_nothing() -> None:
    found = by_method(cells(frame({name: values[:1] for name, values in SCORES.items()}), "1"))
    assert [cell.tied for cell in found.values()] == [None] * 3
    assert text_of(found["equal"]) == "0.7000 (1) [0.8379 ± 0.0079]"
    assert tied({0: 1.0, 1: 2.0}, {1: 2.0, 2: 3.0}) is None


def test_a_failed_run_is_listed_and_not_averaged() -> None:
    data = frame(SCORES)
    lost = (data["method"] == "grap") & (data["seed"] == 3)
    data.loc[lost, ["state", "test_embedding"]] = ["failed", None]
    found = by_method(cells(data, "1"))["grap"]
    assert found.failed == (3,)
    assert found.mean == pytest.approx(np.mean(SCORES["grap"][:3]))
    assert text_of(found).startswith("0.7200 ± 0.0100 (3, 1 failed)")
    data.loc[data["method"] == "grap", "state"] = "failed"
    assert text_of(by_method(cells(data, "1"))["grap"]) == "failed (4)"


def test_versions_in_one_cell_are_marked() -> None:
    data = frame(SCORES)
    data.loc[(data["method"] == "grap") & (data["seed"] == 1), "made_by"] = json.dumps({"a": 1})
    found = by_method(cells(data, "1"))
    assert [method for method, cell in found.items() if cell.mixed] == ["grap"]
    assert "± 0.0149* (4)" in text_of(found["grap"])
    # Begun by one version, and ended by another.
    data = frame(SCORES)
    data.loc[(data["method"] == "mgda") & (data["seed"] == 0), "begun_by"] = json.dumps({"a": 1})
    assert [method for method, cell in by_method(cells(data, "1")).items() if cell.mixed] == [
        "mgda"
    ]


def test_what_the_paper_has() -> None:
    assert published("1", "ht_transformer", "grap", "churn") == pytest.approx((0.8521, 0.0036))
    assert published("6", "gru", "grap_tuned", "taobao") == pytest.approx((0.7040, 0.0030))
    assert published("1", "gru", "grap", "flights") is None
    assert published("4", "gru", "grap_5", "churn") is None


def test_names_are_text_in_html_and_numbers_are_numbers() -> None:
    data = frame(SCORES)
    data["dataset"] = "<b>x"
    found = cells(data, "1")
    assert "<b>x" not in page("t", "a <c>", [score_sheet(found)]).replace("<b>0", "")
    assert numbers(found)["mean"].tolist() == [cell.mean for cell in found]


def test_weights_are_relative_to_the_mean_of_all() -> None:
    weights = [{"coles": 1.0, "time": 3.0, "past_time": 2.0}, {"coles": 4.0, "time": 1.0}]
    data = frame({"grap": [0.7, 0.8], "dwa": [0.7]})
    data["weights"] = [*map(json.dumps, weights), None]
    sheet = weight_sheet(data, "coles")
    assert sheet is not None
    assert [[cell.text for cell in row] for row in sheet.rows] == [
        # 1 of a mean of 2, and 4 of one of 2.5.
        ["churn", "gru", "GraP", "1.05 (0.5 to 1.6)"]
    ]
    assert weight_sheet(data, "noise") is None
    noisy = json.dumps({"noise0": 1.0, "noise1": 3.0, "time": 5.0})
    assert relative(noisy, "noise") == pytest.approx(2 / 3)
