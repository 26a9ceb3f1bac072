"""Labels of new sequences: by a run's own head, and by the classifiers that `evaluate` stored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import mean_absolute_error, roc_auc_score

import grap_seq
from grap_seq import commands, load
from tests.evaluation.two_labels import EVALUATE, events
from tests.sealed import reseal

# One process of `make test` runs them all: the runs below are made once.
pytestmark = pytest.mark.xdist_group("predictor")


def in_split(two_labels: dict[str, Path], split: str = "test") -> pd.DataFrame:
    """Raw events of a split, without labels."""
    ids = pd.read_parquet(two_labels["prepared"] / split, columns=["customer"])["customer"]
    found = events()
    return found[found["customer"].isin(ids)].drop(columns=["churned", "toys"])


def truth(predicted: pd.DataFrame, label: str) -> pd.Series:
    return events().groupby("customer")[label].first()[predicted.index]


@pytest.mark.parametrize("label", ["churned", "toys"])
def test_stored_classifiers_are_those_of_the_evaluation(
    two_labels: dict[str, Path], label: str
) -> None:
    run = two_labels["pretrained"]
    model = load(run, device="cpu")
    if label == "churned":
        found = model.predict_proba(in_split(two_labels))
        folder, columns = run, {"0": "embedding/0", "1": "embedding/1"}
        np.testing.assert_allclose(found.sum(axis=1), 1)
    else:
        found = model.predict(in_split(two_labels), label="toys")
        folder, columns = run / "labels" / "toys", {"toys": "embedding"}
    expected = pd.read_parquet(folder / "predictions.parquet").set_index("customer").sort_index()
    assert found.columns.tolist() == list(columns)
    assert found.index.tolist() == expected.index.tolist()
    np.testing.assert_allclose(found, expected[list(columns.values())], rtol=1e-4)
    assert found.iloc[:, 0].nunique() > 5


def test_a_head_predicts_what_it_was_scored_by(two_labels: dict[str, Path]) -> None:
    scores = json.loads((two_labels["churned"] / "head.json").read_text("utf-8"))
    for split, name in (("val", "validation"), ("test", "test")):
        found = load(two_labels["churned"], device="cpu").predict_proba(in_split(two_labels, split))
        assert roc_auc_score(truth(found, "churned"), found["1"]) == pytest.approx(scores[name])
    scores = json.loads((two_labels["toys"] / "head.json").read_text("utf-8"))
    found = grap_seq.predict(two_labels["toys"], in_split(two_labels), device="cpu")
    error = mean_absolute_error(truth(found, "toys"), found["toys"])
    assert -error == pytest.approx(scores["test"], rel=1e-4)


def test_a_head_is_batch_norm_and_linear_maps(two_labels: dict[str, Path]) -> None:
    model = load(two_labels["churned"], device="cpu")
    found, vectors = model.predict_proba(in_split(two_labels)), model.embed(in_split(two_labels))
    stored = {
        name: v.astype(float) for name, v in load_file(model.run / "head.safetensors").items()
    }
    scale = np.sqrt(stored["0.running_var"] + 1e-5)
    normed = (vectors.to_numpy() - stored["0.running_mean"]) / scale
    normed = normed * stored["0.weight"] + stored["0.bias"]
    hidden = np.maximum(normed @ stored["1.weight"].T + stored["1.bias"], 0)
    logits = np.exp(hidden @ stored["3.weight"].T + stored["3.bias"])
    np.testing.assert_allclose(found, logits / logits.sum(axis=1, keepdims=True), rtol=1e-4)
    assert hidden.shape[1] == 5


def test_classifiers_of_folds_are_averaged(two_labels: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(two_labels["pretrained"], run)
    commands.evaluate(
        [f"run={run}", f"prepared={two_labels['prepared']}", "folds=3", "label=churned", *EVALUATE]
    )
    stored = json.loads((run / "classifier.json").read_text("utf-8"))
    boosters = [lightgbm.Booster(model_str=fit["trees"]) for fit in stored["fits"]]
    vectors = pd.concat(
        pd.read_parquet(run / "embeddings" / f"{split}.parquet").set_index("customer")
        for split in ("train", "val", "test")
    ).filter(like="emb_")
    scored = pd.read_parquet(run / "predictions.parquet").set_index("customer")
    for fold, booster in enumerate(boosters):
        rows = scored[scored["fold"] == fold]
        found = booster.predict(vectors.loc[rows.index])
        np.testing.assert_allclose(found, rows["embedding/1"], rtol=1e-5)
    averaged = load(run, device="cpu").predict_proba(in_split(two_labels))
    expected = np.mean([b.predict(vectors.loc[averaged.index]) for b in boosters], axis=0)
    np.testing.assert_allclose(averaged["1"], expected, rtol=1e-4)


def test_what_cannot_be_predicted_is_said(two_labels: dict[str, Path], tmp_path: Path) -> None:
    few, model = in_split(two_labels), load(two_labels["pretrained"], device="cpu")
    with pytest.raises(ValueError, match="no label 'toy'; did you mean 'toys'"):
        model.predict(few, label="toy")
    with pytest.raises(ValueError, match=r"label 'toys' is a number: use model\.predict"):
        model.predict_proba(few, label="toys")
    with pytest.raises(ValueError, match=r"label 'churned' has classes: use model\.predict_proba"):
        model.predict(few)
    with pytest.raises(FileNotFoundError, match=r"evaluate run=.* label=churned store=true"):
        load(two_labels["toys"], device="cpu").predict_proba(few, label="churned")
    with pytest.raises(ValueError, match=r"store=true puts the classifier into the run"):
        commands.evaluate([f"run={two_labels['pretrained']}", f"output={tmp_path}", "store=true"])
    model.eval_length = 3
    with pytest.raises(ValueError, match=r"last 1200 events, not 3: set model\.eval_length"):
        model.predict_proba(few)


@pytest.mark.parametrize("kind", ["pretrained", "churned"])
def test_files_of_others_are_refused(
    two_labels: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    run, few = tmp_path / "run", in_split(two_labels)
    shutil.copytree(two_labels[kind], run)
    path = run / ("classifier.json" if kind == "pretrained" else "head.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    with pytest.raises(ValueError, match="is damaged: its bytes have another checksum"):
        load(run, device="cpu").predict_proba(few)
    if kind == "pretrained":
        stored = json.loads(content)
        stored["made_of"]["model"] = "another"
        path.write_text(json.dumps(stored), "utf-8")
        words = "was made by another model of the run; make it again with `grap-seq evaluate"
    else:
        words = "belongs to other weights than head.safetensors"
    reseal(run)
    with pytest.raises(ValueError, match=words):
        load(run, device="cpu").predict_proba(few)
