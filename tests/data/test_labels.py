"""Labels inside sequences: what a crop keeps of them, and what each may be predicted from."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa

from grap_seq.data.collate import Crop, collate
from grap_seq.data.crops import CropPolicy
from grap_seq.data.fraction import chosen
from grap_seq.data.loader import EpochBatches
from grap_seq.data.sequences import Sequences
from grap_seq.schema import LABEL, POSITION, UNLABELLED
from tests.data.toy import (
    LOCAL_SCHEMA,
    Row,
    local_rows,
    random_rows,
    sequences,
    table,
    write_prepared,
)

LENGTHS = [12, 7, 30, 2, 18, 5, 9, 1]
ROWS = local_rows(LENGTHS, seed=9)
LOCAL = sequences(ROWS, LOCAL_SCHEMA)


def labels_of(row: Row) -> list[tuple[int, int]]:
    return list(zip(row["label"] or [], row["label_position"] or [], strict=True))


def test_the_rows_are_not_all_alike() -> None:
    counts = {len(labels_of(row)) for row in ROWS}
    assert counts >= {0, 1, 3}


def cropped(crop: Crop) -> list[tuple[int, int]]:
    """The rule, label by label: before the crop, gone; behind it, at its last event."""
    kept = []
    for label, place in labels_of(ROWS[crop.row]):
        if place < crop.start:
            continue
        kept.append((label, (crop.stop - 1 if place >= crop.stop else place) - crop.start))
    return kept


CROPS = [
    Crop(row, start, stop, row)
    for row, length in enumerate(LENGTHS)
    for start in range(0, length, 3)
    for stop in range(start + 1, length + 1, 4)
]


def test_a_batch_numbers_the_events_of_its_labels() -> None:
    assert LOCAL.local is not None
    batch = collate(LOCAL, CROPS)
    expected, first = [], 0
    for crop in CROPS:
        expected += [(label, first + position) for label, position in cropped(crop)]
        first += crop.length
    assert batch.label_events is not None
    found = zip(batch.labels.tolist(), batch.label_events.tolist(), strict=True)
    assert list(found) == expected
    assert len(expected) > 20


def test_examples_are_the_events_up_to_each_label() -> None:
    found = LOCAL.examples()
    assert (LOCAL.labels == UNLABELLED).all()
    expected = [
        (number, place + 1, label)
        for number, row in enumerate(ROWS)
        for label, place in labels_of(row)
    ]
    assert list(zip(found.rows, found.stops, found.labels, strict=True)) == expected
    part = found.take(np.array([2, 0]))
    assert list(zip(part.rows, part.stops, part.labels, strict=True)) == [expected[2], expected[0]]


def test_examples_of_one_label_a_sequence_are_whole_sequences() -> None:
    rows = random_rows(LENGTHS, seed=9)
    found = sequences(rows).examples()
    expected = [
        (number, length, row["label"])
        for number, (row, length) in enumerate(zip(rows, LENGTHS, strict=True))
        if row["label"] is not None
    ]
    assert 0 < len(expected) < len(rows)
    assert list(zip(found.rows, found.stops, found.labels, strict=True)) == expected


def test_a_folder_and_a_workers_copy_have_the_same_labels(tmp_path: Path) -> None:
    folder = write_prepared(tmp_path / "out", {"train": ROWS}, schema=LOCAL_SCHEMA, parts=3)
    stored = Sequences(folder, "train")
    for other in (stored, pickle.loads(pickle.dumps(stored))):
        assert other.local is not None
        for name in ("rows", "stops", "labels"):
            one, two = getattr(other.examples(), name), getattr(LOCAL.examples(), name)
            np.testing.assert_array_equal(one, two)


def test_rows_without_labels_have_no_examples() -> None:
    plain = Sequences.from_table(LOCAL_SCHEMA, table(ROWS).drop_columns([LABEL, POSITION]))
    assert not len(plain.examples())
    batch = collate(plain, [Crop(0, 0, 5, 0)])
    assert batch.label_events is not None
    assert batch.labels.shape == batch.label_events.shape == (0,)


def test_a_part_of_the_labels_is_that_of_whole_rows(tmp_path: Path) -> None:
    folder = write_prepared(tmp_path / "out", {"train": ROWS}, schema=LOCAL_SCHEMA)
    part = Sequences(folder, "train").with_labels(0.5)
    kept = chosen(pa.array([row["client"] for row in ROWS]), 0.5)
    assert 0 < kept.sum() < len(ROWS)
    one, every = part.examples(), LOCAL.examples()
    np.testing.assert_array_equal(one.rows, every.rows[kept[every.rows]])
    np.testing.assert_array_equal(one.stops, every.stops[kept[every.rows]])
    np.testing.assert_array_equal(one.labels, every.labels[kept[every.rows]])
    assert len(LOCAL.examples()) == len(every)


def test_training_by_the_label_sees_each_label_once_and_nothing_after_it() -> None:
    policy = CropPolicy(max_length=8, views=1, view_min=2, view_max=8)
    loader = EpochBatches(LOCAL, policy, 4, seed=0, epoch=1, labelled=True)
    assert LOCAL.local is not None
    found = []
    for step in range(len(loader)):
        batch = loader[step]
        assert batch.label_events is None
        firsts, lasts = (
            batch.times[edge].tolist() for edge in (batch.layout.starts, batch.layout.ends)
        )
        sizes = batch.layout.sizes.tolist()
        assert all(2 <= size <= 8 for size in sizes)
        found += list(zip(firsts, lasts, sizes, batch.labels.tolist(), strict=True))
    # The last event of every crop is the label's own; its first is as far back as the crop is long.
    examples = LOCAL.examples()
    usable = examples.take(np.flatnonzero(examples.stops >= 2))
    assert len(found) == len(usable) > 5
    ends = sorted((last, label) for _, last, _, label in found)
    times = [ROWS[row]["event_time"] for row in usable.rows]
    pairs = zip(times, usable.stops, usable.labels, strict=True)
    assert ends == sorted((float(time[stop - 1]), int(label)) for time, stop, label in pairs)
    starts = {
        (float(time[stop - 1]), float(time[stop - length]), length)
        for time, stop in zip(times, usable.stops, strict=True)
        for length in range(1, stop + 1)
    }
    assert {(last, first, length) for first, last, length, _ in found} <= starts
