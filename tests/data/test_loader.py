"""Batches by number: complete, reproducible, the same from any process."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from grap_seq.batch import Batch
from grap_seq.data.crops import CropPolicy
from grap_seq.data.loader import EpochBatches, Epochs, Places, loader
from grap_seq.data.sequences import Sequences
from grap_seq.nn.event_embedding import EventEmbedding
from grap_seq.schema import TIME, UNLABELLED
from tests.data.toy import random_rows, sequences

LENGTHS = [1, 2, 2, 3, 60, 35, 18, 1, 44, 27, 9, 13, 80, 5, 21]
POLICY = CropPolicy(max_length=50, views=3, view_min=0.2, view_max=0.8)


def assert_same(left: Batch, right: Batch) -> None:
    assert left.layout.sizes.tolist() == right.layout.sizes.tolist()
    for name in ("times", "gaps", "owners", "views", "has_next", "labels"):
        assert torch.equal(getattr(left, name), getattr(right, name)), name
    assert left.fields.keys() == right.fields.keys()
    for name, values in left.fields.items():
        torch.testing.assert_close(values, right.fields[name], rtol=0, atol=0, equal_nan=True)


def epoch(found: Sequences, number: int = 0, seed: int = 0, size: int = 4) -> EpochBatches:
    return EpochBatches(found, POLICY, size, seed=seed, epoch=number)


def every(batches: EpochBatches) -> list[Batch]:
    return [batches[step] for step in range(len(batches))]


def test_an_epoch_holds_every_sequence_with_a_next_event_once() -> None:
    rows = random_rows(LENGTHS)
    owners = 0
    crops = []
    for batch in every(epoch(sequences(rows))):
        # Each sequence of the batch gives three crops.
        assert sorted(batch.owners.tolist()) == sorted(list(range(len(batch) // 3)) * 3)
        owners += len(batch) // 3
        crops += [part.numpy() for part in torch.split(batch.times, batch.layout.sizes.tolist())]
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


def test_workers_stay_from_epoch_to_epoch(prepared: Callable[..., Path]) -> None:
    found = Sequences(prepared(train=LENGTHS, parts=2), "train")
    places = Places(3, len(epoch(found)), first=2)
    shared = loader(Epochs(partial(epoch, found)), 2, places)
    first = list(shared)
    iterator: Any = shared._iterator
    workers = [worker.pid for worker in iterator._workers]
    places.set_epoch(4)
    second = list(shared)
    iterator = shared._iterator
    assert [worker.pid for worker in iterator._workers] == workers
    wanted = every(epoch(found, 3))[2:], every(epoch(found, 4))
    for got, batches in zip((first, second), wanted, strict=True):
        assert len(got) == len(batches) > 1
        for left, right in zip(got, batches, strict=True):
            assert_same(left, right)


def test_a_batch_crosses_processes_in_one_piece(prepared: Callable[..., Path]) -> None:
    """A tensor in shared memory holds a file descriptor, and a process has 1,024."""
    batch = epoch(Sequences(prepared(train=LENGTHS), "train"))[0]
    assert len(batch.tensors()) > 15
    assert len({tensor.untyped_storage().data_ptr() for tensor in batch.tensors()}) > 10
    crossed = pickle.loads(ForkingPickler.dumps(batch))
    assert len({tensor.untyped_storage().data_ptr() for tensor in crossed.tensors()}) == 1
    assert_same(crossed, batch)
    for left, right in zip(crossed.tensors(), batch.tensors(), strict=True):
        assert left.dtype == right.dtype
        torch.testing.assert_close(left, right, rtol=0, atol=0, equal_nan=True)
    assert crossed.layout.rectangles.shapes == batch.layout.rectangles.shapes
    assert crossed.predicted == batch.predicted
    np.testing.assert_array_equal(crossed.view_owners, batch.view_owners)


def labelled_by_length(lengths: list[int]) -> Sequences:
    """Label 0 for the shorter half of the sequences, 2 for the longer: what sorting would bend."""
    middle = np.median(lengths)
    rows = [{**row, "label": 0 if len(row[TIME]) < middle else 2} for row in random_rows(lengths)]
    return sequences(rows)


def heavy_tailed(count: int) -> list[int]:
    rng = np.random.default_rng(0)
    return [int(size) for size in np.clip(rng.lognormal(3.5, 1.0, count), 2, 400)]


def test_batches_are_random_samples_of_sequences() -> None:
    """Labels and lengths of a batch vary as those of random samples, in training and validation."""
    found = labelled_by_length(heavy_tailed(800))
    batches = EpochBatches(
        found, CropPolicy(views=1, view_min=1.0, view_max=1.0), 16, seed=0, epoch=0
    )
    shares, lengths = [], []
    for batch in every(batches):
        shares.append(float((batch.labels == 2).double().mean()))
        lengths.append(np.log(batch.layout.sizes).mean())
        assert (batch.labels != UNLABELLED).all()
    # Of 16 draws with a share of a half: a variance of 1/64 (a little less without replacement).
    assert np.var(shares) == pytest.approx(1 / 64, rel=0.5)
    within = np.var(np.log(found.lengths))
    assert np.var(lengths) == pytest.approx(within / 16, rel=0.5)


@pytest.mark.parametrize("seed", range(5))
def test_running_statistics_are_those_of_random_batches(seed: int) -> None:
    """Long sequences have large numbers; sorted by length, the last batches would be all alike."""
    rows = random_rows(heavy_tailed(800), seed)
    for row in rows:
        noise = np.random.default_rng(len(row[TIME])).normal(size=len(row[TIME]))
        row["score"] = (np.log(len(row[TIME])) + 0.1 * noise).astype(np.float32)
    found = sequences(rows)
    embedding = EventEmbedding(found.schema.fields, width=8)
    whole = CropPolicy(views=1, view_min=1.0, view_max=1.0)
    for batch in every(EpochBatches(found, whole, 32, seed=seed, epoch=0)):
        embedding(batch)
    every_event = np.concatenate([row["score"] for row in rows])
    assert embedding.scalar_norm is not None
    mean = embedding.scalar_norm.running_mean
    assert mean is not None
    # From zero, 25 batches with a momentum of 0.1 come as close as 0.9^25.
    expected = every_event.mean() * (1 - 0.9**25)
    assert abs(mean[-1].item() - expected) < 0.3 * every_event.std()


def test_padding_stays_below_a_tenth_wherever_rectangles_are_read() -> None:
    found = sequences(random_rows(heavy_tailed(300)))
    batches = EpochBatches(found, CropPolicy(), 32, seed=0, epoch=0)
    assert all(batch.layout.padding <= 0.1 for batch in every(batches))
    loose = EpochBatches(found, CropPolicy(), 32, seed=0, epoch=0, max_padding=1.0)
    assert {len(batch.layout.rectangles.shapes) for batch in every(loose)} == {1}


@pytest.mark.parametrize("lengths", [[], [5], [1, 1, 1, 7]])
def test_too_few_sequences(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="two events or more"):
        epoch(sequences(random_rows(lengths)))


def test_windows_are_marked() -> None:
    found = sequences(random_rows(LENGTHS))
    policy = CropPolicy(12, views=2, window=True)
    for batch in every(EpochBatches(found, policy, 4, seed=0, epoch=0)):
        owners, sizes = batch.owners, batch.layout.lengths
        windows = torch.ones(len(batch), dtype=torch.bool)
        windows[batch.views] = False
        for owner in set(owners.tolist()):
            own, whole = sizes[(owners == owner) & ~windows], sizes[(owners == owner) & windows]
            assert (len(own), len(whole)) == (2, 1)
            assert own.max() <= whole.item() <= 12


def crops_of(batch: Batch) -> set[tuple[int, float, int]]:
    """Owner, first time and length of every crop."""
    firsts = batch.times[batch.layout.starts].tolist()
    return set(zip(batch.owners.tolist(), firsts, batch.layout.sizes.tolist(), strict=True))


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
        for part in parts:
            for known, other in zip(part[step].view_owners, parts, strict=True):
                np.testing.assert_array_equal(known, other[step].owners)


def test_a_batch_too_small_to_be_shared_is_refused() -> None:
    found = sequences(random_rows([5, 4, 3]))
    with pytest.raises(ValueError, match="a batch of 3, which cannot be shared by 4 processes"):
        EpochBatches(found, POLICY, 2, seed=0, epoch=0, world=4)
