"""What a search reached by what it cost, worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from grap_seq.experiments.search_picture import Scored, draw_search, progress, without_search
from grap_seq.pages.style import BLUE, INK, NARROW, WIDE

TRIALS = [
    Scored(0.5, 0.7, 10.0),
    Scored(0.6, 0.6, 20.0, equal=True),
    Scored(0.4, 0.9, 20.0),
    Scored(0.8, 0.65, 40.0),
]


def test_the_best_so_far_by_cost_in_median_runs() -> None:
    found = progress(TRIALS)
    # The median takes 20 seconds.
    assert found.cost == [0.5, 1.5, 2.5, 4.5]
    assert found.validation == [0.5, 0.6, 0.6, 0.8]
    # Of the trial that is best on validation data, not the best on test data.
    assert found.test == [0.7, 0.6, 0.6, 0.65]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_what_is_drawn(width: float) -> None:
    figure = draw_search(TRIALS, [Scored(0.7, 0.8, 30.0), Scored(0.9, 0.6, 20.0)], "AUC", width)
    validation, test = figure.axes
    assert (validation.get_title(loc="left"), test.get_title(loc="left")) == (
        "validation AUC",
        "test AUC",
    )
    points = {
        line.get_color(): np.concatenate([line.get_xdata(), line.get_ydata()]).tolist()
        for line in test.lines
    }
    assert points[INK] == [1.5, 0.6]
    assert points[BLUE] == pytest.approx([1.25, 0.7])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"equal weights", "GraP, 2 seeds", "a trial"} <= set(texts)


def outcome(folder: Path, settings: list[str], seconds: float = 30.0) -> None:
    folder.mkdir(parents=True)
    result = {"validation": {"embedding": 0.7}, "test": {"embedding": 0.8}}
    folds = {"validation": None, "test": {"embedding": 0.9}}
    content = {"state": "done", "attempts": 1, "cost": {"seconds": seconds}}
    content["results"] = {"folds=0": result, "folds=5": folds}
    (folder / "outcome.json").write_text(json.dumps(content | {"settings": settings}))


def test_runs_of_all_seeds_with_the_same_settings(tmp_path: Path) -> None:
    told = ["dataset=flights", "objective=ntp", "weighting=grap"]
    outcome(tmp_path / "runs" / "a", [*told, "seed=0"])
    outcome(tmp_path / "runs" / "b", [*reversed(told), "seed=1"], 40.0)
    outcome(tmp_path / "runs" / "c", [*told, "seed=2", "lr=0.1"])
    (tmp_path / "runs" / "d").mkdir()
    (tmp_path / "runs" / "d" / "outcome.json").write_text('{"state": "begun", "attempts": 1}')
    assert without_search(tmp_path, [*told, "seed=9"], "folds=0") == [
        Scored(0.7, 0.8, 30.0),
        Scored(0.7, 0.8, 40.0),
    ]
    with pytest.raises(ValueError, match="no finished run with dataset=churn"):
        without_search(tmp_path, ["dataset=churn", "seed=0"], "folds=0")
    with pytest.raises(ValueError, match="no finished run with"):
        without_search(tmp_path, told, "folds=3")
