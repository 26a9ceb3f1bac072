"""`benchmarks/alignment.py` on gradients whose means are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.alignment import Gradients, between, cosines, jackknife, moves, summary


def planted(batches: int, groups: int) -> Gradients:
    """Means (1, 0), (0, 2) and, of the label, (3, 4) in two of 200 dimensions; unit noise."""
    means = torch.zeros(3, 200)
    means[0, 0], means[1, 1], means[2, :2] = 1, 2, torch.tensor([3.0, 4.0])
    torch.manual_seed(0)
    found = Gradients(groups)
    for _ in range(batches):
        rows = means + torch.randn(3, 200)
        found.add(rows[:, :7], rows)
    return found


def test_means_are_told_from_the_noise_of_batches() -> None:
    found = planted(640, 8)
    values, errors = jackknife(found.products(), cosines)
    assert values == pytest.approx([0.6, 0.8], abs=4 * errors.max())
    assert errors.max() < 0.05
    # A batch's own cosines drown: the noise is sqrt(200) long.
    assert np.abs(cosines(np.mean(found.parameters, axis=0))).max() < 0.35
    # w.p = 3 w1 + 8 w2 over |(w1, 2 w2)|, at w = (1, 1): p / n - (w.p) C w / n^3.
    n = 5**0.5
    expected = [3 / n - 11 / n**3, 8 / n - 11 * 4 / n**3]
    values, errors = jackknife(found.products(), moves)
    assert values == pytest.approx(expected, abs=4 * errors.max())


def test_rows_name_what_they_are() -> None:
    rows = summary(planted(160, 4), ("first", "second", "downstream"))
    assert [row["loss"] for row in rows] == ["first", "second", "downstream"]
    # |mean|^2 / (|mean|^2 + 200)
    signals = [row["signal"] for row in rows]
    assert signals == pytest.approx([1 / 201, 4 / 204, 25 / 225], abs=0.01)
    assert "mean_parameters" not in rows[2]
    assert rows[0]["weight_parameters"] > 0 > rows[1]["weight_parameters"]


def test_batches_without_labels_are_left_out() -> None:
    found = Gradients(2)
    rows = torch.randn(3, 5)
    for scale in (1.0, 0.0, 1.0):
        found.add(torch.cat([rows[:2], scale * rows[2:]]), rows)
    assert found.counts == [1, 1]
    assert between(found.products()) == pytest.approx((rows.double() @ rows.double().T).numpy())
