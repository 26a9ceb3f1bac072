"""The score that a search chooses by is the evaluation's own, without its other work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from grap_seq import seal
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation import outcome
from grap_seq.evaluation.boosting import Boosting, BoostingSettings
from grap_seq.evaluation.embed_folder import embed_folder
from grap_seq.evaluation.leak import LabelsUsed
from grap_seq.evaluation.model import EmbeddingModel
from grap_seq.evaluation.protocol import evaluate
from grap_seq.evaluation.save import save
from grap_seq.evaluation.validation import validation_score
from grap_seq.nn.build import build_model
from grap_seq.schema import Schema
from tests.data.toy import LOCAL_SCHEMA, SCHEMA, local_rows, random_rows, write_prepared
from tests.evaluation.test_local_labels import DESCRIPTION

BOOSTING = Boosting(binary=BoostingSettings(n_estimators=15, min_data_in_leaf=5))
LENGTHS = {"train": [12, 7, 30, 2, 18, 5, 9] * 9, "val": [12, 7, 30, 5] * 8, "test": [9, 20, 4] * 6}


def prepared_folder(folder: Path, schema: Schema) -> Path:
    make = local_rows if schema is LOCAL_SCHEMA else random_rows
    rows = {
        split: make(lengths, seed=9, first=1000 * number)
        for number, (split, lengths) in enumerate(LENGTHS.items())
    }
    return write_prepared(folder, rows, schema=schema, parts=2)


def run_of(prepared: Path, run: Path, schema: Schema, fraction: float) -> Path:
    run.mkdir()
    used = LabelsUsed("label", "weights", fraction, "last")
    for name in ("schema.yaml", "vocab.json"):
        seal.write_text(run, name, (prepared / name).read_text("utf-8"))
    save(build_model(schema, DESCRIPTION).eval(), {**DESCRIPTION, "labels": used.to_dict()}, run)
    return run


@pytest.mark.parametrize("schema", [SCHEMA, LOCAL_SCHEMA], ids=["one label", "several"])
@pytest.mark.parametrize(("fraction", "all_labels"), [(1.0, False), (0.4, False), (0.4, True)])
def test_the_same_score_as_the_evaluations(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    schema: Schema,
    fraction: float,
    all_labels: bool,
) -> None:
    monkeypatch.setattr(outcome, "RESAMPLES", 2)
    prepared = prepared_folder(tmp_path / "data", schema)
    run = run_of(prepared, tmp_path / "run", schema, fraction)
    before = {path.name for path in run.iterdir()}
    found = validation_score(run, prepared, threads=1, boosting=BOOSTING, all_labels=all_labels)
    assert {path.name for path in run.iterdir()} == before
    embed_folder(EmbeddingModel(run), prepared)
    whole = evaluate(run, prepared, folds=0, threads=1, boosting=BOOSTING, all_labels=all_labels)
    # Batches are others, so that embeddings differ by their rounding.
    assert found == pytest.approx(whole["validation"]["embedding"], abs=0.01)
    assert found != 0.5


def test_test_data_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepared_folder(tmp_path / "data", SCHEMA)
    run = run_of(prepared, tmp_path / "run", SCHEMA, 1.0)
    read: list[str] = []
    usual = Sequences.__init__

    def recorded(self: Sequences, folder: Path, split: str, *more: Any, **named: Any) -> None:
        read.append(split)
        usual(self, folder, split, *more, **named)

    monkeypatch.setattr(Sequences, "__init__", recorded)
    assert validation_score(run, prepared, threads=1, boosting=BOOSTING) is not None
    assert sorted(read) == ["train", "val"]


def test_no_score_without_labels_to_choose_by(tmp_path: Path) -> None:
    rows = {
        "train": random_rows([9] * 20, seed=1),
        "val": [{**row, "label": None} for row in random_rows([9] * 5, seed=2, first=100)],
        "test": random_rows([9] * 5, seed=3, first=200),
    }
    prepared = write_prepared(tmp_path / "data", rows, schema=SCHEMA)
    run = run_of(prepared, tmp_path / "run", SCHEMA, 1.0)
    assert validation_score(run, prepared, threads=1, boosting=BOOSTING) is None
