"""Training by a number, and by one of several labels."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import mean_absolute_error, r2_score

from grap_seq import config as configs
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.embed import embed_rows
from grap_seq.nn.build import build_model
from grap_seq.nn.label_head import build_head
from grap_seq.objectives.composite import CompositeObjective
from grap_seq.prep.prepare import prepare
from grap_seq.schema import Schema
from grap_seq.training.finetune import finetune, settings_of, supervised
from grap_seq.training.pretrain import build_module, describe, pretrain
from grap_seq.training.supervised import SupervisedModule, head_score
from tests.shop import SPEC, purchases

# One process of `make test` runs them all: the folder below is prepared once.
pytestmark = pytest.mark.xdist_group("label_kinds")
SMALL = ["dataset=table", "dataset.hidden=8", "event_width=8", "trainer.threads=1", "batch_size=16"]
TREES = "dataset.boosting={regression: {n_estimators: 20, learning_rate: 0.2, min_data_in_leaf: 5}}"


@pytest.fixture(scope="module")
def spending(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Customers with two labels: whether they churn, and how many toys they bought."""
    folder = tmp_path_factory.mktemp("spending")
    events = purchases(120)
    toys = (events["kind"] == "toys").groupby(events["customer"]).sum()
    events["toys"] = 100.0 + 7.0 * events["customer"].map(toys)
    # Some are unknown, of either label.
    events.loc[events["customer"] % 10 == 3, "toys"] = np.nan
    events.loc[events["customer"] % 10 == 4, "churned"] = np.nan
    events.to_csv(folder / "events.csv", index=False)
    spec = yaml.safe_load(SPEC) | {"label": ["churned", "toys"], "metric": {"toys": "mae"}}
    (folder / "events.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    prepare("table", folder / "prepared", source=folder / "events.csv")
    return folder / "prepared"


def test_sequences_have_the_label_that_is_named(spending: Path) -> None:
    first, toys = Sequences(spending, "train"), Sequences(spending, "train", "toys")
    assert first.labels.dtype == np.dtype(np.int64)
    assert toys.labels.dtype == np.dtype(np.float32)
    assert first.label is not None
    assert first.label.name == "churned"
    ids = first.ids(0, len(first)).to_numpy()
    assert (first.labelled == (ids % 10 != 4)).all()
    assert (toys.labelled == (ids % 10 != 3)).all()
    assert toys.labels[toys.labelled].mean() == pytest.approx(0, abs=1e-6)
    assert toys.labels[toys.labelled].std() == pytest.approx(1, rel=1e-5)
    assert len(toys.examples()) == toys.labelled.sum()
    few = toys.with_labels(0.5)
    assert 0 < few.labelled.sum() < toys.labelled.sum()
    assert np.isnan(few.labels[~few.labelled]).all()
    with pytest.raises(ValueError, match="no label 'toy'; did you mean 'toys'"):
        Sequences(spending, "train", "toy")


def test_grap_learns_weights_from_a_number(spending: Path, tmp_path: Path) -> None:
    chosen = ["labels.name=toys", "epochs=2", "select=probe", TREES, "log_every=1"]
    folders = [f"prepared={spending}", f"run={tmp_path / 'run'}"]
    run = pretrain(configs.compose("pretrain", [*SMALL, *chosen, *folders]))
    metrics = pd.read_csv(run / "metrics.csv")
    assert metrics["loss/downstream"].gt(0).all()
    # A mean absolute error with a minus sign, in toys times seven.
    assert metrics["val_probe"].between(-50, 0).all()
    weights = pd.read_parquet(run / "weights.parquet").filter(like="weight/")
    assert (weights.iloc[-1] != weights.iloc[0]).any()


def test_the_downstream_head_is_that_of_the_label(spending: Path) -> None:
    schema = Schema.load(spending)
    for name, outputs in ((None, 2), ("churned", 2), ("toys", 1)):
        chosen = [] if name is None else [f"labels.name={name}"]
        module, _ = build_module(configs.compose("pretrain", [*SMALL, *chosen]), schema)
        assert isinstance(module.objective, CompositeObjective)
        assert module.objective.downstream is not None
        assert module.objective.downstream.output.out_features == outputs


def test_supervised_and_fine_tuned_by_a_number(spending: Path, tmp_path: Path) -> None:
    base = [*SMALL, f"prepared={spending}", "labels.name=toys"]
    chosen = ["mode=supervised", "epochs=30", "lr=0.02", f"run={tmp_path / 'supervised'}"]
    run = supervised(configs.compose("pretrain", [*base, *chosen]))
    head = json.loads((run / "head.json").read_text("utf-8"))
    assert (head["label"], head["metric"]) == ("toys", "mae")
    val = Sequences(spending, "val", "toys")
    assert val.label is not None
    known = val.labels[val.labelled] * val.label.std
    assert head["validation"] > -np.abs(known).mean()
    first = [*base, "epochs=1", "select=last", f"run={tmp_path / 'first'}"]
    pretrained = pretrain(configs.compose("pretrain", first))
    chosen = [f"run={pretrained}", f"output={tmp_path / 'tuned'}", "epochs=1"]
    tuned = finetune(settings_of(configs.compose("finetune", chosen)))
    head = json.loads((tuned / "head.json").read_text("utf-8"))
    # The label is the pretrained run's.
    assert head["label"] == "toys"
    assert -50 < head["test"] < 0


@pytest.mark.parametrize("metric", ["mae", "r2"])
def test_head_score_is_in_the_unit_of_the_label(spending: Path, metric: str) -> None:
    # Without training data there is no gap that `auto` could be.
    settings = configs.compose("pretrain", [*SMALL, "dataset.max_time_gap=30"])
    model = build_model(Schema.load(spending), describe(settings))
    val = Sequences(spending, "val", "toys")
    assert val.label is not None
    label = dataclasses.replace(val.label, metric=metric)  # type: ignore[arg-type]
    head = build_head(model.embedding_size, 1)
    module = SupervisedModule(model, head, label)
    found = head_score(module, val, 1200)
    rows = np.flatnonzero(val.labelled)
    vectors = embed_rows(model, val, rows, 1200).astype(float)
    weight = head.get_parameter("1.weight").detach().double().numpy()[0]
    bias = head.get_parameter("1.bias").item()
    scale = np.sqrt(1 + 1e-5)  # Of a fresh batch norm.
    numbers = (vectors @ weight / scale + bias) * label.std + label.mean
    true = val.labels[rows].astype(float) * label.std + label.mean
    expected = r2_score(true, numbers) if metric == "r2" else -mean_absolute_error(true, numbers)
    assert found == pytest.approx(expected, rel=1e-4)
