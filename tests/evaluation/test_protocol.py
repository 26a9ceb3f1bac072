"""Evaluation of a fake run: embeddings that know the label must score, keys must be complete."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score

from grap_seq import seal
from grap_seq.evaluation import outcome
from grap_seq.evaluation.binned import fit_score
from grap_seq.evaluation.boosting import Boosting, BoostingSettings
from grap_seq.evaluation.protocol import evaluate, probe
from grap_seq.evaluation.table import show
from grap_seq.schema import Label, Schema
from tests.data.toy import write_descriptions
from tests.evaluation.fake import SCHEMA, belong, prepared_folder, write_embeddings, write_part

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


ROWS = ("embedding", "aggregates", "both", "untrained")


def run_evaluation(run: Path, prepared: Path, **options: Any) -> dict[str, Any]:
    return evaluate(run, prepared, **{"boosting": FAST, "threads": 1, "folds": 0, **options})


def test_holdout(run: Path, prepared: Path) -> None:
    result = run_evaluation(run, prepared, poolings=True)
    _check_printed(result)
    assert json.loads((run / "evaluation.json").read_text()) == result
    assert result["dataset"] == "toy"
    assert result["metric"] == "auc"
    assert result["protocol"] == "holdout"
    assert result["seed"] == 0
    assert result["folds"] is None
    assert result["classifier"]["n_estimators"] == 20
    assert result["classifier"]["seeds"] == 3
    assert result["notes"] == []
    for key in ("test", "std", "validation", "further", "calibration"):
        assert set(result[key]) == set(ROWS)
    assert result["test"]["both"] > 0.85
    # The label moves one column of the mean by 1.5 deviations: AUC = Phi(1.5 / sqrt 2) = 0.856.
    assert result["test"]["embedding"] == pytest.approx(0.856, abs=0.1)
    assert abs(result["test"]["untrained"] - 0.5) < 0.2
    assert result["differences"]["embedding - untrained"]["low"] > 0
    assert result["poolings"]["mean"]["test"] == pytest.approx(0.856, abs=0.1)
    assert abs(result["poolings"]["last"]["test"] - 0.5) < 0.2
    assert abs(result["poolings"]["max"]["test"] - 0.5) < 0.2
    frames = {s: pd.read_parquet(prepared / s) for s in ("train", "val", "test")}
    assert result["n_labelled"] == {s: int(f.label.notna().sum()) for s, f in frames.items()}


def _check_printed(result: dict[str, Any]) -> None:
    console = Console(record=True, width=100)
    show(result, console)
    text = console.export_text()
    for words in (*ROWS, "last only", "mean only", "max only", "minus untrained encoder: +"):
        assert words in text
    assert f"{result['test']['both']:.3f}" in text


def test_holdout_score_is_that_of_the_classifier(run: Path, prepared: Path) -> None:
    result = run_evaluation(run, prepared, seeds=1)
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
    result = run_evaluation(run, prepared, folds=4)
    assert result["protocol"] == "4-fold"
    assert result["validation"] is None
    assert result["poolings"] == {}
    for name in ROWS:
        folds = result["folds"][name]
        assert len(folds) == 4
        assert result["test"][name] == pytest.approx(np.mean(folds))
        assert result["std"][name] == pytest.approx(np.std(folds, ddof=1))
    gap = result["differences"]["both - aggregates"]
    folds = np.subtract(result["folds"]["both"], result["folds"]["aggregates"])
    assert gap["mean"] == pytest.approx(folds.mean())
    assert gap["error"] == pytest.approx(math.sqrt(folds.var(ddof=1) * (1 / 4 + 1 / 3)))


def test_same_seed_same_numbers_whatever_the_parts(
    run: Path, prepared: Path, tmp_path: Path
) -> None:
    first = run_evaluation(run, prepared, folds=3)
    assert run_evaluation(run, prepared, folds=3, seed=1)["test"] != first["test"]
    rows = pq.read_table(prepared / "train").to_pylist()
    for part in (prepared / "train").glob("*.parquet"):
        part.unlink()
    write_part(prepared / "train", 0, rows[::-1])
    belong(run, prepared)
    assert run_evaluation(run, prepared, folds=3)["test"] == first["test"]


def test_many_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "RESAMPLES", 200)
    prepared = prepared_folder(tmp_path / "data", classes=3)
    write_embeddings(tmp_path / "run", prepared)
    result = run_evaluation(tmp_path / "run", prepared)
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
    result = run_evaluation(tmp_path / "run", prepared)
    assert result["validation"]["embedding"] is None
    assert result["test"]["embedding"] is not None
    assert result["notes"] == [
        "No sequence of class yes among the 60 on which the classifier is scored."
    ]
    console = Console(record=True, width=100)
    show(result, console)
    assert "No sequence of class yes" in console.export_text()


def test_missing_embeddings_name_the_command(run: Path, prepared: Path) -> None:
    shutil.rmtree(run / "embeddings")
    with pytest.raises(FileNotFoundError, match=f"grap-seq embed run={run}"):
        evaluate(run, prepared)


def test_embeddings_without_the_control_name_the_command(run: Path, prepared: Path) -> None:
    shutil.rmtree(run / "embeddings" / "untrained")
    with pytest.raises(FileNotFoundError, match=r"untrained/train.*grap-seq embed run="):
        evaluate(run, prepared)


def test_predictions_give_the_scores(run: Path, prepared: Path) -> None:
    result = run_evaluation(run, prepared, logistic=True)
    frame = pd.read_parquet(run / "predictions.parquet")
    test = pd.read_parquet(prepared / "test").dropna(subset="label").set_index("client")
    assert sorted(frame.client) == sorted(test.index)
    assert frame.label.tolist() == test.loc[frame.client].label.map({0: "no", 1: "yes"}).tolist()
    for name in (*ROWS, "logistic"):
        score = roc_auc_score(frame.label == "yes", frame[f"{name}/yes"])
        assert result["test"][name] == pytest.approx(score, abs=1e-3)
        np.testing.assert_allclose(frame[f"{name}/yes"] + frame[f"{name}/no"], 1, atol=1e-6)
    assert result["test"]["logistic"] == pytest.approx(0.856, abs=0.1)


def test_folds_predict_every_sequence_once(run: Path, prepared: Path) -> None:
    result = run_evaluation(run, prepared, folds=3)
    frame = pd.read_parquet(run / "predictions.parquet")
    assert frame.client.is_unique
    assert len(frame) == result["n_scored"] == sum(result["n_labelled"].values())
    for number, group in frame.groupby("fold"):
        score = roc_auc_score(group.label == "yes", group["both/yes"])
        assert result["folds"]["both"][number] == pytest.approx(score, abs=1e-3)


def test_output_leaves_the_runs_own_evaluation_alone(
    run: Path, prepared: Path, tmp_path: Path
) -> None:
    run_evaluation(run, prepared)
    before = {path: path.read_bytes() for path in run.glob("[!.]*.*")}
    result = run_evaluation(run, prepared, folds=3, output=tmp_path / "folds")
    assert {path: path.read_bytes() for path in run.glob("[!.]*.*")} == before
    assert json.loads((tmp_path / "folds" / "evaluation.json").read_text()) == result
    assert (tmp_path / "folds" / "predictions.parquet").is_file()


def test_the_head_of_a_run(run: Path, prepared: Path) -> None:
    with pytest.raises(FileNotFoundError, match="mode=supervised"):
        run_evaluation(run, prepared, head=True)
    scores = {"label": "churn", "metric": "auc", "validation": 0.7, "test": 0.65}
    seal.write_json(run, "head.json", scores)
    with pytest.raises(ValueError, match="use folds=0"):
        run_evaluation(run, prepared, head=True, folds=3)
    result = run_evaluation(run, prepared, head=True)
    assert result["head"] == {"validation": 0.7, "test": 0.65}
    console = Console(record=True, width=100)
    show(result, console)
    assert "0.650" in console.export_text()


def test_nothing_is_compared_where_no_tree_can_split(run: Path, prepared: Path) -> None:
    stiff = BoostingSettings(n_estimators=5, min_data_in_leaf=1000)
    result = run_evaluation(run, prepared, boosting=Boosting(binary=stiff))
    assert result["constant"] == list(ROWS)
    assert set(result["test"].values()) == {0.5}
    for gap in result["differences"].values():
        assert gap["mean"] is None
    assert "lower boosting.binary.min_data_in_leaf" in " ".join(result["notes"]).lower()


@pytest.mark.parametrize("folds", [0, 3])
def test_a_number_as_label(tmp_path: Path, folds: int) -> None:
    """Codes 1.5 apart in one column, in units of the label 20 apart."""
    prepared = prepared_folder(tmp_path / "data", unlabelled=0)
    run = tmp_path / "run"
    write_embeddings(run, prepared)
    label = Label("age", "mae", mean=40.0, std=20.0)
    for part in prepared.glob("*/*.parquet"):
        table = pq.read_table(part)
        codes = table.column("label").cast("float32")
        pq.write_table(
            table.set_column(table.schema.get_field_index("label"), "label", codes), part
        )
    write_descriptions(prepared, Schema(SCHEMA.name, SCHEMA.id, "day", SCHEMA.fields, (label,)))
    belong(run, prepared)
    result = run_evaluation(run, prepared, folds=folds, boosting=Boosting(regression=SETTINGS))
    frame = pd.read_parquet(run / "predictions.parquet")
    assert set(frame.label) == {40.0, 60.0}
    errors = (frame.both - frame.label).abs()
    assert result["test"]["both"] == pytest.approx(-errors.groupby(frame.fold).mean().mean())
    assert -20 < result["chance"] < result["test"]["both"] < -1
    assert set(result["further"]["both"]) == {"r2", "mae"}
    assert result["calibration"] is None


def test_seeds_must_be_a_number(run: Path, prepared: Path) -> None:
    for seeds in (0, "many"):
        with pytest.raises(ValueError, match=f"seeds={seeds}: give a number"):
            run_evaluation(run, prepared, seeds=seeds)


def test_embeddings_of_other_sequences(run: Path, tmp_path: Path) -> None:
    other = prepared_folder(tmp_path / "other", counts=(210, 60, 120))
    with pytest.raises(ValueError, match=r"train\.parquet was made of other data; .*prepared="):
        evaluate(run, other)
    belong(run, other)
    with pytest.raises(ValueError, match="embeddings for 210"):
        evaluate(run, other)


def test_unlabelled_dataset(run: Path, prepared: Path) -> None:
    write_descriptions(prepared, Schema(SCHEMA.name, SCHEMA.id, "day", SCHEMA.fields))
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
    with pytest.raises(ValueError, match="folds=1: give 0"):
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
