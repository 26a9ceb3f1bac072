"""Fields with one value a sequence: from the label file or constant columns of the events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.folder.manifest import Manifest
from grap_seq.prep.folder.state import State
from grap_seq.prep.folder.validate import validate
from grap_seq.prep.prepare import prepare
from grap_seq.prep.transform import encode
from grap_seq.schema import Field, Schema
from tests.prep.helpers import SPEC, rows_of, write_source

EVENTS = """client,when,kind,amount,region,age
1,0,a,1,north,30
1,1,b,3,north,30
2,0,a,5,south,50
2,1,a,5,,50
3,2,a,7,north,
4,2,a,7,,40
"""
STATIC = {"categorical": ["region"], "numerical": {"age": {"clip": [0, 1]}}}
# Sequences count once: north 2, south 1, missing 1; ages 30, 50, 40 have mean 40.
DEVIATION = float(np.std([30, 40, 50]))
CODES = {1: 1, 2: 2, 3: 1, 4: 3}
AGES: dict[int, float] = {1: -10 / DEVIATION, 2: 10 / DEVIATION, 3: np.nan, 4: 0.0}


def _prepare(
    folder: Path,
    events: str = EVENTS,
    labels: str | None = None,
    strict: bool = True,
    static: Any = STATIC,
    **changes: Any,
) -> Manifest:
    if labels is not None:
        changes = {"label": "left", "labels": "labels.csv", **changes}
    source = write_source(folder, events, static=static, **changes)
    if labels is not None:
        (folder / "labels.csv").write_text(labels, "utf-8")
    return prepare("table", folder / "out", source=source, strict=strict)


def _check(folder: Path, split: str = "train") -> None:
    rows = rows_of(folder, split)
    assert {row["client"]: row["region"] for row in rows} == CODES
    found = [row["age"] for row in rows]
    np.testing.assert_allclose(found, [AGES[row["client"]] for row in rows], rtol=1e-6)


def test_columns_of_the_events(tmp_path: Path) -> None:
    _prepare(tmp_path)
    _check(tmp_path / "out")
    schema = Schema.load(tmp_path / "out")
    assert schema.static == (Field("region", "categorical", size=5), Field("age", "numerical"))
    assert [field.name for field in schema.fields] == ["kind", "amount"]
    state = State.load(tmp_path / "out")
    assert state.static_categorical == {"region": ("north", "south", None)}
    assert state.static_numerical["age"].missing == 1
    validate(tmp_path / "out")


def test_columns_of_the_label_file(tmp_path: Path) -> None:
    events = "\n".join(line.rsplit(",", 2)[0] for line in EVENTS.splitlines())
    labels = "client,left,region,age\n1,0,north,30\n2,1,south,50\n3,,north,\n4,1,,40\n"
    _prepare(tmp_path, events, labels)
    _check(tmp_path / "out")
    with pytest.raises(ValueError, match="static names a column 'region'"):
        encode(pd.read_csv(tmp_path / "events.csv"), tmp_path / "out")


def test_an_id_without_a_row_has_none(tmp_path: Path) -> None:
    events = "\n".join(line.rsplit(",", 2)[0] for line in EVENTS.splitlines())
    labels = "client,left,region,age\n1,0,north,30\n2,1,south,50\n3,,north,\n"
    _prepare(tmp_path, events, labels)
    assert rows_of(tmp_path / "out")[3]["region"] == 3
    assert np.isnan(rows_of(tmp_path / "out")[3]["age"])


def test_numbers_scaled_by_a_static_category(tmp_path: Path) -> None:
    static = {"categorical": ["region"], "numerical": {"age": {"by": "region", "clip": [0, 1]}}}
    _prepare(tmp_path, static=static)
    # Each region has one age, which is its own mean.
    assert [row["age"] for row in rows_of(tmp_path / "out")[:2]] == [0.0, 0.0]


def test_new_data(tmp_path: Path) -> None:
    _prepare(
        tmp_path, until="seen", events=EVENTS.replace("\n", ",9\n").replace("age,9", "age,seen")
    )
    frame = pd.read_csv(tmp_path / "events.csv").sample(frac=1, random_state=0)
    coded = encode(frame, tmp_path / "out")
    assert coded.column_names == [*Schema.load(tmp_path / "out").columns[:-1]]
    expected = [{k: v for k, v in row.items() if k != "label"} for row in rows_of(tmp_path / "out")]
    assert repr(coded.to_pylist()) == repr(expected)
    source, like = tmp_path / "events.csv", tmp_path / "out"
    prepare("table", tmp_path / "new", source=source, like=like)
    _check(tmp_path / "new", "test")
    other = encode(frame.assign(region="east"), tmp_path / "out")
    assert set(other["region"].to_pylist()) == {4}


FAULTS = [
    (EVENTS.replace("3,north", "3,east"), "several values in column 'region' for one id: '1'"),
    (EVENTS.replace("3,north,30", "3,north,31"), "several values in column 'age' for one id: '1'"),
    (EVENTS.replace("7,,40", "7,,old"), "unreadable cell in column 'age': 'old'"),
]


@pytest.mark.parametrize(("events", "message"), FAULTS)
def test_faults_of_cells(events: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        _prepare(tmp_path, events)
    manifest = _prepare(tmp_path, events, strict=False)
    assert [message.startswith(reason) for reason in manifest.dropped] == [True]
    # The fact is missing, nothing else is.
    assert sum(split["events"] for split in manifest.splits.values()) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"static": {"categorical": ["regio"]}}, "static names a column 'regio', which neither"),
        ({"static": ["region"]}, "static: .*: write categorical"),
        ({"static": {"categories": ["region"]}}, "static: unknown key 'categories'"),
        ({"static": {"categorical": ["kind"]}}, "column 'kind' is used twice"),
        ({"static": {"categorical": ["until"]}}, "'until' is a name that preparation uses"),
        ({"label": "region"}, "the label 'region' is also an input"),
        ({"until": "age"}, "until 'age' is also the id, the time, the label or a field"),
        (
            {"static": {"numerical": {"age": {"by": "kind"}}}},
            "static numerical field 'age' is scaled by 'kind'",
        ),
    ],
)
def test_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        _prepare(tmp_path, **changes)


def test_a_description_reads_its_own_words() -> None:
    spec = DatasetSpec.from_dict({**SPEC, "static": STATIC})
    assert spec.static.names == ("region", "age")
    assert DatasetSpec.from_dict(spec.to_dict()) == spec
