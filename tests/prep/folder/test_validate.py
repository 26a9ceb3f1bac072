"""A prepared folder in order passes; every kind of damage is named with its sequence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from grap_seq.prep.folder.validate import validate
from grap_seq.prep.prepare import prepare
from tests.prep.helpers import rewrite_manifest, write_source

PART = "train/part-00000.parquet"
Row = dict[str, Any]


@pytest.fixture
def folder(shop: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shop, tmp_path / "prepared"))


def test_a_folder_in_order_passes(folder: Path) -> None:
    assert validate(folder).dataset == "shop"


def _rewrite(folder: Path, change: Callable[[list[Row]], object]) -> None:
    """Change the rows of a part, and the manifest's checksum with it."""
    table = pq.read_table(folder / PART)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), folder / PART)
    rewrite_manifest(folder)


def _set(name: str, event: int, value: float) -> Callable[[list[Row]], None]:
    def change(rows: list[Row]) -> None:
        rows[3][name][event] = value

    return change


def _update(row: int, **values: Any) -> Callable[[list[Row]], object]:
    return lambda rows: rows[row].update(values)


def test_local_labels_lie_inside_their_sequence(tmp_path: Path) -> None:
    changes = {"label": "churned", "labels": "labels.csv", "label_time": "asked"}
    source = write_source(tmp_path, **changes, local_labels=True)
    (tmp_path / "labels.csv").write_text("client,churned,asked\n1,0,1\n1,1,2\n2,1,9\n")
    prepare("table", tmp_path / "out", source=source)
    validate(tmp_path / "out")
    whole = {"label": [0, 1], "label_position": [0, 1]}
    for change, message in (
        ({"label": [0, 2]}, "unknown class of client 1"),
        ({"label": [0]}, "length of 'label_position' of client 1"),
        ({"label_position": [0, 2]}, "label outside the events of client 1"),
        ({"label_position": [-1, 1]}, "label outside the events of client 1"),
        ({"label_position": [1, 0]}, "labels out of order of client 1"),
    ):
        _rewrite(tmp_path / "out", _update(0, **whole | change))
        with pytest.raises(ValueError, match=message):
            validate(tmp_path / "out")


DAMAGE: dict[str, tuple[Callable[[list[Row]], object], str]] = {
    "code 0 is padding": (_set("kind", 1, 0), "code outside the vocabulary of 'kind' of customer"),
    "code too large": (_set("kind", 0, 5), "code outside the vocabulary of 'kind' of customer"),
    "time back": (_set("event_time", 1, -1.0), "times out of order of customer"),
    "no time": (_set("event_time", 0, float("nan")), "time that is no number of customer"),
    "infinite": (_set("amount", 2, float("inf")), "infinite number in 'amount' of customer"),
    "short list": (lambda rows: rows[3]["kind"].pop(), "length of 'kind' of customer"),
    "class": (_update(3, label=2), "unknown class of customer"),
    "lost row": (lambda rows: rows.pop(), "train: holds .*manifest.json says"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_sequence_is_named(case: str, folder: Path) -> None:
    change, message = DAMAGE[case]
    customer = pq.read_table(folder / PART)["customer"].to_pylist()[3]
    _rewrite(folder, change)
    expected = f"{message} {customer}$" if message.endswith("customer") else message
    with pytest.raises(ValueError, match=expected):
        validate(folder)


def test_sequence_in_two_splits(folder: Path) -> None:
    row = pq.read_table(folder / "test").to_pylist()[0]
    _rewrite(folder, lambda rows: rows.append(row))
    with pytest.raises(ValueError, match=rf"customer {row['customer']} is also in train"):
        validate(folder)


def test_changed_and_missing_files(folder: Path) -> None:
    with (folder / PART).open("ab") as file:
        file.write(b" ")
    (folder / "val" / "part-00000.parquet").unlink()
    (folder / "test" / "part-00009.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match="prepare it again") as error:
        validate(folder)
    assert f"{PART}: another checksum than in manifest.json" in str(error.value)
    assert "val/part-00000.parquet: missing" in str(error.value)
    assert "test/part-00009.parquet: not in manifest.json" in str(error.value)


def test_descriptions_that_do_not_belong(folder: Path) -> None:
    path = folder / "vocab.json"
    content = json.loads(path.read_text("utf-8"))
    content["categorical"]["kind"].append("more")
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(ValueError, match=r"vocab\.json: another checksum"):
        validate(folder)
    rewrite_manifest(folder)
    with pytest.raises(ValueError, match="vocabularies do not belong to schema"):
        validate(folder)
    schema = yaml.safe_load((folder / "schema.yaml").read_text("utf-8"))
    schema["time_unit"] = "week"
    (folder / "schema.yaml").write_text(yaml.safe_dump(schema), "utf-8")
    rewrite_manifest(folder)
    with pytest.raises(ValueError, match=r"schema\.yaml was changed"):
        validate(folder)
