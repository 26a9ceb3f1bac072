"""What pretraining reads of a config."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from grap_seq import config as configs
from grap_seq.data.crops import CropPolicy
from grap_seq.training.pretrain import crop_policy


def policy(*overrides: str) -> CropPolicy:
    return crop_policy(configs.compose("pretrain", list(overrides)))


@pytest.mark.parametrize(
    ("dataset", "gru", "transformer", "longest"),
    [
        ("churn", 300, 32, 400),
        ("agepred", 1000, 128, 1200),
        ("alfabattle", 256, 128, 1200),
        ("mimic3", 128, 32, 1024),
        ("taobao", 128, 32, 1024),
        ("mbd_mini", 256, 4, 600),
    ],
)
def test_windows_of_the_published_configurations(
    dataset: str, gru: int, transformer: int, longest: int
) -> None:
    for encoder, shortest in (("gru", gru), ("transformer", transformer)):
        found = policy(f"dataset={dataset}", f"encoder={encoder}")
        assert (found.min_length, found.max_length) == (shortest, longest)
        assert (found.views, found.window) == (5, False)


def test_the_objective_decides_on_the_rows() -> None:
    alone = policy("objective=ntp")
    assert (alone.views, alone.window) == (0, True)
    beside = policy("objective.next_event_on=window")
    assert (beside.views, beside.window) == (5, True)
    same = policy("objective=ntp", "objective.next_event_on=views")
    assert (same.views, same.window) == (5, False)
    with pytest.raises(ValueError, match="next_event_on=crops: choose views or window"):
        policy("objective.next_event_on=crops")


def test_an_encoder_without_a_shortest_window_has_the_longest_ones() -> None:
    content = OmegaConf.to_container(configs.compose("pretrain", []))
    assert isinstance(content, dict)
    del content["encoder"]["min_length"]
    found = crop_policy(OmegaConf.create(content))
    assert (found.min_length, found.max_length) == (400, 400)


def test_a_shorter_window_needs_no_second_setting() -> None:
    found = policy("dataset=churn", "dataset.crops.max_length=50")
    assert (found.min_length, found.max_length) == (50, 50)
