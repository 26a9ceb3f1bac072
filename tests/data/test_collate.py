"""A batch holds the events of its crops, exactly and once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grap_seq.data.collate import Crop, collate
from grap_seq.schema import TIME
from tests.data.toy import SCHEMA, random_rows, sequences, table, whole, write_prepared

ROWS = random_rows([1, 2, 3, 5, 8, 13, 21, 34, 40], seed=1)
SEQUENCES = sequences(ROWS)
NAMES = [field.name for field in SCHEMA.fields]


@st.composite
def crops(draw: st.DrawFn) -> list[Crop]:
    result: list[Crop] = []
    windows = draw(st.booleans())
    for _ in range(draw(st.integers(1, 25))):
        row = draw(st.integers(0, len(ROWS) - 1))
        start = draw(st.integers(0, len(ROWS[row][TIME]) - 1))
        stop = draw(st.integers(start + 1, len(ROWS[row][TIME])))
        window = windows and draw(st.booleans())
        result.append(Crop(row, start, stop, len(result), window=window))
    return result


@given(crops())
@settings(max_examples=80)
def test_a_batch_is_the_crops_one_behind_the_other(chosen: list[Crop]) -> None:
    batch = collate(SEQUENCES, chosen)
    parts = [ROWS[crop.row] for crop in chosen]
    spans = [slice(crop.start, crop.stop) for crop in chosen]
    assert batch.layout.sizes.tolist() == [crop.length for crop in chosen]
    assert len(batch) == len(chosen)
    assert batch.owners.tolist() == [crop.owner for crop in chosen]
    for name in NAMES:
        wanted = np.concatenate([row[name][span] for row, span in zip(parts, spans, strict=True)])
        np.testing.assert_array_equal(batch.fields[name].numpy(), wanted)
    times = [row[TIME][span] for row, span in zip(parts, spans, strict=True)]
    np.testing.assert_array_equal(batch.times.numpy(), np.concatenate(times))
    gaps = np.concatenate([np.diff(moments, prepend=moments[0]) for moments in times])
    np.testing.assert_allclose(batch.gaps.numpy(), gaps, rtol=1e-6)
    assert batch.labels.tolist() == [-1 if r["label"] is None else r["label"] for r in parts]
    anywhere = any(crop.window for crop in chosen)
    has_next = [
        (crop.window or not anywhere) and event < crop.length - 1
        for crop in chosen
        for event in range(crop.length)
    ]
    assert batch.has_next.tolist() == has_next
    assert batch.views.tolist() == [i for i, crop in enumerate(chosen) if not crop.window]


def test_types() -> None:
    batch = collate(SEQUENCES, whole(ROWS))
    assert set(batch.fields) == set(NAMES)
    types = {"times": torch.float64, "gaps": torch.float32, "labels": torch.int64}
    types |= {"owners": torch.int64, "views": torch.int64, "has_next": torch.bool}
    for name, dtype in types.items():
        assert getattr(batch, name).dtype == dtype, name
    assert batch.fields["type"].dtype == torch.int64
    assert batch.fields["a.b"].dtype == torch.float32
    # The field called "owner" keeps its values beside the batch's own numbering.
    np.testing.assert_array_equal(batch.fields["owner"][-40:], ROWS[-1]["owner"])


def test_gaps_of_large_times_are_exact() -> None:
    (row,) = random_rows([3])
    row[TIME] = np.array([1.7e9, 1.7e9 + 0.25, 1.7e9 + 1.0])
    assert collate(sequences([row]), [Crop(0, 0, 3, 0)]).gaps.tolist() == [0.0, 0.25, 0.75]


def test_a_batch_moves_as_a_whole() -> None:
    batch = collate(SEQUENCES, whole(ROWS)).to("meta")
    assert batch.layout.device.type == "meta"
    for tensor in (*batch.fields.values(), batch.times, batch.owners, batch.layout.packing.order):
        assert tensor.device.type == "meta"
    assert batch.label_events is None
    assert batch.events == 127


def test_slices_of_several_files_and_of_a_sliced_table(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from grap_seq.data.sequences import Sequences

    folder = write_prepared(tmp_path / "out", {"train": ROWS}, parts=3)
    chosen = [Crop(8, 3, 20, 0), Crop(0, 0, 1, 1), Crop(4, 2, 8, 2), Crop(8, 0, 40, 3)]
    stored, sliced = Sequences(folder, "train"), table([*ROWS[:2], *ROWS]).slice(2)
    for other in (stored, Sequences.from_table(SCHEMA, sliced)):
        for name, values in collate(other, chosen).fields.items():
            wanted = collate(SEQUENCES, chosen).fields[name]
            torch.testing.assert_close(values, wanted, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("crop", [Crop(1, 0, 3, 0), Crop(1, -1, 2, 0), Crop(1, 2, 1, 0)])
def test_events_of_other_rows_are_an_error(crop: Crop) -> None:
    with pytest.raises(AssertionError):
        collate(SEQUENCES, [crop])
