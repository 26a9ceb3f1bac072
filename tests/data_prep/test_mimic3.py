"""The MIMIC-III recipe: its split, every copy of its tables, bad rows, and the open demo."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from grap_seq.prep.describe.recipes import load_recipe
from grap_seq.prep.engines.connect import connect
from grap_seq.prep.prepare import prepare
from grap_seq.prep.stages.clean import used
from grap_seq.prep.stages.splits import tail_split
from tests.data_prep.copies import SHARED, copy_golden, every_packing_agrees, golden, prepared

NAME = "mimic3"
REAL = SHARED / "mimic-iii-demo"
TABLES = ("ADMISSIONS", "PATIENTS", "DIAGNOSES_ICD", "PROCEDURES_ICD", "PRESCRIPTIONS")


def test_split_has_the_published_sizes() -> None:
    split = tail_split(range(46_520), [], test=0.2, validation=0.1)
    assert Counter(split.values()) == {"train": 33_495, "val": 3721, "test": 9304}


def test_every_copy_gives_the_same_folder(tmp_path: Path) -> None:
    every_packing_agrees(NAME, tmp_path)


def test_left_out_rows_are_counted(tmp_path: Path) -> None:
    spec = golden(NAME) / "dataset.yaml"
    manifest = prepare(NAME, tmp_path / "out", source=golden(NAME), spec=spec)
    assert {reason: count for reason, count in manifest.dropped.items() if count} == {
        "DIAGNOSES_ICD: row without a used cell": 1,
        "DIAGNOSES_ICD: row without its admission": 1,
        "PRESCRIPTIONS: row without a used cell": 1,
        "PRESCRIPTIONS: row with an outlying date": 1,
    }


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("LABEVENTS", "2150-01-02 12", "2150-13-02 12", r"LABEVENTS\.csv, row 2: unreadable time"),
        ("DIAGNOSES_ICD", ",10,0389", ",x,0389", r"ICD\.csv, row 6: no finite .* 'order': 'x'"),
        ("PATIENTS", ",DOD", ",DEATH", r"PATIENTS\.csv: no column 'DOD'"),
    ],
)
def test_bad_row_is_named(table: str, old: str, new: str, message: str, tmp_path: Path) -> None:
    source = copy_golden(NAME, tmp_path)
    path = source / f"{table}.csv"
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(ValueError, match=message):
        prepared(NAME, source, tmp_path / "out")


def test_the_way_to_the_files_is_pointed_out(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no ADMISSIONS .*physionet\.org/content"):
        prepare(NAME, tmp_path / "out", source=tmp_path)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's tables under the names of the full release; 53,033 of its tests are at hand."""
    if not REAL.is_dir():
        pytest.skip(f"no MIMIC-III demo at {REAL} (GRAP_SEQ_SHARED)")
    raw = tmp_path_factory.mktemp("demo")
    for name in TABLES:
        shutil.copy(REAL / f"{name}.csv", raw)
    shutil.copy(REAL / "LABEVENTS.numeric-subset.csv", raw / "LABEVENTS.csv")
    return raw


def test_demo_against_pandas(demo: Path) -> None:
    recipe = load_recipe(NAME, demo)
    connection = connect(threads=1)
    tables = recipe.read(connection, demo)
    rows = connection.held(recipe.events(tables))
    events = connection.to_pyarrow(used(rows)).to_pandas()
    raw = {name: pd.read_csv(demo / f"{name}.csv", dtype=str) for name in (*TABLES, "LABEVENTS")}
    drugs = raw["PRESCRIPTIONS"].dropna(subset=["startdate", "drug"])
    tests = raw["LABEVENTS"].dropna(subset=["charttime", "itemid"])
    assert events["type"].value_counts().to_dict() == {
        "lab": len(tests),
        "prescription": len(drugs),
        "diagnosis": 1761,
        "procedure": 506,
    }
    assert len(tests) == 53_033
    diagnoses = raw["DIAGNOSES_ICD"].merge(raw["ADMISSIONS"], on=["subject_id", "hadm_id"])
    columns = ["subject_id", "admittime", "icd9_code"]
    found = events[events["type"] == "diagnosis"][["SUBJECT_ID", "time", "code"]]
    assert Counter(found.itertuples(index=False, name=None)) == Counter(
        diagnoses[columns].itertuples(index=False, name=None)
    )
    assert found["code"].str.startswith("0").any()
    labels = connection.to_pyarrow(recipe.labels(connection, tables, rows)).to_pandas()
    # Every patient of the demo died at some time.
    assert labels["death"].tolist() == ["1"] * 100
    assert Counter(labels["split"]) == {"train": 72, "val": 8, "test": 20}


def test_demo_without_its_constant_label_is_prepared(demo: Path, tmp_path: Path) -> None:
    text = (golden(NAME).parent / "dataset.yaml").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith(("label:", "metric:"))]
    (tmp_path / "spec.yaml").write_text("\n".join(lines), "utf-8")
    manifest = prepare(NAME, tmp_path / "out", source=demo, spec=tmp_path / "spec.yaml")
    assert sum(split["sequences"] for split in manifest.splits.values()) == 100
    with pytest.raises(ValueError, match="1 different values"):
        prepare(NAME, tmp_path / "labelled", source=demo)
