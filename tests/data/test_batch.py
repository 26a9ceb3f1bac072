"""Rectangles: little padding, exact contents, and payloads that pytorch-lifestream can read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ptls.data_load.padded_batch import PaddedBatch
from ptls.nn.seq_encoder.containers import RnnSeqEncoder
from ptls.nn.trx_encoder.trx_encoder import TrxEncoder

from grap_seq.data.batch import OWNER, WINDOW, Crop, collate, padding_share
from grap_seq.data.labels import LABEL
from grap_seq.data.sequences import TIME
from tests.data.toy import SCHEMA, random_rows, sequences, whole

ROWS = random_rows([1, 2, 3, 5, 8, 13, 21, 34, 40], seed=1)
SEQUENCES = sequences(ROWS)
FIELDS = (TIME, *(field.name for field in SCHEMA.fields))


@st.composite
def crops(draw: st.DrawFn) -> list[Crop]:
    result: list[Crop] = []
    for _ in range(draw(st.integers(1, 25))):
        row = draw(st.integers(0, len(ROWS) - 1))
        start = draw(st.integers(0, len(ROWS[row]["event_time"]) - 1))
        stop = draw(st.integers(start + 1, len(ROWS[row]["event_time"])))
        # The owner doubles as the crop's number, so that the test can find it again.
        result.append(Crop(row, start, stop, len(result)))
    return result


@given(crops(), st.sampled_from([0.0, 0.05, 0.1, 0.5, 1.0]))
@settings(max_examples=80)
def test_rectangles_hold_every_crop_and_little_padding(
    chosen: list[Crop], max_padding: float
) -> None:
    groups = collate(SEQUENCES, chosen, max_padding)
    owners = torch.cat([group.payload[OWNER] for group in groups]).tolist()
    assert sorted(owners) == list(range(len(chosen)))
    for group in groups:
        cells = group.payload[TIME].numel()
        events = int(group.seq_lens.sum())
        assert (cells - events) / cells <= max_padding + 1e-12
        assert group.payload[TIME].shape == (len(group), int(group.seq_lens.max()))
        for index, length in enumerate(group.seq_lens.tolist()):
            crop = chosen[int(group.payload[OWNER][index])]
            row = ROWS[crop.row]
            assert length == crop.stop - crop.start
            assert group.payload[LABEL][index] == (-1 if row["label"] is None else row["label"])
            for name in FIELDS:
                values = group.payload[name][index].numpy()
                np.testing.assert_array_equal(values[:length], row[name][crop.start : crop.stop])
                assert not values[length:].any()
    if max_padding == 1:
        assert len(groups) == 1
    cells = sum(group.payload[TIME].numel() for group in groups)
    assert padding_share(groups) == pytest.approx(1 - sum(c.length for c in chosen) / cells)


def test_a_handful_of_lengths() -> None:
    rows = random_rows([10, 9, 9, 8, 5, 5, 2])
    groups = collate(sequences(rows), whole(rows), max_padding=0.1)
    # 10, 9, 9 and 8 fill 36 of 40 cells: just one tenth of padding.
    assert [group.seq_lens.tolist() for group in groups] == [[10, 9, 9, 8], [5, 5], [2]]
    assert padding_share(groups) == pytest.approx(4 / 52)
    assert padding_share(collate(sequences(rows), whole(rows), 1.0)) == pytest.approx(22 / 70)


def test_types_and_payload() -> None:
    (group,) = collate(SEQUENCES, whole(ROWS), max_padding=1.0)
    assert isinstance(group, PaddedBatch)
    assert set(group.payload) == {*FIELDS, LABEL, OWNER, WINDOW}
    for name, dtype in (
        (TIME, torch.float64),
        ("type", torch.int64),
        ("a.b", torch.float32),
        (LABEL, torch.int64),
        (OWNER, torch.int64),
        (WINDOW, torch.bool),
    ):
        assert group.payload[name].dtype == dtype, name
    assert group.seq_lens.dtype == torch.int64
    # The field called "owner" keeps its values beside the batch's own numbering.
    np.testing.assert_array_equal(group.payload["owner"][0], ROWS[-1]["owner"])


def test_the_library_sees_the_same_mask_and_the_same_sequence_features() -> None:
    (group,) = collate(SEQUENCES, whole(ROWS), max_padding=1.0)
    assert group.seq_len_mask.sum(1).tolist() == group.seq_lens.tolist()
    assert set(group.keep_seq_features().payload) == set(FIELDS)
    assert set(group.drop_seq_features()) == {LABEL, OWNER, WINDOW}


def test_the_librarys_own_encoders_read_the_payload() -> None:
    """Categorical fields through `TrxEncoder` and `RnnSeqEncoder`, against torch alone."""
    torch.manual_seed(0)
    # The library keeps its tables in a ModuleDict, which takes neither "type" nor "a.b".
    encoder = TrxEncoder(
        embeddings={"owner": {"in": 4, "out": 3}}, numeric_values={"score": "identity"}
    )
    model = RnnSeqEncoder(trx_encoder=encoder, hidden_size=5, type="gru", is_reduce_sequence=True)
    model.eval()
    (group,) = collate(SEQUENCES, whole(ROWS), max_padding=1.0)
    with pytest.warns(UserWarning, match="NaN detected"):
        found = model(group).detach()
    table = encoder.embeddings["owner"].weight
    rnn = model.seq_encoder.rnn
    start = torch.tanh(model.seq_encoder.starter_h)[0]
    for index, owner in enumerate(group.payload[OWNER].tolist()):
        row = ROWS[owner]
        # In evaluation the library's batch norm divides by sqrt(1 + eps) alone.
        scores = torch.from_numpy(np.nan_to_num(row["score"]))[:, None] / np.sqrt(1 + 1e-5)
        events = torch.cat([table[torch.from_numpy(row["owner"])], scores], dim=1)
        with torch.no_grad():
            _, last = rnn(events, start)
        torch.testing.assert_close(found[index], last[0], rtol=1e-5, atol=1e-6)
