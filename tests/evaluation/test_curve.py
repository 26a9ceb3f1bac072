"""Scores by share of the labels: what is drawn, what is fitted, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from grap_seq.evaluation import curve, outcome
from grap_seq.evaluation.boosting import Boosting, BoostingSettings, for_few
from grap_seq.evaluation.curve import drawn
from grap_seq.evaluation.protocol import evaluate
from grap_seq.evaluation.table import show
from tests.evaluation.fake import prepared_folder, write_embeddings
from tests.evaluation.test_plan import data_of

FAST = Boosting(binary=BoostingSettings(n_estimators=20, learning_rate=0.1, min_data_in_leaf=20))


@given(
    counts=st.lists(st.integers(2, 60), min_size=2, max_size=2),
    shares=st.lists(st.floats(0.3, 1), min_size=2, max_size=2),
    seed=st.integers(0, 5),
)
def test_each_class_in_proportion_and_nested(
    counts: list[int], shares: list[float], seed: int
) -> None:
    data = data_of(counts, [3, 3], [5, 5])
    rows = data.rows("train")
    small, large = (drawn(data, rows, share, (seed, 1)) for share in sorted(shares))
    assert set(small) <= set(large) <= set(rows)
    assert (np.diff(small) > 0).all()
    for code, count in enumerate(counts):
        assert abs((data.labels[small] == code).sum() - min(shares) * count) <= 0.5
    assert (drawn(data, rows, min(shares), (seed, 1)) == small).all()


def test_draws_differ_and_owners_stay_together() -> None:
    data = data_of([50, 50], [0, 0], [5, 5])
    rows = data.rows("train")
    assert set(drawn(data, rows, 0.2, (0, 1))) != set(drawn(data, rows, 0.2, (0, 2)))
    assert (drawn(data, rows, 1, (0, 1)) == rows).all()
    owners = np.arange(len(data.labels)) % 30
    together = dataclasses.replace(data, owners=owners)
    chosen = drawn(together, rows, 0.5, (0, 1))
    assert set(chosen) == set(rows[np.isin(owners[rows], owners[chosen])])
    assert len(np.unique(owners[chosen])) == 15


def test_a_share_that_leaves_one_class_names_it_and_the_smallest_usable() -> None:
    data = data_of([400, 8], [0, 0], [5, 5])
    rows = data.rows("train")
    message = r"label_fractions=0.02 of 408 labels leaves 8, all of class no: .* one is 0.0625"
    with pytest.raises(ValueError, match=message):
        drawn(data, rows, 0.02, (0, 1))
    assert len(np.unique(data.labels[drawn(data, rows, 0.0625, (0, 1))])) == 2
    with pytest.raises(ValueError, match="smallest"):
        drawn(data, rows, 0.062, (0, 1))


def test_few_rows_have_small_leaves() -> None:
    settings = BoostingSettings()
    assert for_few(settings, 1000) == settings
    few = for_few(settings, 200)
    assert few.min_data_in_leaf == 10
    assert few.lambda_l1 == pytest.approx(0.2)
    assert for_few(settings, 10).min_data_in_leaf == 2
    assert dataclasses.replace(few, min_data_in_leaf=50, lambda_l1=1.0) == settings


def run_of(tmp_path: Path, **options: Any) -> tuple[Path, Path]:
    prepared = prepared_folder(tmp_path / "data", counts=(240, 20, 200), unlabelled=0)
    write_embeddings(tmp_path / "run", prepared, **options)
    return tmp_path / "run", prepared


@pytest.mark.parametrize("folds", [0, 2])
def test_the_curve_of_a_run(folds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "RESAMPLES", 20)
    monkeypatch.setattr(curve, "DRAWS", 2)
    run, prepared = run_of(tmp_path)
    options: dict[str, Any] = {"folds": folds, "seeds": 1, "threads": 1, "boosting": FAST}
    result = evaluate(run, prepared, label_fractions=[1, 0.1, 0.5], **options)
    found = result["label_curve"]
    assert found["fractions"] == [0.1, 0.5, 1]
    every = 240 if not folds else 230
    np.testing.assert_allclose(found["fitted"], [0.1 * every, 0.5 * every, every], atol=1)
    assert found["draws"] == [2, 2, 1]
    assert set(found["scores"]) == {"embedding", "aggregates", "both", "untrained"}
    for of_share in found["scores"].values():
        assert [len(draws) for draws in of_share] == [2, 2, 1]
    # The embedding knows the label and the untrained encoder does not, however few there are.
    assert min(found["scores"]["embedding"][0]) > 0.6 > np.mean(found["scores"]["untrained"][0])
    gap = found["differences"]["embedding - aggregates"][0]
    pairs = zip(found["scores"]["embedding"][0], found["scores"]["aggregates"][0], strict=True)
    gaps = [a - b for a, b in pairs]
    assert gap["mean"] == pytest.approx(np.mean(gaps))
    assert gap["std"] == pytest.approx(np.std(gaps, ddof=1))
    console = Console(record=True, width=120)
    show(result, console)
    text = console.export_text()
    assert "by share of the labels" in text
    assert f"{found['scores']['embedding'][2][0]:.3f}" in text
    assert "Labels beyond the share chose the kept epoch" in text


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5])
def test_shares_lie_between_nothing_and_all(share: float, tmp_path: Path) -> None:
    run, prepared = run_of(tmp_path)
    with pytest.raises(ValueError, match=f"label_fractions={share}: give shares"):
        evaluate(run, prepared, folds=0, seeds=1, boosting=FAST, label_fractions=[share])


def test_an_encoder_that_learned_labels_has_no_curve(tmp_path: Path) -> None:
    run, prepared = run_of(tmp_path, encoder="gradient")
    with pytest.raises(ValueError, match=r"train with labels\.fraction"):
        evaluate(run, prepared, folds=0, seeds=1, boosting=FAST, label_fractions=[0.5])
