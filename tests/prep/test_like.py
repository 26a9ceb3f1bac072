"""New data coded with what was fitted to other data: `prepare(..., like=...)`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console

from grap_seq.prep.fetch.synth import synth
from grap_seq.prep.folder.manifest import Manifest
from grap_seq.prep.folder.validate import validate
from grap_seq.prep.prepare import prepare
from grap_seq.prep.stages import sequences as stages
from grap_seq.prep.transform import encode
from grap_seq.schema import SPLITS, Schema
from tests.prep.helpers import SPEC, content_of, rewrite_manifest, rows_of
from tests.sealed import reseal

CHANGES: dict[str, Any] = {
    "categorical": ["kind", "code"],
    "numerical": {"amount": {"by": "kind", "log": True}},
    "split": {"validation": 0.2, "test": 0.2},
    "label": "left",
    "labels": "labels.csv",
}


def _frame(seed: int, clients: range) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    rows = 300
    return pd.DataFrame(
        {
            "client": random.integers(clients.start, clients.stop, rows),
            "when": random.integers(0, 90, rows) / 2,
            "kind": random.choice(np.array(["a", "b", "c", None]), rows),
            "code": random.choice([1.0, 2.0, np.nan], rows),
            "amount": np.where(random.random(rows) < 0.2, np.nan, random.lognormal(2, 2, rows)),
        }
    )


def _write(folder: Path, frame: pd.DataFrame, *, labels: bool = True, spec: bool = True) -> Path:
    folder.mkdir()
    frame.to_csv(folder / "events.csv", index=False)
    if spec:
        (folder / "events.yaml").write_text(yaml.safe_dump({**SPEC, **CHANGES}), "utf-8")
    if labels:
        ids = sorted(set(frame["client"]))
        table = pd.DataFrame({"client": ids, "left": [f"{n % 3 == 0}".lower() for n in ids]})
        table.to_csv(folder / "labels.csv", index=False)
    return folder / "events.csv"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with raw/ and what was prepared from it in out/."""
    place = tmp_path_factory.mktemp("old")
    prepare("table", place / "out", source=_write(place / "raw", _frame(3, range(1, 40))))
    return place


def _show(manifest: Manifest) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(manifest)
    return capture.get()


def test_the_same_raw_data_give_the_same_bytes(old: Path, tmp_path: Path) -> None:
    prepare("table", tmp_path / "out", source=old / "raw" / "events.csv", like=old / "out")
    assert content_of(tmp_path / "out") == content_of(old / "out")


