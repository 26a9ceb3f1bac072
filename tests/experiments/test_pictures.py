"""Pictures of a grid, beside numbers worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from grap_seq.experiments.fractions import curves, draw_fractions, fraction
from grap_seq.experiments.methods import METHODS
from grap_seq.experiments.pictures import pictures
from grap_seq.experiments.write import Sheet, write
from grap_seq.pages.looks import COLOURS
from grap_seq.pages.style import BLUE
from tests.pages.runs import write_run
from tests.sealed import reseal

SHARES = {"grap_5": 0.05, "grap_50": 0.5, "grap": 1.0}


def row(method: str, seed: int, score: float = 0.7, **more: object) -> dict[str, object]:
    share = SHARES.get(method, 1.0)
    told = ["weighting=grap", *([f"labels.fraction={share}"] if share < 1 else [])]
    return {
        "dataset": "flights",
        "encoder": "gru",
        "method": method,
        "seed": seed,
        "run": f"{method}_{seed}",
        "state": "done",
        "metric": "accuracy",
        "settings": json.dumps(told),
        "test_embedding": score,
        "training_seconds": 10.0,
        "training_epoch_seconds": 5.0,
        "training_steps": 20.0,
        **more,
    }


def test_every_method_has_a_colour() -> None:
    for method in METHODS.values():
        assert method.weighting in {*COLOURS, "searched", "fixed"}
    assert METHODS["grap_tuned"].weighting == "grap"
    assert METHODS["supervised"].weighting == "supervised"


def test_scores_over_the_share_of_the_labels() -> None:
    scores = {"grap": (0.8, 0.9), "grap_5": (0.6, 0.62), "grap_50": (0.7, 0.74)}
    rows = [row(method, seed, of[seed]) for method, of in scores.items() for seed in (0, 1)]
    frame = pd.DataFrame(rows)
    assert fraction(str(frame["settings"][0])) == 1
    assert [curve.to_dict() for curve in curves(frame)] == [
        {0.05: 0.6, 0.5: 0.7, 1.0: 0.8},
        {0.05: 0.62, 0.5: 0.74, 1.0: 0.9},
    ]
    (axes,) = draw_fractions(frame).axes
    (mean, *_) = [line for line in axes.lines if line.get_color() == BLUE]
    np.testing.assert_allclose(np.asarray(mean.get_xdata()), [0.05, 0.5, 1])
    np.testing.assert_allclose(np.asarray(mean.get_ydata()), [0.61, 0.72, 0.85])
    low, high = axes.collections[0].get_paths()[0].get_extents().intervaly
    # 0.61 - 0.0141 and 0.85 + 0.0707.
    assert (low, high) == pytest.approx((0.61 - 0.02 / 2**0.5, 0.85 + 0.1 / 2**0.5))
    assert axes.get_title(loc="left") == "flights: accuracy"


def test_weights_of_the_runs_and_what_weighs_nothing(tmp_path: Path) -> None:
    rows = [row("grap", 0), row("grap", 1), row("equal", 0), row("supervised", 0)]
    rows.append(row("equal", 1, state="failed"))
    for seed, weight in ((0, 2.0), (1, 4.0)):
        write_run(tmp_path / f"grap_{seed}" / "run", seed=seed, weight=weight)
    (picture,) = pictures(pd.DataFrame(rows), "1", tmp_path)
    assert picture.name == "weights_flights_gru"
    coles = next(axes for axes in picture.figure.axes if axes.get_title(loc="left") == "coles")
    (line,) = coles.lines
    assert line.get_color() == BLUE
    assert np.asarray(line.get_ydata())[-1] == pytest.approx(3)


def test_constant_weights_are_no_picture(tmp_path: Path) -> None:
    run = write_run(tmp_path / "equal_0" / "run", "equal")
    steps = pd.read_parquet(run / "weights.parquet")
    steps.loc[:, steps.columns.str.startswith("weight/")] = 1.0
    steps.to_parquet(run / "weights.parquet")
    reseal(run)
    assert pictures(pd.DataFrame([row("equal", 0)]), "1", tmp_path) == []


def test_table_7_has_bars_and_files_lie_beside_the_table(tmp_path: Path) -> None:
    rows = [row("equal", 0), row("grap", 0, training_seconds=30.0)]
    frame = pd.DataFrame(rows)
    (picture,) = pictures(frame, "7", tmp_path)
    assert [axes.get_title(loc="left") for axes in picture.figure.axes] == [
        "training time (s)",
        "steps per second",
    ]
    assert picture.figure.axes[1].patches[0].get_width() == 4  # type: ignore[attr-defined]
    sheet = Sheet(["a"], [], "note")
    written = write(tmp_path, "table_7", "Cost", "command", [sheet], frame, [picture])
    names = [path.name for path in written]
    stem = "table_7_cost_flights_gru"
    assert names == [f"{stem}.svg", f"{stem}.png", "table_7.md", "table_7.csv", "table_7.html"]
    ElementTree.parse(written[0])
    assert imread(written[1]).shape[1] > 800
    assert "![What training costs, flights, gru." in written[2].read_text("utf-8")
    assert f"]({stem}.png)" in written[2].read_text("utf-8")
    assert '<img src="data:image/svg+xml;base64,' in written[4].read_text("utf-8")
