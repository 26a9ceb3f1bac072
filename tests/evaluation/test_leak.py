"""A run that has learned labels is scored on sequences that it has not seen, and says so."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grap_seq import seal
from grap_seq.evaluation.boosting import Boosting, BoostingSettings
from grap_seq.evaluation.leak import LabelsUsed, Part
from grap_seq.evaluation.protocol import evaluate
from tests.data.toy import write_descriptions
from tests.evaluation.fake import SCHEMA, prepared_folder, write_embeddings
from tests.sealed import reseal

FAST = Boosting(binary=BoostingSettings(n_estimators=20, learning_rate=0.1, min_data_in_leaf=10))
COUNTS = (600, 150, 450)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Labels that nothing in the events tells."""
    prepared = prepared_folder(tmp_path / "data", counts=COUNTS, unlabelled=0)
    rng = np.random.default_rng(1)
    for part in prepared.glob("*/*.parquet"):
        table = pq.read_table(part)
        labels = pa.array(rng.integers(2, size=len(table)), pa.int32())
        index = table.schema.get_field_index("label")
        pq.write_table(table.set_column(index, table.schema.field("label"), labels), part)
    write_descriptions(prepared, SCHEMA)
    return prepared


def memorised(run: Path, prepared: Path, encoder: Part | None, fraction: float = 1.0) -> Path:
    """Embeddings that know the labels of what they were trained on, and nothing of the others."""
    write_embeddings(run, prepared, encoder=encoder, fraction=fraction)
    for split in ("train", "val", "test"):
        path = run / "embeddings" / f"{split}.parquet"
        table = pq.read_table(path)
        frame = table.to_pandas()
        rng = np.random.default_rng(0)
        noise = rng.normal(size=(len(frame), 12)).astype("float32")
        digests = [int(hashlib.sha256(i.encode()).hexdigest(), 16) for i in frame.client]
        part = np.array([d % 10_001 / 10_000 < fraction for d in digests]) | (fraction == 1)
        noise[:, 0] += 3 * frame.label * (part if split == "train" else 0)
        frame[[f"emb_{i:04d}" for i in range(12)]] = noise
        new = table.from_pandas(frame, table.schema, preserve_index=False)
        pq.write_table(new.replace_schema_metadata(table.schema.metadata), path)
    reseal(run)
    return run


def test_folds_leave_out_what_the_encoder_has_learned(prepared: Path, tmp_path: Path) -> None:
    # Said to have learned nothing, the leak is seen: the test itself can fail.
    blind = memorised(tmp_path / "blind", prepared, None)
    leaky = evaluate(blind, prepared, folds=3, boosting=FAST, threads=1)
    assert leaky["test"]["embedding"] > 0.65
    run = memorised(tmp_path / "run", prepared, "gradient")
    result = evaluate(run, prepared, folds=3, boosting=FAST, threads=1)
    # Standard error of an AUC of 0.5 among 600: 0.024.
    assert result["test"]["embedding"] < 0.58
    assert result["n_scored"] == COUNTS[1] + COUNTS[2]
    scored = set(pd.read_parquet(run / "predictions.parquet").client)
    assert not scored & set(pd.read_parquet(prepared / "train").client)
    assert result["notes"][0].startswith(
        "The encoder has learned the labels of 600 training sequences: folds are made of the other"
    )
    assert "validation split chose the epoch" in result["notes"][0]
    assert result["labels_used"]["encoder"] == "gradient"


def test_labels_that_training_did_not_see_can_be_scored(prepared: Path, tmp_path: Path) -> None:
    run = memorised(tmp_path / "run", prepared, "gradient", fraction=0.4)
    result = evaluate(run, prepared, folds=3, boosting=FAST, threads=1)
    assert result["test"]["embedding"] < 0.58
    scored = set(pd.read_parquet(run / "predictions.parquet").client)
    digests = {
        i: int(hashlib.sha256(i.encode()).hexdigest(), 16) % 10_001
        for i in pd.read_parquet(prepared / "train").client
    }
    expected = {i for i, digest in digests.items() if digest >= 4000}
    assert 300 < len(expected) < 420
    assert scored & set(digests) == expected


def test_holdout_of_such_a_run_is_fair_on_test(prepared: Path, tmp_path: Path) -> None:
    run = memorised(tmp_path / "run", prepared, "gradient")
    result = evaluate(run, prepared, boosting=FAST, threads=1)
    assert result["protocol"] == "holdout"
    assert 0.42 < result["test"]["embedding"] < 0.58
    assert "has learned the labels of 600 training sequences" in result["notes"][0]


def test_too_few_unseen_sequences_are_refused_with_a_remedy(tmp_path: Path) -> None:
    prepared = prepared_folder(tmp_path / "data", counts=(60, 3, 3), unlabelled=0)
    write_embeddings(tmp_path / "run", prepared, encoder="gradient")
    with pytest.raises(ValueError, match=r"(?s)6 labelled sequences that can be.*labels\.fraction"):
        evaluate(tmp_path / "run", prepared, folds=4)
    prepared = prepared_folder(tmp_path / "none", counts=(60, 0, 0), unlabelled=0)
    write_embeddings(tmp_path / "other", prepared, encoder="gradient")
    with pytest.raises(ValueError, match=r"(?s)0 labelled.*fewer than two labels.*folds=0"):
        evaluate(tmp_path / "other", prepared, folds=2)


def test_a_run_that_does_not_say_what_it_has_seen(prepared: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_embeddings(run, prepared)
    seal.write_json(run, "model.json", {"weights": "fake"})
    with pytest.raises(ValueError, match="train the run again, or use folds=0"):
        evaluate(run, prepared, folds=3)
    assert evaluate(run, prepared, boosting=FAST, threads=1)["protocol"] == "holdout"


def test_what_was_seen_is_handed_on() -> None:
    pretrained = LabelsUsed("churn", "weights", 1.0, "probe")
    tuned = LabelsUsed("churn", "gradient", 0.1, "probe")
    supervised = LabelsUsed("churn", "gradient", 0.5, "last")
    assert tuned.after(None) == tuned
    assert tuned.after(pretrained) == tuned
    assert tuned.after(supervised).fraction == 0.5
    assert supervised.after(tuned).fraction == 0.5
    assert LabelsUsed.of({"labels": tuned.to_dict()}) == tuned
    assert LabelsUsed.of({}) is None
