"""Python's values reach a config as they are."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from grap_seq import config
from grap_seq.api.words import words

TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, width=64), TEXT),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)


@given(value=VALUES)
def test_values_survive_the_grammar_of_overrides(value: Any) -> None:
    (word,) = words({"options.anything": value})
    assert OverridesParser.create().parse_override(word).value() == value


def test_a_config_gets_what_was_given(tmp_path: Path) -> None:
    given_values = {
        "prepared": tmp_path / "a b,c=d",
        "encoder": {"name": "transformer", "hidden": 64},
        "weighting": "fixed",
        "weighting.weights": {"time": 1, "coles": 0.5},
        "lr": np.float32(0.25),
        "epochs": "auto",
        "clip": None,
        "objective": {"targets": ("next", "past")},
        "labels": {"fraction": 0.5},
    }
    settings = config.compose("pretrain", words(given_values))
    assert settings.prepared == str(tmp_path / "a b,c=d")
    assert (settings.encoder.name, settings.encoder.hidden) == ("transformer", 64)
    assert settings.weighting.weights == {"time": 1, "coles": 0.5}
    assert (settings.lr, settings.epochs, settings.clip) == (0.25, "auto", None)
    assert list(settings.objective.targets) == ["next", "past"]
    assert settings.labels.fraction == 0.5


def test_paths_and_dates() -> None:
    assert words({"output": "null"}) == ["output=./null"]
    assert words({"run": "[x]{y}"}) == ["run=[x]{y}"]
    assert words({"until": date(2024, 3, 1)}) == ["until='2024-03-01'"]
    assert words({"boosting": {}}) == ["boosting={}"]


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", math])
def test_what_no_setting_can_be(value: Any) -> None:
    with pytest.raises(TypeError, match=r"lr=.*: a setting is text, a number"):
        words({"lr": value})