def test_a_run_serves_as_well(old: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("vocab.json", "schema.yaml"):
        shutil.copyfile(old / "out" / name, run / name)
    reseal(run)
    prepare("table", tmp_path / "out", source=old / "raw" / "events.csv", like=run)
    assert content_of(tmp_path / "out") == content_of(old / "out")


def test_new_data_agree_with_encode_and_count_what_is_unseen(old: Path, tmp_path: Path) -> None:
    frame = _frame(4, range(100, 140))
    frame.loc[:9, "kind"] = "new"
    frame["code"] = 7
    source = _write(tmp_path / "raw", frame, spec=False)
    manifest = prepare("table", tmp_path / "out", source=source, like=old / "out")
    assert Schema.load(tmp_path / "out").hash == Schema.load(old / "out").hash
    validate(tmp_path / "out")
    parts = [pq.read_table(tmp_path / "out" / split) for split in SPLITS]
    assert all(part.num_rows for part in parts)
    found = pa.concat_tables(parts).sort_by("client")
    labels = found["label"].to_pylist()
    assert labels == [int(client % 3 == 0) for client in found["client"].to_pylist()]
    with pytest.warns(UserWarning, match="no value of 'code'"):
        expected = encode(frame, old / "out")
    assert repr(found.drop_columns("label").to_pydict()) == repr(expected.to_pydict())
    assert manifest.unseen == {"kind": 10, "code": 300}
    text = _show(manifest)
    assert "not in the vocabulary of 'kind', coded as rare: 10 of 300 events, 3.3%" in text
    assert "warning: no value of 'code' is known" in text
    assert "no value of 'kind'" not in text


def test_data_to_score_have_neither_labels_nor_a_description(old: Path, tmp_path: Path) -> None:
    frame = _frame(4, range(100, 140))
    source = _write(tmp_path / "raw", frame, labels=False, spec=False)
    manifest = prepare("table", tmp_path / "out", source=source, like=old / "out")
    counts = {split: manifest.splits[split]["sequences"] for split in SPLITS}
    assert counts == {"train": 0, "val": 0, "test": frame["client"].nunique()}
    assert "no sequence has a label: all are in the split test" in _show(manifest)
    validate(tmp_path / "out")
    one = tmp_path / "one.csv"
    frame[frame["client"] == frame["client"][0]].to_csv(one, index=False)
    prepare("table", tmp_path / "one", source=one, like=tmp_path / "out")
    (row,) = rows_of(tmp_path / "one", "test")
    assert repr(row) in map(repr, rows_of(tmp_path / "out", "test"))


def test_labels_of_one_class_and_empty_labels_are_fine(old: Path, tmp_path: Path) -> None:
    source = _write(tmp_path / "raw", _frame(4, range(1, 5)))
    labels = source.with_name("labels.csv")
    labels.write_text("client,left\n1,true\n2,\n", "utf-8")
    manifest = prepare("table", tmp_path / "one", source=source, like=old / "out")
    assert sum(split["classes"]["true"] for split in manifest.splits.values()) == 1
    labels.write_text("client,left\n1,\n2,\n", "utf-8")
    manifest = prepare("table", tmp_path / "none", source=source, like=old / "out")
    assert manifest.splits["test"]["sequences"] == 4


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "class": ({}, {"client": [1, 2], "left": ["true", "maybe"]}, "'maybe', in preparation"),
    "labels of others": ({}, {"client": [77], "left": ["true"]}, "no label belongs to an id"),
    "column": ({"kind": None}, {}, "no column 'kind'"),
    "time": ({"when": "2020-01-01"}, {}, "'when' is a timestamp, in preparation it was a number"),
    "id": ({"client": "x1"}, {}, "ids of 'client' were integers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named(case: str, old: Path, tmp_path: Path) -> None:
    columns, labels, message = WRONG[case]
    frame = _frame(4, range(1, 5)).assign(**columns)
    frame = frame.drop(columns=[name for name, value in columns.items() if value is None])
    source = _write(tmp_path / "raw", frame, labels=False)
    if labels:
        pd.DataFrame(labels).to_csv(source.with_name("labels.csv"), index=False)
    with pytest.raises(ValueError, match=message):
        prepare("table", tmp_path / "out", source=source, like=old / "out")
    assert not (tmp_path / "out").exists()


def test_descriptions_and_folders_that_do_not_belong(old: Path, tmp_path: Path) -> None:
    source = old / "raw" / "events.csv"
    with pytest.raises(ValueError, match=r"'flights' and .* as 'shop'; they differ in name"):
        prepare("flights", tmp_path / "out", like=old / "out")
    spec = tmp_path / "other.yaml"
    spec.write_text(yaml.safe_dump({**SPEC, **CHANGES, "time_unit": "hour"}), "utf-8")
    with pytest.raises(ValueError, match="they differ in time_unit"):
        prepare("table", tmp_path / "out", source=source, spec=spec, like=old / "out")
    with pytest.raises(FileNotFoundError, match="neither a prepared folder nor a run"):
        prepare("table", tmp_path / "out", source=source, like=tmp_path)
    with pytest.raises(ValueError, match="is also the output"):
        prepare("table", old / "out", source=source, like=old / "out", overwrite=True)


def test_an_interrupted_run_continues_unless_the_vocabulary_changed(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = _write(tmp_path / "raw", _frame(4, range(100, 140))), tmp_path / "out"
    monkeypatch.setattr(stages, "VALUES_PER_BUCKET", 400)
    prepare("table", tmp_path / "whole", source=source, like=old / "out")
    like = tmp_path / "like"
    shutil.copytree(old / "out", like)
    write = pq.write_table
    written: list[Path] = []

    def at_most(number: int) -> None:
        written.clear()

        def record(table: pa.Table, path: Path, **options: Any) -> None:
            if len(written) == number:
                raise RuntimeError
            written.append(path)
            write(table, path, **options)

        monkeypatch.setattr(pq, "write_table", record)

    at_most(4)
    with pytest.raises(RuntimeError):
        prepare("table", output, source=source, like=like)
    at_most(5)
    with pytest.raises(RuntimeError):
        prepare("table", output, source=source, like=like)
    assert len(written) == 5
    vocabulary = json.loads((like / "vocab.json").read_text("utf-8"))
    vocabulary["categorical"]["kind"].reverse()
    (like / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    rewrite_manifest(like)
    at_most(9)
    prepare("table", output, source=source, like=like)
    assert len(written) == 9
    assert content_of(output) != content_of(tmp_path / "whole")
    at_most(4)
    with pytest.raises(RuntimeError):
        prepare("table", output, source=source, like=old / "out", overwrite=True)
    at_most(9)
    prepare("table", output, source=source, like=old / "out", overwrite=True)
    assert len(written) == 6
    assert content_of(output, manifest=True) == content_of(tmp_path / "whole", manifest=True)


@pytest.mark.parametrize(
    ("name", "labelled"),
    [
        ("churn", ["train.csv.gz"]),
        ("agepred", ["transactions_train.csv", "train_target.csv"]),
        ("alfabattle", ["train_transactions", "train_target.csv"]),
    ],
)
def test_the_unlabelled_part_of_a_dataset_alone(
    name: str, labelled: list[str], tmp_path: Path
) -> None:
    """It is how new data of these datasets come; what it gave within the whole, it gives alone."""
    raw = synth(name, tmp_path / "raw", 8000, 0)
    prepare(name, tmp_path / "all", source=raw)
    for file in labelled:
        path = raw / file
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ValueError, match=rf"{name}: the source has no labels; put "):
        prepare(name, tmp_path / "new", source=raw)
    prepare(name, tmp_path / "new", source=raw, like=tmp_path / "all")
    whole = [row for split in SPLITS for row in rows_of(tmp_path / "all", split)]
    new = rows_of(tmp_path / "new", "test")
    for row in (*whole, *new):
        # Where it is the newest event of the table, it is another table's.
        row.pop("until", None)
    expected = sorted(repr(row) for row in whole if row["label"] is None)
    assert expected
    assert sorted(map(repr, new)) == expected
