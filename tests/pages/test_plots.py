"""The figures show every loss and class by name."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from grap_seq.pages import plot_calibration, plot_label_curve
from grap_seq.pages.plots import plot_cosines, plot_embeddings, plot_losses, plot_weights
from grap_seq.pages.style import BLUE, NARROW, PALE, RED, WIDE, svg
from tests.pages.fake import (
    ENDS,
    LOSSES,
    evaluation,
    finished_run,
    label_curve,
    metrics,
    training,
)
from tests.sealed import reseal


def texts(figure: Figure) -> dict[str, Text]:
    return {text.get_text(): text for text in figure.findobj(Text) if isinstance(text, Text)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return finished_run(tmp_path_factory.mktemp("plots"))


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_weights_end_where_they_end(folders: tuple[Path, Path], width: float) -> None:
    figure = plot_weights(folders[0], width)
    labels = texts(figure)
    assert set(LOSSES) <= set(labels)
    assert labels["shop"].get_color() == BLUE
    assert labels["coles"].get_color() == RED
    drawn = [np.asarray(line.get_ydata()) for line in figure.axes[0].lines]
    ends = sorted(float(values[-1]) for values in drawn if len(values) > 2)
    assert ends == pytest.approx(sorted(ENDS.values()))


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_weight_labels_do_not_overlap_and_are_not_cut(
    folders: tuple[Path, Path], width: float
) -> None:
    figure = plot_weights(folders[0], width)
    labels = texts(figure)
    boxes = sorted(
        (labels[name].get_window_extent() for name in LOSSES), key=lambda box: float(box.y0)
    )
    for lower, upper in itertools.pairwise(boxes):
        assert lower.y1 <= upper.y0 + 1
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)


def test_cosines_name_every_loss(folders: tuple[Path, Path]) -> None:
    names = [label.get_text() for label in plot_cosines(folders[0]).axes[0].get_yticklabels()]
    assert names[-1] == "shop"  # the largest is on top
    assert names[0] == "coles"
    assert set(names) == set(LOSSES)


def test_calibration_has_a_line_for_every_row(folders: tuple[Path, Path]) -> None:
    axes = plot_calibration(folders[0]).axes[0]
    lines = {str(line.get_label()): line for line in axes.lines[1:]}
    assert set(lines) == {"embedding", "aggregates", "both", "untrained"}
    assert np.asarray(lines["both"].get_xdata()).tolist() == [0.1, 0.5, 0.9]
    assert np.asarray(lines["both"].get_ydata()).tolist() == [0.2, 0.5, 0.8]


def test_the_curve_over_labels_has_a_line_and_a_band_for_every_row(tmp_path: Path) -> None:
    run, _ = finished_run(tmp_path)
    with pytest.raises(ValueError, match="label_fractions="):
        plot_label_curve(run)
    (run / "evaluation.json").write_text(json.dumps(evaluation(label_curve=label_curve())))
    reseal(run)
    axes = plot_label_curve(run).axes[0]
    lines = {str(line.get_label()): line for line in axes.lines}
    assert set(lines) == {"embedding", "aggregates", "both", "untrained"}
    assert np.asarray(lines["embedding"].get_xdata()).tolist() == [0.01, 0.1, 1]
    means = np.asarray(lines["embedding"].get_ydata())
    np.testing.assert_allclose(means, [0.61, 0.71, 0.8])
    band = axes.collections[0].get_paths()[0].vertices
    # One deviation of two values 0.02 apart.
    assert np.asarray(band)[:, 1].min() == pytest.approx(0.61 - 0.02 / np.sqrt(2))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1%", "10%", "100%"]


def test_losses_have_a_panel_each(folders: tuple[Path, Path]) -> None:
    figure = plot_losses(folders[0])
    shown = [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]
    assert shown == [*LOSSES, "downstream", "probe (validation score)"]
    assert {"train", "validation"} <= set(texts(figure))
    drawn = np.asarray(figure.axes[0].lines[0].get_ydata())
    np.testing.assert_array_equal(drawn, metrics()["loss/coles"])


def test_losses_of_one_epoch_without_validation(tmp_path: Path) -> None:
    metrics(1, validation=False).to_csv(tmp_path / "metrics.csv", index=False)
    reseal(tmp_path)
    figure = plot_losses(tmp_path, NARROW)
    assert "validation" not in texts(figure)
    figure.draw_without_rendering()


@pytest.fixture
def shortened(tmp_path: Path) -> Path:
    """A run that kept its second epoch, of which the trajectory has half."""
    run, _ = finished_run(tmp_path)
    (run / "model.json").write_text(json.dumps({"training": training(kept=2, step=105)}))
    reseal(run)
    return run


def test_weights_end_at_the_kept_epoch(shortened: Path) -> None:
    axes = plot_weights(shortened).axes[0]
    drawn = [np.asarray(line.get_xdata()) for line in axes.lines]
    ends = [steps[-1] for steps in drawn if len(steps) > 2]
    assert ends == [100] * len(LOSSES)
    assert axes.get_xlim() == (0, 100)


def test_losses_mark_the_kept_epoch(shortened: Path) -> None:
    for axes in plot_losses(shortened).axes:
        if axes.get_visible():
            (marked,) = (line for line in axes.lines if line.get_color() == PALE)
            assert list(np.asarray(marked.get_xdata())) == [2, 2]


def test_embeddings_name_the_classes(folders: tuple[Path, Path]) -> None:
    figure = plot_embeddings(*folders)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [name.split(" (")[0] for name in names] == ["no", "yes", "unlabelled"]
    counts = [int(name.split("(")[1].rstrip(")")) for name in names]
    assert sum(counts) == 100


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"weights\.parquet"):
        plot_weights(tmp_path)
    with pytest.raises(ValueError, match=r"metrics\.csv"):
        plot_losses(tmp_path)
    with pytest.raises(FileNotFoundError, match="not a run folder"):
        plot_losses(tmp_path / "absent")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with 200 losses, of which loss190 to loss199 weigh most and loss0 has no cosine."""
    run = tmp_path_factory.mktemp("wide")
    names, steps = [f"loss{place}" for place in range(200)], np.arange(40)
    weights = {f"weight/{name}": 1 + place * steps / 4000 for place, name in enumerate(names)}
    cosines = {f"cosine/{name}": place * (1 + steps % 2) for place, name in enumerate(names)}
    pd.DataFrame({"step": steps, **weights, **cosines}).to_parquet(run / "weights.parquet")
    losses = {f"loss/{name}": [2.0, 1.0] for name in (*names, "downstream")}
    pd.DataFrame({"epoch": [0, 1], **losses}).to_csv(run / "metrics.csv", index=False)
    reseal(run)
    return run


