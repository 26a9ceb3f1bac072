"""Labels keep their distance and stay as near to their lines as that allows."""

from __future__ import annotations

import base64
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from grap_seq.pages.style import fitting, room, spread, svg

Array = npt.NDArray[np.float64]
places = st.lists(st.floats(0, 100), min_size=1, max_size=12).map(np.array)


@given(places)
def test_spread_keeps_distance_order_and_range(positions: Array) -> None:
    result = spread(positions, 10, 120)
    order = np.argsort(positions, kind="stable")
    assert (np.diff(result[order]) >= 10 - 1e-6).all()
    assert result.min() >= -1e-6
    assert result.max() <= 120 + 1e-6


def test_spread_leaves_distant_labels_alone() -> None:
    np.testing.assert_allclose(spread(np.array([30.0, 0.0, 15.0]), 10), [30, 0, 15])


def test_spread_moves_a_pair_apart_evenly() -> None:
    np.testing.assert_allclose(spread(np.array([50.0, 52.0]), 10), [46, 56])
    np.testing.assert_allclose(spread(np.array([0.0, 0.0]), 10), [0, 10])


def test_svg_is_the_same_each_time_and_needs_nothing_from_outside() -> None:
    def image() -> str:
        figure = Figure(figsize=(2, 1))
        figure.add_subplot().plot([1, 2], label="line")
        return svg(figure)

    assert image() == image()
    text = base64.b64decode(image().removeprefix("data:image/svg+xml;base64,")).decode()
    root = ElementTree.fromstring(text)
    links = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith(("href", "src"))]
    assert all(link.startswith(("#", "data:")) for link in links)


def test_long_names_lose_their_middle() -> None:
    assert fitting("amount", 1.0) == "amount"
    short = fitting("next_merchant_category_code", 1.0)
    assert short.startswith("next_")
    assert short.endswith("_code")
    assert room(["ab", "abcd"], 2.0) < room(["a" * 20], 2.0) < room(["a" * 99], 2.0) == 2.0
