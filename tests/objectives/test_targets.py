"""Earlier and later events: inside their row, all as likely as each other."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from scipy.stats import chisquare

from grap_seq.data.collate import Crop, collate
from grap_seq.objectives.targets import FAMILIES, SHARE, draw, loss_name
from tests.data.toy import batch_of, random_rows, sequences


def test_the_next_event_is_every_positions() -> None:
    batch = batch_of(random_rows([3, 1, 2]))
    targets = draw(batch, ["next"])["next"]
    assert targets.positions is None
    assert targets.events[targets.valid].tolist() == [1, 2, 5]
    assert (
        targets.valid.tolist() == targets.timed.tolist() == [True, True, False, False, True, False]
    )


@pytest.mark.parametrize("family", ["past", "future"])
def test_targets_are_in_their_row_and_on_their_side(family: str) -> None:
    torch.manual_seed(0)
    batch = batch_of(random_rows([30, 1, 2, 50, 7], seed=1))
    row, starts = batch.layout.row, batch.layout.starts
    for _ in range(200):
        found = draw(batch, [family])[family]
        assert found.positions is not None
        assert len(found.positions) == int(90 * SHARE)
        assert (found.positions.diff() >= 0).all()
        assert torch.equal(row[found.positions], row[found.events])
        # A row of one event predicts nothing, and the last event has nothing behind it.
        last = found.positions == batch.layout.ends[row[found.positions]]
        alone = batch.layout.lengths[row[found.positions]] == 1
        if family == "past":
            assert (found.events <= found.positions).all()
            assert torch.equal(found.valid, ~alone)
            first = found.events == starts[row[found.events]]
            assert torch.equal(found.timed, found.valid & ~first)
        else:
            assert (found.events > found.positions)[found.valid].all()
            assert torch.equal(found.valid, ~last)
            assert torch.equal(found.timed, found.valid)


@pytest.mark.parametrize("family", ["past", "future"])
def test_all_targets_of_a_position_are_as_likely(family: str) -> None:
    torch.manual_seed(0)
    batch = batch_of(random_rows([8], seed=1))
    seen: Counter[tuple[int, int]] = Counter()
    for _ in range(12_000):
        found = draw(batch, [family])[family]
        assert found.positions is not None
        seen[int(found.positions[0]), int(found.events[0])] += bool(found.valid[0])
    for position in range(8):
        events = range(position + 1) if family == "past" else range(position + 1, 8)
        counts = [seen[position, event] for event in events]
        if len(counts) > 1:
            assert chisquare(counts).pvalue > 1e-4, position


def test_views_beside_windows_predict_nothing() -> None:
    torch.manual_seed(0)
    rows = random_rows([40], seed=1)
    batch = collate(sequences(rows), [Crop(0, 0, 20, 0), Crop(0, 0, 40, 0, window=True)])
    for family in ("past", "future"):
        found = draw(batch, [family])[family]
        assert found.positions is not None
        assert not found.valid[found.positions < 20].any()
        assert found.valid[(found.positions >= 20) & (found.positions < 59)].all()


def test_names() -> None:
    assert [loss_name(family, "kind") for family in FAMILIES] == [
        "kind",
        "past_kind",
        "future_kind",
    ]
