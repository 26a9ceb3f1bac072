"""The sentences, by example."""

from __future__ import annotations

import pandas as pd
import pytest

from grap_seq.pages import words
from grap_seq.schema import Label
from tests.pages.fake import trajectory


def test_listing() -> None:
    assert words.listing(["a"]) == "a"
    assert words.listing(["a", "b"]) == "a and b"
    assert words.listing(["a", "b", "c"]) == "a, b and c"


@pytest.mark.parametrize(
    ("weight", "expected"),
    [(3.0, "rose"), (1.2, "held"), (0.85, "held"), (0.7, "fell"), (0.04, "vanished")],
)
def test_fate(weight: float, expected: str) -> None:
    assert words.fate(weight, 1.0) == expected
    assert words.fate(10 * weight, 10.0) == expected


def test_trajectories() -> None:
    frame = trajectory().filter(like="weight/").rename(columns=lambda n: n.removeprefix("weight/"))
    assert words.trajectories(frame) == (
        "shop (3.00) rose; amount (1.10) stayed near the start; score (0.50) and time (0.40) fell; "
        "coles fell to zero."
    )


def test_alignment() -> None:
    frame = trajectory().filter(like="cosine/").rename(columns=lambda n: n.removeprefix("cosine/"))
    text = words.alignment(frame)
    assert "Most aligned with the downstream gradient: shop (0.050) and amount (0.020)." in text
    assert "Against it: coles (-0.010)." in text
    assert "2 of 5 cannot be told from zero." in text
    noise = pd.DataFrame({"a": [0.1, -0.1, 0.1, -0.1]})
    assert words.alignment(noise) == "No loss's cosine can be told from zero."


def test_constant_weights() -> None:
    assert "weighting=equal the weights are constant" in words.constant("equal")


def test_data() -> None:
    split = {"sequences": 1000, "events": 50_000, "labelled": 500}
    label = Label("churn", "auc", ("no", "yes"))
    assert words.data({"train": split, "test": split}, label) == (
        "2,000 sequences with 100,000 events; 1,000 (50%) carry a label of 2 classes."
    )
    assert words.data({"train": {**split, "labelled": 0}}, None) == (
        "1,000 sequences with 50,000 events."
    )
    assert words.data({"train": split}, Label("age", "r2")).endswith("carry a number as label.")


def test_picture() -> None:
    assert words.picture(2000, 8000, 50).startswith("2,000 of 8,000 sequences, drawn at random.")
    assert words.picture(300, 300, 50).startswith("All 300 sequences.")


def test_of_many_names_some_are_listed() -> None:
    names = [f"n{place}" for place in range(100)]
    assert words.listing(names[:13]) == f"{', '.join(names[:12])} and n12"
    assert words.listing(names) == f"{', '.join(names[:12])} and 88 others"
    assert words.shown(60, 60, "weigh most") == ""
    assert words.shown(3000, 60, "weigh most") == "The 60 of 3,000 losses that weigh most. "
