"""Up to when crops were observed: a row's own date at its end, before the next event inside."""

from __future__ import annotations

import numpy as np

from grap_seq.data.collate import Crop, collate
from grap_seq.data.crops import CropPolicy
from grap_seq.data.loader import EpochBatches
from tests.data.toy import SCHEMA, UNTIL_SCHEMA, random_rows, sequences, with_until

ROWS = with_until(random_rows([9, 2, 14, 1, 5, 12], seed=3))


def test_whole_rows_inner_crops_and_given_dates() -> None:
    data = sequences(ROWS, UNTIL_SCHEMA)
    crops = [
        Crop(2, 3, 14, 0),
        Crop(2, 3, 8, 0, share=0.25),
        Crop(0, 0, 1, 1),
        Crop(3, 0, 1, 2),
        Crop(4, 0, 2, 3, until=20_000.5),
    ]
    until = collate(data, crops).until
    assert until is not None
    times = ROWS[2]["event_time"]
    between = 0.75 * times[7] + 0.25 * times[8]
    wanted = [ROWS[2]["until"], between, ROWS[0]["event_time"][0], ROWS[3]["until"], 20_000.5]
    np.testing.assert_allclose(until, wanted, rtol=1e-14)


def test_nobody_knows() -> None:
    plain = sequences([{k: v for k, v in row.items() if k != "until"} for row in ROWS])
    assert collate(plain, [Crop(0, 0, 9, 0)]).until is None
    assert plain.schema == SCHEMA
    assert np.isnan(plain.examples().until).all()


def test_training_crops_lie_between_two_events() -> None:
    data, policy = sequences(ROWS, UNTIL_SCHEMA), CropPolicy(8, min_length=2, views=3)
    shares = []
    for epoch in range(30):
        batches = EpochBatches(data, policy, 3, seed=0, epoch=epoch)
        again = EpochBatches(data, policy, 3, seed=0, epoch=epoch)
        for number in range(len(batches)):
            batch, same = batches[number], again[number]
            assert batch.until is not None
            assert same.until is not None
            assert batch.until.equal(same.until)
            last = batch.times[batch.layout.ends]
            assert (batch.until >= last).all()
            for end, moment in zip(last.tolist(), batch.until.tolist(), strict=True):
                (row,) = (r for r in ROWS if end in r["event_time"])
                later = row["event_time"][row["event_time"] > end]
                if not len(later):
                    assert moment == row["until"]
                else:
                    shares.append((moment - end) / (later[0] - end))
    # Uniform: the mean of n of them is 1/2 with deviation 1 / sqrt(12 n).
    assert len(shares) > 200
    assert 0 <= min(shares) < 0.1 < 0.9 < max(shares) < 1
    assert abs(np.mean(shares) - 0.5) < 4 / np.sqrt(12 * len(shares))