def test_of_many_losses_those_that_weigh_most_have_panels(wide: Path) -> None:
    figure = plot_losses(wide)
    shown = [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]
    # What has no weight is not left out for it.
    assert shown == [*(f"loss{place}" for place in range(141, 200)), "downstream"]


def test_of_many_cosines_those_farthest_from_zero_are_shown(wide: Path) -> None:
    names = [label.get_text() for label in plot_cosines(wide).axes[0].get_yticklabels()]
    assert names == [f"loss{place}" for place in range(140, 200)]


def test_many_weights_are_a_picture_of_bounded_size(wide: Path) -> None:
    figure = plot_weights(wide)
    assert {f"loss{place}" for place in range(188, 200)} <= set(texts(figure))
    assert (
        len([line for line in figure.axes[0].lines if len(np.asarray(line.get_xdata())) > 2]) == 200
    )
    assert len(svg(figure)) < 400_000


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_long_names_stay_in_the_picture(tmp_path: Path, width: float) -> None:
    names = [f"{beginning}_merchant_category_code_{'x' * 20}" for beginning in ("next", "past")]
    steps = {"step": range(20), **{f"weight/{name}": np.linspace(1, 2, 20) for name in names}}
    cosines = {f"cosine/{name}": np.linspace(0.1, 0.2, 20) for name in names}
    pd.DataFrame({**steps, **cosines}).to_parquet(tmp_path / "weights.parquet")
    reseal(tmp_path)
    for plot in (plot_weights, plot_cosines):
        figure = plot(tmp_path, width)
        figure.draw_without_rendering()
        shown = [text for text in texts(figure).values() if "…" in text.get_text()]
        assert len(shown) == 2
        for text in shown:
            box = text.get_window_extent()
            assert figure.bbox.x0 <= box.x0
            assert box.x1 <= figure.bbox.x1
