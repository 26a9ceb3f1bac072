"""Customers who simply stop: seen by embeddings and aggregates with `until`, by neither without."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from benchmarks.recency import UNTIL, write
from grap_seq.data.gaps import gaps_of
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.aggregates import aggregates
from grap_seq.evaluation.boosting import Boosting, BoostingSettings
from grap_seq.evaluation.embed import embed_rows
from grap_seq.evaluation.protocol import probe
from grap_seq.nn.build import build_model
from grap_seq.prep.prepare import prepare
from tests.nn.test_sequence_model import DESCRIPTION

BOOSTING = Boosting(binary=BoostingSettings(n_estimators=40, min_data_in_leaf=10))


def scores(folder: Path, until: str | None) -> dict[str, float]:
    """Test AUC of an untrained encoder's embeddings, and of aggregates."""
    source = write(folder, 400, until)
    prepare("table", folder / "out", source=source)
    train, test = (Sequences(folder / "out", split) for split in ("train", "test"))
    torch.manual_seed(0)
    recency = gaps_of(train).typical if until is not None else None
    model = build_model(train.schema, {**DESCRIPTION, "table_widths": {}, "recency": recency})
    embedded = [embed_rows(model, part, part.examples().rows, 1200) for part in (train, test)]
    frames = (pd.concat(aggregates(part, part.examples(), 1200)) for part in (train, test))
    plain = [frame.to_numpy() for frame in frames]
    label = train.schema.label()
    assert label is not None
    found = {}
    for name, (one, other) in (("embedding", embedded), ("aggregates", plain)):
        labels = train.labels, test.labels
        found[name] = probe(
            one, labels[0], other, labels[1], label, 0, threads=1, boosting=BOOSTING
        )
    return found


def test_leavers(tmp_path: Path) -> None:
    assert min(scores(tmp_path / "with", UNTIL).values()) > 0.95
    # 120 test customers: a standard error of chance is 0.053.
    for score in scores(tmp_path / "without", None).values():
        assert 0.34 < score < 0.66
