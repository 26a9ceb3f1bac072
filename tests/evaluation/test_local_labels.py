"""Several labels a sequence: each sees the events before its time, and nothing of what follows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from grap_seq import seal
from grap_seq.evaluation import outcome
from grap_seq.evaluation.aggregates import aggregates
from grap_seq.evaluation.boosting import Boosting, BoostingSettings
from grap_seq.evaluation.embed import embed_rows, label_tables
from grap_seq.evaluation.embed_folder import embed_folder
from grap_seq.evaluation.labelled import load
from grap_seq.evaluation.leak import LabelsUsed
from grap_seq.evaluation.model import EmbeddingModel
from grap_seq.evaluation.outcome import held_out
from grap_seq.evaluation.plan import make_plan
from grap_seq.evaluation.protocol import evaluate
from grap_seq.evaluation.save import save
from grap_seq.nn.build import build_model
from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.schema import Label, Schema
from tests.data.toy import (
    LOCAL_SCHEMA,
    SCHEMA,
    UNTIL_SCHEMA,
    Row,
    local_rows,
    sequences,
    with_until,
    write_prepared,
)

FIELDS = ("event_time", "type", "owner", "a.b", "score")
LENGTHS = {"train": [12, 7, 30, 2, 18, 5, 9] * 6, "val": [12, 7, 30] * 4, "test": [9, 20, 4] * 6}
ROWS = {
    split: local_rows(lengths, seed=9, first=100 * number)
    for number, (split, lengths) in enumerate(LENGTHS.items())
}
DESCRIPTION: dict[str, Any] = {
    "event_width": 8,
    "max_time_gap": 8.0,
    "table_widths": {},
    "encoder": {"name": "gru", "class": "grap_seq.nn.gru.GRUEncoder", "hidden": 6},
    "pooling": "last_mean_max",
    "eval_length": 10,
}
SETTINGS = BoostingSettings(n_estimators=5, min_data_in_leaf=5)


def model_of() -> SequenceModel:
    torch.manual_seed(0)
    return build_model(LOCAL_SCHEMA, DESCRIPTION).eval()


def prefixes(rows: list[Row]) -> list[Row]:
    """Every label as a sequence of its own, cut by hand, under the id "client/number"."""
    return [
        {name: row[name][: place + 1] for name in FIELDS}
        | {"client": f"{row['client']}/{number}", "label": label}
        for row in rows
        for number, (label, place) in enumerate(
            zip(row["label"] or [], row["label_position"] or [], strict=True)
        )
    ]


def changed_after(rows: list[Row]) -> list[Row]:
    """The same sequences with other events behind the last label, and ten more."""
    rng = np.random.default_rng(5)
    result = []
    for row in rows:
        keep = (row["label_position"] or [-1])[-1] + 1
        more = {
            "event_time": row["event_time"][-1] + np.arange(1.0, 11.0 + len(row["type"]) - keep),
            "type": rng.integers(1, 7, 10 + len(row["type"]) - keep),
        }
        size = len(more["type"])
        more["owner"] = rng.integers(1, 4, size)
        more["a.b"] = more["score"] = np.full(size, 9.0, np.float32)
        lists = {name: np.concatenate([row[name][:keep], more[name]]) for name in FIELDS}
        result.append({**row, **lists})
    return result


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    return write_prepared(tmp_path / "data", ROWS, schema=LOCAL_SCHEMA, parts=2)


def aggregates_of(rows: list[Row], schema: Schema) -> pd.DataFrame:
    if schema is SCHEMA:
        rows = [{k: v for k, v in row.items() if k != "label_position"} for row in rows]
    split = sequences(rows, schema)
    return pd.concat(aggregates(split, split.examples(), 10), ignore_index=True)


def test_aggregates_are_those_of_the_events_before_the_label() -> None:
    expected = aggregates_of(prefixes(ROWS["train"]), SCHEMA)
    assert len(expected) > 50
    pd.testing.assert_frame_equal(aggregates_of(ROWS["train"], LOCAL_SCHEMA), expected)


def test_embeddings_are_those_of_the_events_before_the_label() -> None:
    model = model_of()
    rows = prefixes(ROWS["train"])
    expected = embed_rows(model, sequences(rows), np.arange(len(rows)), 10)
    table = pd.concat(
        part.to_pandas() for part in label_tables(model, sequences(ROWS["train"], LOCAL_SCHEMA), 10)
    )
    keys = table.client + "/" + table.label_number.astype(str)
    assert keys.tolist() == [row["client"] for row in rows]
    assert table.label.tolist() == [row["label"] for row in rows]
    np.testing.assert_allclose(table.filter(like="emb_"), expected, rtol=1e-5, atol=1e-6)


def test_recency_is_that_of_the_label() -> None:
    """Of each label, by its own time and not by that of the sequence."""
    ended = []
    for row in with_until(ROWS["train"]):
        places = row["label_position"] or []
        ends = [float(row["event_time"][place]) + place / 7 for place in places]
        ended.append({**row, "label_until": ends or None})
    parts = [
        {**prefix, "until": moment}
        for prefix, moment in zip(
            prefixes(ROWS["train"]),
            [moment for row in ended for moment in row["label_until"] or []],
            strict=True,
        )
    ]
    torch.manual_seed(0)
    model = build_model(SCHEMA, {**DESCRIPTION, "recency": 2.0}).eval()
    expected = embed_rows(model, sequences(parts, UNTIL_SCHEMA), np.arange(len(parts)), 10)
    several = dataclasses.replace(LOCAL_SCHEMA, until=True)
    tables = label_tables(model, sequences(ended, several), 10)
    found = pd.concat(part.to_pandas() for part in tables).filter(like="emb_")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found.iloc[:, -1].nunique() > 5


def test_aggregates_since_the_last_event() -> None:
    rows = with_until(ROWS["train"])
    for row in rows:
        del row["label_position"]
        row["label"] = 1
    split = sequences(rows, UNTIL_SCHEMA)
    found = pd.concat(aggregates(split, split.examples(), 10), ignore_index=True)
    for number, row in enumerate(rows):
        times, until = row["event_time"][-10:], row["until"]
        assert found["event_time/since_last"][number] == pytest.approx(until - times[-1], rel=1e-5)
        assert found["event_time/since_first"][number] == pytest.approx(until - times[0], rel=1e-5)


def test_nothing_after_the_label_is_seen() -> None:
    rows = ROWS["train"]
    # Every label is the last of its sequence, so that everything behind it can be changed.
    last = [
        row | {name: row[name][-1:] if row[name] else None for name in ("label", "label_position")}
        for row in rows
    ]
    found = []
    for version in (last, changed_after(last)):
        tables = label_tables(model_of(), sequences(version, LOCAL_SCHEMA), 10)
        vectors = pd.concat(table.to_pandas() for table in tables)
        labelled = aggregates_of(version, LOCAL_SCHEMA)
        every = aggregates_of([{**row, "label": 0} for row in version], SCHEMA)
        found.append((vectors, labelled, every))
    np.testing.assert_allclose(
        found[0][0].filter(like="emb_"), found[1][0].filter(like="emb_"), rtol=1e-5, atol=1e-6
    )
    pd.testing.assert_frame_equal(found[0][1], found[1][1])
    # The change itself is seen where everything is.
    assert not found[0][2].equals(found[1][2])


def run_of(prepared: Path, run: Path) -> Path:
    run.mkdir()
    used = LabelsUsed("label", None, 1.0, "last")
    for name in ("schema.yaml", "vocab.json"):
        seal.write_text(run, name, (prepared / name).read_text("utf-8"))
    save(model_of(), {**DESCRIPTION, "labels": used.to_dict()}, run)
    embed_folder(EmbeddingModel(run), prepared)
    return run


def test_from_embeddings_to_scores(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome, "RESAMPLES", 20)
    run = run_of(prepared, tmp_path / "run")
    whole = pq.read_table(run / "embeddings" / "train.parquet").to_pandas()
    assert whole.client.tolist() == [row["client"] for row in ROWS["train"]]
    assert whole.label.isna().all()

    data = load(run, prepared, tmp_path)
    assert data.owners is not None
    owner_of: dict[str, int] = {}
    for split, rows in ROWS.items():
        expected = sorted(prefixes(rows), key=lambda row: str(row["client"]))
        here = data.rows(split)
        assert data.labels[here].tolist() == [row["label"] for row in expected]
        for number, row in zip(here, expected, strict=True):
            client = row["client"].partition("/")[0]
            assert owner_of.setdefault(client, int(data.owners[number])) == data.owners[number]
            assert data.features["aggregates"][number][0] == min(len(row["type"]), 10)
    assert len(set(owner_of.values())) == len(owner_of) > 30

    used = LabelsUsed.of_run(run)
    for part in make_plan(data, used, 3, seed=0).parts:
        assert not set(data.owners[part.fit]) & set(data.owners[part.test])
    with pytest.raises(ValueError, match="the number of sequences"):
        make_plan(data, used, len(owner_of) + 1, seed=0)

    boosting = Boosting(binary=SETTINGS, multiclass=SETTINGS)
    for folds in (0, 3):
        result = evaluate(run, prepared, folds=folds, boosting=boosting, threads=1)
        assert result["n_labelled"] == {s: len(prefixes(rows)) for s, rows in ROWS.items()}
        assert 0 < result["test"]["both"] < 1
        predictions = pd.read_parquet(run / "predictions.parquet")
        scored = sum(result["n_labelled"].values()) if folds else result["n_labelled"]["test"]
        assert len(predictions) == scored
        pairs = zip(predictions.client, predictions.label_number, strict=True)
        keys = [f"{client}/{number}" for client, number in pairs]
        known = {row["client"]: row["label"] for rows in ROWS.values() for row in prefixes(rows)}
        names = [LOCAL_SCHEMA.labels[0].classes[known[key]] for key in keys]
        assert predictions.label.tolist() == names


def test_the_error_bar_counts_sequences_and_not_labels() -> None:
    # 40 sequences with 10 equal rows each: as uncertain as 40 rows.
    wrong = np.repeat(np.arange(40) < 8, 10)
    labels = np.tile([0, 1], 200)
    predictions = np.eye(2)[np.where(wrong, 1 - labels, labels)]
    owners = np.repeat(np.random.default_rng(0).permutation(40), 10)
    test = (labels, predictions[None])
    result = held_out(
        (labels, predictions), test, Label("churn", "accuracy", ("no", "yes")), 0, owners
    )
    assert result.test == 0.8
    assert result.std == pytest.approx((0.8 * 0.2 / 40) ** 0.5, rel=0.2)


def test_damaged_embeddings_of_labels_are_named(prepared: Path, tmp_path: Path) -> None:
    run = run_of(prepared, tmp_path / "run")
    path = run / "embeddings" / "labels" / "test.parquet"
    whole = path.read_bytes()
    for damaged in (whole[:-9], whole[:900] + bytes([whole[900] ^ 1]) + whole[901:], b""):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"labels/test\.parquet is damaged.*grap-seq embed"):
            load(run, prepared, tmp_path)
