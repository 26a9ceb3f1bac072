"""The time encoding against its formula."""

from __future__ import annotations

import math

import pytest
import torch

from grap_seq.nn.time_encoding import TimeEncoding, rotate


def test_formula_entry_by_entry() -> None:
    m, M, D = 0.5, 200.0, 6
    encoding = TimeEncoding(D, m, M)
    times = [0.0, 0.25, 3.0, 1999.0]
    found = encoding(torch.tensor(times).double())
    for row, time in zip(found.tolist(), times, strict=True):
        for k in range(D // 2):
            frequency = (1 / m) * (5 * M / m) ** (-2 * k / D)
            assert row[2 * k] == pytest.approx(math.sin(time * frequency), abs=1e-6)
            assert row[2 * k + 1] == pytest.approx(math.cos(time * frequency), abs=1e-6)


def test_long_times_keep_their_phase() -> None:
    """40 years in seconds at a frequency of one a second: far beyond float32's whole numbers."""
    encoding = TimeEncoding(2, 1.0, 1e9)
    time = 1_261_440_000.25
    found = encoding(torch.tensor([time], dtype=torch.float64))[0]
    assert found.tolist() == pytest.approx([math.sin(time), math.cos(time)], abs=1e-5)


def test_rotated_products_depend_on_the_difference_of_times_alone() -> None:
    encoding = TimeEncoding(8, 0.1, 50.0)
    query, key = torch.randn(8), torch.randn(8)

    def product(first: float, second: float) -> float:
        angles = encoding.angles(torch.tensor([first, second]).double())
        return float(rotate(query, angles[0]) @ rotate(key, angles[1]))

    assert product(3.0, 5.0) == pytest.approx(product(13.0, 15.0), abs=1e-4)
    assert product(3.0, 5.0) != pytest.approx(product(3.0, 6.0), abs=1e-4)
    assert product(7.0, 7.0) == pytest.approx(float(query @ key), abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((7, 0.1, 1.0), "even number of columns, not 7"),
        ((8, 1.0, 1.0), "0 < min_time_step < max_duration"),
        ((8, 0.0, 1.0), "0 < min_time_step < max_duration"),
    ],
)
def test_arguments(arguments: tuple[int, float, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TimeEncoding(*arguments)
