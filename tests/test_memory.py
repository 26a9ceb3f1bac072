"""Too little memory is an error that names the sequence and the setting that shortens it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from grap_seq import commands, load
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.embed import embed_rows
from grap_seq.memory import is_out_of_memory
from grap_seq.nn.gru import GRUEncoder

SMALL = ["dataset=table", "dataset.hidden=8", "event_width=8", "epochs=1", "select=last"]


def test_the_allocators_own_words() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 58)
    assert is_out_of_memory(caught.value)
    with pytest.raises(MemoryError) as numpys:
        np.empty(1 << 55)
    assert is_out_of_memory(numpys.value)
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))


def allocate_too_much(*arguments: Any) -> None:
    torch.empty(1 << 58)


def longest(shop: Path) -> tuple[int, str]:
    """Row of a longest training sequence, and the ids of all that are as long, as a pattern."""
    sequences = Sequences(shop, "train")
    rows = np.flatnonzero(sequences.lengths == sequences.lengths.max()).tolist()
    names = (repr(sequences.ids(row, row + 1)[0].as_py()) for row in rows)
    return rows[0], f"({'|'.join(names)})"


def test_training(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, name = longest(shop)
    monkeypatch.setattr(GRUEncoder, "encode", allocate_too_much)
    # One batch of all sequences, in windows: the longest crop is of the longest sequence.
    whole = ["objective=ntp", "batch_size=1000", f"prepared={shop}", f"run={tmp_path / 'run'}"]
    half = r"batch_size=500 for .*, dataset\.crops\.max_length=\d+ for .*, encoder\.hidden=4 for"
    with pytest.raises(
        ValueError, match=rf"from sequence {name}\. The batch takes about .* MB; set {half}"
    ):
        commands.pretrain([*SMALL, *whole])


def test_embedding(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, (row, name) = tmp_path / "run", longest(shop)
    commands.pretrain([*SMALL, f"prepared={shop}", f"run={run}"])
    plain = load(run)
    commands.embed([f"run={run}", "eval_length=2"])
    (column,) = pq.read_table(run / "embeddings" / "train.parquet", columns=["emb_0000"])
    last = embed_rows(plain.model, Sequences(shop, "train"), np.array([row]), eval_length=2)
    assert column[row].as_py() == pytest.approx(last[0, 0], abs=1e-6)
    for wrong, message in (("0", "a whole number from 1"), ("x", "a whole number")):
        with pytest.raises(ValueError, match=f"eval_length={wrong}: .*{message}"):
            commands.embed([f"run={run}", f"eval_length={wrong}"])
    monkeypatch.setattr(GRUEncoder, "encode", allocate_too_much)
    with pytest.raises(ValueError, match=rf"sequence {name}.*lower batch_events"):
        commands.embed([f"run={run}", "batch_events=1000000"])
    with pytest.raises(ValueError, match=rf"sequence {name}.*lower eval_length"):
        commands.embed([f"run={run}", "batch_events=1"])
