"""Losses of an epoch against means over a list of all its entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from grap_seq import config as configs
from grap_seq.data.loader import EpochBatches
from grap_seq.data.sequences import Sequences
from grap_seq.objectives.composite import CompositeObjective
from grap_seq.objectives.means import Sum, means
from grap_seq.schema import Schema
from grap_seq.training.epoch_means import EpochMeans
from grap_seq.training.pretrain import build_module, crop_policy, numbers_of, pretrain
from tests.processes import in_two_processes, together
from tests.shop import TIMES
from tests.training.saved import last

pytestmark = together
# Entries of every batch; in two processes, the first of them has the first ENTRIES // 3.
ENTRIES = (1, 200, 3, 0, 57)


def errors(batch: int) -> torch.Tensor:
    """Losses of single events, each batch at another level, shape (ENTRIES[batch],)."""
    generator = torch.Generator().manual_seed(batch)
    return torch.rand(ENTRIES[batch], generator=generator).double() + batch**2


def epoch(rank: int, world: int, until: int = len(ENTRIES)) -> EpochMeans:
    sums = EpochMeans()
    for batch in range(until):
        add(sums, batch, rank, world)
    return sums


def add(sums: EpochMeans, batch: int, rank: int, world: int) -> None:
    values = errors(batch)
    if world == 2:
        values = values[: len(values) // 3] if rank == 0 else values[len(values) // 3 :]
    count = torch.tensor(len(values))
    ((loss, _),) = means(Sum(values.sum(), count))
    none, sure = torch.zeros((), dtype=torch.int64), torch.ones((), dtype=torch.int64)
    level = torch.tensor(float(batch))
    sums.add({"a": loss, "b": loss * 0, "c": level}, {"a": count, "b": none, "c": sure})


def check(means: dict[str, float]) -> None:
    every = torch.cat([errors(batch) for batch in range(len(ENTRIES))])
    assert means["a"] == pytest.approx(every.mean().item(), rel=1e-12)
    assert np.isnan(means["b"])
    assert means["c"] == 2


def test_epochs_are_means_over_all_entries() -> None:
    check(epoch(0, 1).means())
    assert epoch(0, 1).totals()["c"] == 0 + 1 + 2 + 3 + 4


def in_each(rank: int) -> dict[str, float]:
    return epoch(rank, 2).means()


def test_two_processes_have_the_mean_of_all_entries(tmp_path: Path) -> None:
    for found in in_two_processes(in_each, tmp_path):
        check(found)


def test_an_interrupted_epoch_goes_on_bit_for_bit() -> None:
    first, second = epoch(0, 1, until=2), EpochMeans()
    second.load_state_dict(first.state_dict())
    for batch in range(2, len(ENTRIES)):
        add(second, batch, 0, 1)
    assert second.means()["a"] == epoch(0, 1).means()["a"]


def test_validation_losses_are_means_over_events(shop: Path, tmp_path: Path) -> None:
    """`kind` and `amount` of batches of 5, by the cross-entropy and error of all their events."""
    small = ["dataset=table", "dataset.hidden=8", "event_width=8", "batch_size=5", "epochs=1"]
    config = configs.compose(
        "pretrain", [*small, *TIMES, "select=last", f"prepared={shop}", f"run={tmp_path / 'run'}"]
    )
    run = pretrain(config)
    module, _ = build_module(config, Schema.load(shop), numbers_of(shop))
    module.load_state_dict(last(run)["state_dict"])
    module.eval()
    assert isinstance(module.objective, CompositeObjective)
    heads: dict[str, Any] = module.objective.named_heads
    logits, kinds, missed = [], [], []
    batches = EpochBatches(Sequences(shop, "val"), crop_policy(config), 5, seed=0, epoch=0)
    assert len(batches) > 1
    for batch in (batches[number] for number in range(len(batches))):
        with torch.no_grad():
            hidden = module.objective.bank(module.model(batch).states)
            kept, kind = batch.has_next, batch.fields["kind"].roll(-1)
            logits.append(heads["kind"].output(F.relu(hidden["kind"]))[kept])
            kinds.append(kind[kept])
            condition = heads["amount"].condition
            assert condition is not None
            guess = heads["amount"].output(F.relu(hidden["amount"] + condition(kind)))[kept, 0]
            missed.append(guess - batch.fields["amount"].roll(-1)[kept])
    row = pd.read_csv(run / "metrics.csv").iloc[-1]
    wanted = F.cross_entropy(torch.cat(logits), torch.cat(kinds)).item()
    assert row["val_loss/kind"] == pytest.approx(wanted, rel=1e-5)
    amount = torch.cat(missed).abs().nanmean().item()
    assert row["val_loss/amount"] == pytest.approx(amount, rel=1e-5)
