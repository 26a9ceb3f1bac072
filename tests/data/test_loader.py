"""Batches by number: complete, reproducible, the same from any process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ptls.data_load.padded_batch import PaddedBatch

from grap_seq.data.batch import OWNER, WINDOW, padding_share
from grap_seq.data.crops import CropPolicy
from grap_seq.data.loader import EpochBatches, loader
from grap_seq.data.sequences import TIME, Sequences
from tests.data.toy import random_rows, sequences

LENGTHS = [1, 2, 2, 3, 60, 35, 18, 1, 44, 27, 9, 13, 80, 5, 21]
POLICY = CropPolicy(max_length=50, views=3, view_min=0.2, view_max=0.8)


def assert_same(left: list[PaddedBatch], right: list[PaddedBatch]) -> None:
    assert len(left) == len(right)
    for ours, theirs in zip(left, right, strict=True):
        assert torch.equal(ours.seq_lens, theirs.seq_lens)
        assert ours.payload.keys() == theirs.payload.keys()
        for name, values in ours.payload.items():
            torch.testing.assert_close(values, theirs.payload[name], rtol=0, atol=0, equal_nan=True)


def epoch(found: Sequences, number: int = 0, seed: int = 0, size: int = 4) -> EpochBatches:
    return EpochBatches(found, POLICY, size, seed=seed, epoch=number)


def every(batches: EpochBatches) -> list[list[PaddedBatch]]:
    return [batches[step] for step in range(len(batches))]


def test_an_epoch_holds_every_sequence_with_a_next_event_once() -> None:
    rows = random_rows(LENGTHS)
    found = epoch(sequences(rows))
    owners = 0
    crops = []
    for batch in every(found):
        numbers = torch.cat([group.payload[OWNER] for group in batch])
        # Each sequence of the batch gives three crops.
        assert sorted(numbers.tolist()) == sorted(list(range(len(numbers) // 3)) * 3)
        owners += len(numbers) // 3
        for group in batch:
            for index, length in enumerate(group.seq_lens.tolist()):
                crops.append(group.payload[TIME][index, :length].numpy())
    usable = [row[TIME] for row in rows if len(row[TIME]) >= 2]
    assert owners == len(usable) == 13
    starts = np.array([times[0] for times in usable])
    assert len(starts) == 13
    for times in usable:
        # Times are random numbers: an event identifies its sequence.
        own = [crop for crop in crops if np.isin(crop, times).all()]
        assert len(own) == 3
        for crop in own:
            first = int(np.flatnonzero(times == crop[0])[0])
            np.testing.assert_array_equal(times[first : first + len(crop)], crop)


def test_batches_are_functions_of_seed_epoch_and_step() -> None:
    found = sequences(random_rows(LENGTHS))
    batches = every(epoch(found, 2))
    for step in (3, 0, 2, 1):
        # Built alone, in another order, by a new object.
        assert_same(epoch(found, 2)[step], batches[step])
    for other in (epoch(found, 3), epoch(found, 2, seed=1)):
        with pytest.raises(AssertionError):
            assert_same(other[0], batches[0])
    with pytest.raises(IndexError):
        epoch(found)[4]


def test_worker_processes_change_nothing(prepared: Callable[..., Path]) -> None:
    found = Sequences(prepared(train=LENGTHS, parts=2), "train")
    alone = list(loader(epoch(found)))
    shared = list(loader(epoch(found), workers=2))
    assert len(alone) == len(shared) == 4
    for left, right in zip(alone, shared, strict=True):
        assert_same(left, right)


def test_a_view_has_one_relative_length_in_the_whole_batch() -> None:
    found = sequences(random_rows([40] * 12))
    sizes = set()
    for batch in every(epoch(found, size=6)):
        # Sequences of one length: each of the three views has one length too, six times.
        lengths = Counter(length for group in batch for length in group.seq_lens.tolist())
        assert len(lengths) <= 3
        assert all(count % 6 == 0 for count in lengths.values())
        sizes |= set(lengths)
    assert len(sizes) > 3


def test_padding_stays_below_a_tenth() -> None:
    rng = np.random.default_rng(0)
    found = sequences(random_rows(rng.integers(2, 200, 300).tolist()))
    batches = EpochBatches(found, CropPolicy(), 32, seed=0, epoch=0)
    assert all(padding_share(batch) <= 0.1 for batch in every(batches))
    loose = EpochBatches(found, CropPolicy(), 32, seed=0, epoch=0, max_padding=1.0)
    assert {len(batch) for batch in every(loose)} == {1}


@pytest.mark.parametrize("lengths", [[], [5], [1, 1, 1, 7]])
def test_too_few_sequences(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="two events or more"):
        epoch(sequences(random_rows(lengths)))


def test_windows_are_marked() -> None:
    found = sequences(random_rows(LENGTHS))
    policy = CropPolicy(12, views=2, window=True)
    for batch in every(EpochBatches(found, policy, 4, seed=0, epoch=0)):
        owners = torch.cat([group.payload[OWNER] for group in batch])
        windows = torch.cat([group.payload[WINDOW] for group in batch])
        sizes = torch.cat([group.seq_lens for group in batch])
        for owner in set(owners.tolist()):
            own, whole = sizes[(owners == owner) & ~windows], sizes[(owners == owner) & windows]
            assert (len(own), len(whole)) == (2, 1)
            assert own.max() <= whole.item() <= 12


def crops_of(batch: list[PaddedBatch]) -> set[tuple[int, float, int]]:
    """Owner, first time and length of every crop."""
    return {
        (int(owner), float(times[0]), int(length))
        for group in batch
        for owner, times, length in zip(
            group.payload[OWNER], group.payload[TIME], group.seq_lens, strict=True
        )
    }


def test_the_parts_of_several_processes_are_one_larger_batch() -> None:
    found = sequences(random_rows(LENGTHS))
    parts = [
        EpochBatches(found, POLICY, 2, seed=0, epoch=1, rank=rank, world=3) for rank in range(3)
    ]
    whole = epoch(found, number=1, size=6)
    assert [len(part) for part in parts] == [len(whole)] * 3
    for step, batch in enumerate(every(whole)):
        shares = [crops_of(part[step]) for part in parts]
        assert set.union(*shares) == crops_of(batch)
        assert sum(map(len, shares)) == len(crops_of(batch))
        sizes = [len({owner for owner, _, _ in share}) for share in shares]
        assert max(sizes) - min(sizes) <= 1 <= min(sizes)


def test_a_batch_too_small_to_be_shared_is_refused() -> None:
    found = sequences(random_rows([5, 4, 3]))
    with pytest.raises(ValueError, match="a batch of 3, which cannot be shared by 4 processes"):
        EpochBatches(found, POLICY, 2, seed=0, epoch=0, world=4)
