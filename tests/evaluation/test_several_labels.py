"""Two labels of one folder, a class and a number, each scored by itself."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import mean_absolute_error, r2_score

from grap_seq import commands, seal
from grap_seq.evaluation import outcome
from grap_seq.evaluation.boosting import Boosting, BoostingSettings
from grap_seq.evaluation.labelled import load
from grap_seq.evaluation.protocol import evaluate
from grap_seq.pages import report
from grap_seq.pages.read import read
from grap_seq.schema import SPLITS, Label, Schema
from tests.data.toy import write_descriptions
from tests.evaluation.fake import SCHEMA, prepared_folder, write_embeddings
from tests.sealed import reseal

SPEND = Label("spend", "r2", mean=100.0, std=8.0)
SMALL = {"n_estimators": 40, "learning_rate": 0.1, "min_data_in_leaf": 10}
FAST = Boosting(binary=BoostingSettings(**SMALL), regression=BoostingSettings(**SMALL))  # type: ignore[arg-type]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A run and its prepared folder; the number is the mean amount, and a tenth lacks it."""
    monkeypatch.setattr(outcome, "RESAMPLES", 20)
    prepared = prepared_folder(tmp_path / "data")
    for path in sorted(prepared.glob("*/part-*.parquet")):
        table = pq.read_table(path)
        amounts = table["amount"].to_pandas().map(np.nanmean).to_numpy("float32", copy=True)
        amounts[::10] = np.nan
        column = pa.array(amounts, pa.float32(), from_pandas=True)
        pq.write_table(table.append_column("label:spend", column), path)
    write_descriptions(prepared, dataclasses.replace(SCHEMA, labels=(*SCHEMA.labels, SPEND)))
    write_embeddings(tmp_path / "run", prepared)
    settings = {"dataset": {"boosting": {"binary": SMALL, "regression": SMALL}}}
    content = json.dumps({**settings, "prepared": str(prepared)})
    (tmp_path / "run" / "config.yaml").write_text(content)
    reseal(tmp_path / "run")
    return tmp_path / "run", prepared


def test_rows_are_those_with_the_label(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run, prepared = folders
    frame = pd.concat([pd.read_parquet(prepared / split) for split in SPLITS])
    known = frame.set_index("client")["label:spend"].dropna()
    data = load(run, prepared, tmp_path, "spend")
    assert data.label == SPEND
    assert sorted(data.ids) == sorted(known.index)
    np.testing.assert_array_equal(data.labels, known[data.ids])
    assert load(run, prepared, tmp_path).label == SCHEMA.labels[0]
    with pytest.raises(ValueError, match="no label 'spent'; did you mean 'spend'"):
        load(run, prepared, tmp_path, "spent")


@pytest.mark.parametrize("folds", [0, 3])
def test_scores_of_a_number(folders: tuple[Path, Path], tmp_path: Path, folds: int) -> None:
    run, prepared = folders
    output = tmp_path / "scores"
    options = {"boosting": FAST, "threads": 1, "folds": folds, "seeds": 1, "logistic": True}
    result = evaluate(run, prepared, label="spend", output=output, **options)  # type: ignore[arg-type]
    assert (result["label"], result["metric"], result["classes"]) == ("spend", "r2", [])
    assert result["chance"] == 0
    # Aggregates have the mean amount; the embedding knows the class, whose amounts differ.
    assert result["test"]["aggregates"] > 0.8
    assert 0 < result["test"]["embedding"] < result["test"]["aggregates"]
    assert result["test"]["untrained"] < 0.1
    assert 0 < result["test"]["ridge"] < 0.8
    found = pd.read_parquet(output / "predictions.parquet")
    frame = pd.concat([pd.read_parquet(prepared / split) for split in SPLITS])
    numbers = frame.set_index("client")["label:spend"] * 8 + 100
    np.testing.assert_allclose(found["label"], numbers[found["client"]], rtol=1e-6)
    for name in ("embedding", "both"):
        parts = [part for _, part in found.groupby("fold")]
        r2 = np.mean([r2_score(part["label"], part[name]) for part in parts])
        mae = np.mean([mean_absolute_error(part["label"], part[name]) for part in parts])
        assert result["test"][name] == pytest.approx(r2, abs=1e-4)
        assert result["further"][name]["mae"] == pytest.approx(-mae, rel=1e-4)


def test_the_command_scores_every_label(folders: tuple[Path, Path]) -> None:
    run, prepared = folders
    commands.evaluate([f"run={run}", f"prepared={prepared}", "threads=1", "folds=0", "seeds=1"])
    first = json.loads((run / "evaluation.json").read_text("utf-8"))
    second = json.loads((run / "labels" / "spend" / "evaluation.json").read_text("utf-8"))
    assert [result["label"] for result in (first, second)] == ["churn", "spend"]
    assert (run / "labels" / "spend" / "predictions.parquet").is_file()
    assert list(read(run).further.values()) == [second]
    page = report(run, prepared).read_text("utf-8")
    assert f"{second['test']['aggregates']:.3f}" in page
    assert "<h2>spend</h2>" in page
    chosen = ["label=spend", f"output={run / 'again'}"]
    commands.evaluate(
        [f"run={run}", f"prepared={prepared}", "threads=1", "folds=0", "seeds=1", *chosen]
    )
    assert not (run / "again" / "evaluation.json").exists()
    assert (run / "again" / "labels" / "spend" / "evaluation.json").is_file()


def test_a_head_is_that_of_its_label(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run, prepared = folders
    head = {"label": "spend", "metric": "r2", "validation": 0.25, "test": 0.5}
    seal.write_json(run, "head.json", head)
    options = {"boosting": FAST, "threads": 1, "folds": 0, "seeds": 1, "head": True}
    found = [
        evaluate(run, prepared, label=name, output=tmp_path / name, **options)["head"]  # type: ignore[arg-type]
        for name in ("churn", "spend")
    ]
    assert found == [None, {"validation": 0.25, "test": 0.5}]


def test_a_constant_number_cannot_be_scored(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run, prepared = folders
    schema = Schema.load(prepared)
    for path in sorted(prepared.glob("*/part-*.parquet")):
        table = pq.read_table(path)
        place = table.column_names.index("label:spend")
        same = pa.array([0.5] * len(table), pa.float32())
        pq.write_table(table.set_column(place, "label:spend", same), path)
    write_descriptions(prepared, schema)
    assert schema.labels[1] == SPEND
    with pytest.raises(ValueError, match="every labelled sequence has the same label 'spend'"):
        load(run, prepared, tmp_path, "spend")
