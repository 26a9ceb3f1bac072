"""Labels that are numbers, and several labels of one sequence: from description to parts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console

from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.folder.manifest import Manifest
from grap_seq.prep.folder.state import State
from grap_seq.prep.folder.validate import validate
from grap_seq.prep.prepare import prepare
from grap_seq.prep.transform import read_events
from grap_seq.schema import SPLITS, Label, Schema
from tests.prep.helpers import SPEC, rows_of, write_source
from tests.sealed import reseal

BOTH: dict[str, Any] = {"label": ["sex", "age"], "metric": {"age": "mae"}, "labels": "labels.csv"}
LABELS = "client,sex,age\n1,f,30\n2,m,50.5\n3,,\n"
EVENTS = "client,when,kind,amount\n1,0,a,1\n1,1,b,3\n2,0,a,5\n3,2,a,7\n"


def _prepare(folder: Path, labels: str = LABELS, strict: bool = True, **changes: Any) -> Manifest:
    source = write_source(folder / "raw", EVENTS, **{**BOTH, **changes})
    (folder / "raw" / "labels.csv").write_text(labels, "utf-8")
    return prepare("table", folder / "out", source=source, strict=strict)


def test_two_labels_of_one_file(tmp_path: Path) -> None:
    manifest = _prepare(tmp_path)
    # By hand: the mean of 30 and 50.5 is 40.25, their deviation 10.25.
    assert [(row["label"], row["label:age"]) for row in rows_of(tmp_path / "out")] == [
        (0, -1.0),
        (1, 1.0),
        (None, None),
    ]
    sex, age = Schema.load(tmp_path / "out").labels
    assert sex == Label("sex", "auc", ("f", "m"))
    assert (age.metric, age.classes) == ("mae", ())
    assert (age.mean, age.std) == pytest.approx((40.25, 10.25), rel=1e-9)
    assert State.load(tmp_path / "out").labels == (sex, age)
    assert manifest.splits["train"] == {
        "sequences": 3,
        "events": 4,
        "labelled": 2,
        "classes": {"f": 1, "m": 1},
        "labels": {"age": {"labelled": 2, "classes": {}}},
    }
    validate(tmp_path / "out")
    console = Console(record=True, width=100)
    console.print(manifest)
    assert "with the label age: train 2, val 0, test 0" in console.export_text()
    events = read_events("table", tmp_path / "raw" / "events.csv")
    assert events["sex"].fillna("-").tolist() == ["f", "f", "m", "-"]


def test_a_number_as_the_only_label_among_the_events(tmp_path: Path) -> None:
    events = "client,when,kind,amount,spend\n1,0,a,1,2e3\n1,1,b,3,2000\n2,0,a,5,-1\n3,2,a,7,\n"
    source = write_source(tmp_path, events, label="spend", metric="r2")
    manifest = prepare("table", tmp_path / "out", source=source)
    assert [row["label"] for row in rows_of(tmp_path / "out")] == [1.0, -1.0, None]
    assert manifest.splits["train"]["labelled"] == 2
    assert manifest.warnings == []


def test_mean_and_deviation_are_those_of_training(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    raw = pd.DataFrame({"client": np.arange(300), "when": 0, "kind": "a", "amount": 1.0})
    raw["spend"] = rng.lognormal(3, 1, 300)
    (tmp_path / "raw").mkdir()
    raw.to_parquet(tmp_path / "raw" / "events.parquet")
    split = {"validation": 0.3, "test": 0.3}
    spec = {**SPEC, "label": "spend", "metric": "mae", "split": split}
    (tmp_path / "raw" / "events.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    prepare("table", tmp_path / "out", source=tmp_path / "raw" / "events.parquet")
    parts = {name: pq.read_table(tmp_path / "out" / name).to_pandas() for name in SPLITS}
    spend = raw.set_index("client")["spend"]
    train = spend[parts["train"]["client"]]
    for part in parts.values():
        expected = (spend[part["client"]] - train.mean()) / train.std(ddof=0)
        np.testing.assert_allclose(part["label"], expected, rtol=1e-5, atol=1e-6)


def test_new_data_keep_the_scale(tmp_path: Path) -> None:
    _prepare(tmp_path)
    source = write_source(tmp_path / "new", "client,when,kind,amount\n9,0,a,1\n", **BOTH)
    (tmp_path / "new" / "labels.csv").write_text("client,sex,age\n9,m,60.75\n", "utf-8")
    prepare("table", tmp_path / "coded", source=source, like=tmp_path / "out")
    assert [(r["label"], r["label:age"]) for r in rows_of(tmp_path / "coded")] == [(1, 2.0)]
    assert Schema.load(tmp_path / "coded").hash == Schema.load(tmp_path / "out").hash


@pytest.mark.parametrize(
    ("labels", "message", "dropped"),
    [
        (
            "client,sex,age\n1,f,30\n2,m,old\n3,m,31\n",
            r"labels\.csv, row 2: no finite number in label column 'age': 'old'",
            "no finite number in label column 'age'",
        ),
        (
            "client,sex,age\n1,f,30\n2,m,inf\n3,m,31\n",
            r"labels\.csv, row 2: no finite number in label column 'age': 'inf'",
            "no finite number in label column 'age'",
        ),
        (
            "client,sex,age\n1,f,30\n2,m,50\n3,f,40\n1,f,31\n",
            r"labels\.csv, row 1: conflicting labels of an id in column 'age': '1'",
            "conflicting labels of an id in column 'age'",
        ),
    ],
)
def test_bad_number_is_named_or_dropped(
    labels: str, message: str, dropped: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        _prepare(tmp_path, labels)
    manifest = _prepare(tmp_path, labels, strict=False)
    assert set(manifest.dropped) == {dropped}
    assert [row["label"] for row in rows_of(tmp_path / "out")].count(None) == 0
    assert [row["label:age"] for row in rows_of(tmp_path / "out")].count(None) == 1


def test_the_same_number_written_twice_is_no_conflict(tmp_path: Path) -> None:
    _prepare(tmp_path, LABELS + "1,f,3e1\n")
    assert rows_of(tmp_path / "out")[0]["label:age"] == -1.0


@pytest.mark.parametrize(
    ("labels", "changes", "message"),
    [
        (
            "client,sex,age\n1,f,30\n2,m,30.0\n",
            {},
            "the label 'age' has the same number everywhere, 30",
        ),
        ("client,sex,age\n1,f,\n2,m,\n", {}, "the label 'age' has no number"),
        (LABELS, {"label": ["sex", "aeg"]}, "metric: unknown key 'age'; did you mean 'aeg'"),
        (LABELS, {"metric": "mae"}, r"for which of sex, age\? With several labels write metric:"),
        (LABELS, {"metric": {"age": "mse"}}, "metric: age: 'mse': did you mean"),
        (LABELS, {"label": ["sex", "age", "sex"]}, "the label 'sex' is named twice"),
        (LABELS, {"label": ["sex", "kind", "age"]}, "the label 'kind' is also an input column"),
        (
            LABELS,
            {"local_labels": True, "label_time": "day"},
            "local_labels takes one label; name one of sex, age",
        ),
    ],
)
def test_refused_with_a_remedy(
    labels: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        _prepare(tmp_path, labels, **changes)


def test_many_numbers_are_not_taken_for_classes(tmp_path: Path) -> None:
    ids = range(61)
    events = "client,when,kind,amount\n" + "".join(f"{n},0,a,1\n" for n in ids)
    labels = "client,age\n" + "".join(f"{n},{n + 0.5}\n" for n in ids)

    def run(folder: Path, **changes: Any) -> None:
        source = write_source(folder, events, label="age", labels="labels.csv", **changes)
        (folder / "labels.csv").write_text(labels, "utf-8")
        prepare("table", folder / "out", source=source)

    message = r"'age' has 61 different numbers\. To predict the number, write metric: r2 .*or mae"
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "silent")
    run(tmp_path / "classes", metric="accuracy")
    assert len(Schema.load(tmp_path / "classes" / "out").labels[0].classes) == 61
    run(tmp_path / "numbers", metric="r2")
    assert Schema.load(tmp_path / "numbers" / "out").labels[0].outputs == 1


def test_several_numbers_a_sequence(tmp_path: Path) -> None:
    labels = "client,day,spend\n1,0.5,10\n1,3,20\n2,1,30\n"
    changes: dict[str, Any] = {"label": "spend", "metric": "r2"}
    changes |= {"local_labels": True, "label_time": "day"}
    _prepare(tmp_path, labels, **changes)
    rows = rows_of(tmp_path / "out")
    deviation = np.std([10, 20, 30])
    assert rows[0]["label"] == pytest.approx([-10 / deviation, 0.0])
    assert [row["label_position"] for row in rows] == [[0, 1], [0], None]
    validate(tmp_path / "out")


def test_folders_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    """One label stood by itself, with the classes and the metric beside it."""
    write = {"name": "shop", "id": "client", "time_unit": "day", "fields": []}
    write |= {"label": "left", "classes": ["no", "yes"], "metric": "auc"}
    digest = "7d9b1d1c4bb6bc4f0cf4e8ad0bb5d6b6ad9d2bcbf4ea9fd5b4c2b8e2ef5a2f0d"
    path = tmp_path / "schema.yaml"
    path.write_text(yaml.safe_dump({**write, "hash": digest}), "utf-8")
    with pytest.raises(ValueError, match="changed after preparation"):
        Schema.load(tmp_path)
    digest = hashlib.sha256(json.dumps(write, sort_keys=True).encode()).hexdigest()
    path.write_text(yaml.safe_dump({**write, "hash": digest}), "utf-8")
    assert Schema.load(tmp_path).labels == (Label("left", "auc", ("no", "yes")),)
    spec = DatasetSpec.from_dict({**SPEC, "label": "left"}).to_dict()
    spec |= {"label": "left", "metric": None}
    content = {"spec": spec, "categorical": {}, "numerical": {}, "label": {"classes": ["n", "y"]}}
    content |= {"id": {"type": "string"}, "time": {"kind": "number"}}
    (tmp_path / "vocab.json").write_text(json.dumps(content), "utf-8")
    reseal(tmp_path)
    assert State.load(tmp_path).labels == (Label("left", "auc", ("n", "y")),)
