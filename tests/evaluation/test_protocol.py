"""Evaluation of a fake run: embeddings that know the label must score, keys must be complete."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from grap_seq.evaluation import outcome
from grap_seq.evaluation.boosting import Boosting, BoostingSettings, fit_score
from grap_seq.evaluation.protocol import evaluate, probe, show
from grap_seq.schema import Schema
from tests.evaluation.fake import SCHEMA, prepared_folder, write_embeddings, write_part

SETTINGS = BoostingSettings(n_estimators=20, learning_rate=0.1, min_data_in_leaf=10)
FAST = Boosting(binary=SETTINGS, multiclass=SETTINGS)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "RESAMPLES", 20)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    return prepared_folder(tmp_path / "data")


@pytest.fixture
def run(tmp_path: Path, prepared: Path) -> Path:
    write_embeddings(tmp_path / "run", prepared)
    return tmp_path / "run"


def run_evaluation(run: Path, prepared: Path, **options: Any) -> dict[str, Any]:
    return evaluate(run, prepared, boosting=FAST, threads=2, **options)


def test_holdout(run: Path, prepared: Path) -> None:
    result = run_evaluation(run, prepared)
    _check_printed(result)
    assert json.loads((run / "evaluation.json").read_text()) == result
    assert result["dataset"] == "toy"
    assert result["metric"] == "auc"
    assert result["protocol"] == "holdout"
    assert result["seed"] == 0
    assert result["folds"] is None
    assert result["classifier"]["n_estimators"] == 20
    assert result["notes"] == []
    for key in ("test", "std", "validation"):
        assert set(result[key]) == {"embedding", "aggregates", "both"}
    assert result["test"]["both"] > 0.85
    # The label moves one column of the mean by 1.5 deviations: AUC = Phi(1.5 / sqrt 2) = 0.856.
    assert result["test"]["embedding"] == pytest.approx(0.856, abs=0.1)
    assert result["poolings"]["mean"]["test"] == pytest.approx(0.856, abs=0.1)
    assert abs(result["poolings"]["last"]["test"] - 0.5) < 0.2
    assert abs(result["poolings"]["max"]["test"] - 0.5) < 0.2
    frames = {s: pd.read_parquet(prepared / s) for s in ("train", "val", "test")}
    assert result["n_labelled"] == {s: int(f.label.notna().sum()) for s, f in frames.items()}


def _check_printed(result: dict[str, Any]) -> None:
    console = Console(record=True, width=100)
    show(result, console)
    text = console.export_text()
    for words in ("embedding", "aggregates", "both", "last only", "mean only", "max only"):
        assert words in text
    assert f"{result['test']['both']:.3f}" in text


def test_holdout_score_is_that_of_the_classifier(run: Path, prepared: Path) -> None:
    result = run_evaluation(run, prepared, poolings=False)
    tables = {}
    for split in ("train", "test"):
        table = pd.read_parquet(run / "embeddings" / f"{split}.parquet").dropna()
        tables[split] = table.sort_values("client")
    expected = fit_score(
        tables["train"].filter(like="emb_").to_numpy(),
        tables["train"].label.to_numpy(int),
        tables["test"].filter(like="emb_").to_numpy(),
        tables["test"].label.to_numpy(int),
        SCHEMA.labels[0],
        seed=0,
        threads=1,
        boosting=FAST,
    )
    assert result["test"]["embedding"] == expected


def test_folds_are_paired_and_have_a_spread(run: Path, prepared: Path) -> None:
    result = run_evaluation(run, prepared, folds=4, poolings=False)
    assert result["protocol"] == "4-fold"
    assert result["validation"] is None
    assert result["poolings"] == {}
    for name in ("embedding", "aggregates", "both"):
        folds = result["folds"][name]
        assert len(folds) == 4
        assert result["test"][name] == pytest.approx(np.mean(folds))
        assert result["std"][name] == pytest.approx(np.std(folds, ddof=1))
    gap = result["differences"]["both - aggregates"]
    folds = np.subtract(result["folds"]["both"], result["folds"]["aggregates"])
    np.testing.assert_allclose(gap["folds"], folds)
    assert gap["mean"] == pytest.approx(folds.mean())
    # Nadeau and Bengio: variance times 1/k + n_test/n_train.
    assert gap["error"] == pytest.approx(math.sqrt(folds.var(ddof=1) * (1 / 4 + 1 / 3)))


def test_same_seed_same_numbers_whatever_the_parts(
    run: Path, prepared: Path, tmp_path: Path
) -> None:
    first = run_evaluation(run, prepared, folds=3, poolings=False)
    assert run_evaluation(run, prepared, folds=3, seed=1, poolings=False)["test"] != first["test"]
    rows = pq.read_table(prepared / "train").to_pylist()
    for part in (prepared / "train").glob("*.parquet"):
        part.unlink()
    write_part(prepared / "train", 0, rows[::-1])
    assert run_evaluation(run, prepared, folds=3, poolings=False)["test"] == first["test"]


def test_many_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "RESAMPLES", 200)
    prepared = prepared_folder(tmp_path / "data", classes=3)
    write_embeddings(tmp_path / "run", prepared)
    result = run_evaluation(tmp_path / "run", prepared, poolings=False)
    assert result["metric"] == "accuracy"
    assert 0.3 < result["chance"] < 0.5
    accuracy, count = result["test"]["both"], result["n_labelled"]["test"]
    assert accuracy > result["chance"] + 0.15
    # The bootstrap's deviation is the standard error of a proportion.
    expected = math.sqrt(accuracy * (1 - accuracy) / count)
    assert result["std"]["both"] == pytest.approx(expected, rel=0.2)


def test_class_missing_from_validation_is_said(tmp_path: Path) -> None:
    prepared = prepared_folder(tmp_path / "data", unlabelled=0)
    rows = pq.read_table(prepared / "val").to_pylist()
    for row in rows:
        row["label"] = 0
    for part in (prepared / "val").glob("*.parquet"):
        part.unlink()
    write_part(prepared / "val", 0, rows)
    write_embeddings(tmp_path / "run", prepared)
    result = run_evaluation(tmp_path / "run", prepared, poolings=False)
    assert result["validation"]["embedding"] is None
    assert result["test"]["embedding"] is not None
    assert result["notes"] == [
        "No sequence of class yes among the 60 on which the classifier is scored."
    ]
    console = Console(record=True, width=100)
    show(result, console)
    assert "No sequence of class yes" in console.export_text()


def test_missing_embeddings_name_the_command(tmp_path: Path, prepared: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"grap-seq embed run={tmp_path}"):
        evaluate(tmp_path, prepared)


def test_embeddings_of_other_sequences(run: Path, tmp_path: Path) -> None:
    other = prepared_folder(tmp_path / "other", counts=(210, 60, 120))
    with pytest.raises(ValueError, match="embeddings for 210"):
        evaluate(run, other)


def test_unlabelled_dataset(run: Path, prepared: Path) -> None:
    Schema(SCHEMA.name, SCHEMA.id, "day", SCHEMA.fields).save(prepared)
    with pytest.raises(ValueError, match="has no labels"):
        evaluate(run, prepared)


def test_constant_label(tmp_path: Path) -> None:
    prepared = prepared_folder(tmp_path / "data", counts=(3, 1, 1), unlabelled=0)
    for split in ("train", "val", "test"):
        rows = pq.read_table(prepared / split).to_pylist()
        for part in (prepared / split).glob("*.parquet"):
            part.unlink()
        write_part(prepared / split, 0, [{**row, "label": 1} for row in rows])
    write_embeddings(tmp_path / "run", prepared)
    with pytest.raises(ValueError, match="every labelled sequence has the same label 'churn'"):
        evaluate(tmp_path / "run", prepared)


def test_too_many_folds(run: Path, prepared: Path) -> None:
    with pytest.raises(ValueError, match=r"evaluation\.folds=1"):
        run_evaluation(run, prepared, folds=1)


def test_probe_leaves_unlabelled_rows_out() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=400)
    features = rng.normal(size=(400, 3)).astype("float32") + labels[:, None]
    known = np.where(np.arange(400) % 4 == 0, -1, labels)
    value = probe(
        features[:300],
        known[:300],
        features[300:],
        known[300:],
        SCHEMA.labels[0],
        0,
        threads=1,
        boosting=FAST,
    )
    keep = np.arange(400) % 4 != 0
    first = np.arange(400) < 300
    expected = fit_score(
        features[keep & first],
        labels[keep & first],
        features[keep & ~first],
        labels[keep & ~first],
        SCHEMA.labels[0],
        0,
        1,
        boosting=FAST,
    )
    assert value == expected
    assert value > 0.8
