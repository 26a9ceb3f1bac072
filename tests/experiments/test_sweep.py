"""Settings with several values."""

from __future__ import annotations

from pathlib import Path

import pytest

from grap_seq import config as configs
from grap_seq.experiments.sweep import expand


def test_every_combination_in_order() -> None:
    assert expand(["seed=0,1", "lr=0.1", "weighting=grap,equal"]) == [
        ["seed=0", "lr=0.1", "weighting=grap"],
        ["seed=0", "lr=0.1", "weighting=equal"],
        ["seed=1", "lr=0.1", "weighting=grap"],
        ["seed=1", "lr=0.1", "weighting=equal"],
    ]
    assert expand([]) == [[]]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("seed=range(3)", ["seed=0", "seed=1", "seed=2"]),
        ("seed=range(2,7,2)", ["seed=2", "seed=4", "seed=6"]),
        ("lr=choice(0.1,1e-3)", ["lr=0.1", "lr=0.001"]),
        ("clip=null,1", ["clip=null", "clip=1"]),
        ("recency=true,false", ["recency=true", "recency=false"]),
        ("weighting=glob(grap*)", ["weighting=grap", "weighting=grap_published"]),
        ("weighting=glob([m*,d*],exclude=mgda)", ["weighting=dwa"]),
        (
            "experiment=glob(churn_gru_grap*)",
            ["experiment=churn_gru_grap", "experiment=churn_gru_grap_published"],
        ),
        # One value each.
        ("objective.targets=[next,past]", ["objective.targets=[next,past]"]),
        ("prepared=data/a,b", ["prepared=data/a,b"]),
        ("labels.name=a,b", ["labels.name=a,b"]),
        ("weighting.weights=runs/my (1)", ["weighting.weights=runs/my (1)"]),
    ],
)
def test_the_values_of_one_setting(typed: str, expected: list[str]) -> None:
    assert expand([typed]) == [[value] for value in expected]


def test_lists_pairs_and_words_come_out_as_they_went_in() -> None:
    typed = "objective.targets=[next],[next,past]"
    found = [configs.compose("pretrain", words).objective.targets for words in expand([typed])]
    assert found == [["next"], ["next", "past"]]
    found = [
        configs.compose("pretrain", words).nonfinite for words in expand(["nonfinite=stop,skip:3"])
    ]
    assert found == ["stop", "skip:3"]


def test_glob_knows_the_users_own_choices(tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "gru_wide.yaml").write_text("defaults: [gru, _self_]\n")
    found = expand([f"configs={tmp_path}", "encoder=glob(gru*)"])
    assert [words[1] for words in found] == ["encoder=gru", "encoder=gru_wide"]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("weighting=glob(x*)", "nothing is called so; there are auxiliary, dwa"),
        ("lr=interval(0,1)", r"list its values, such as lr=1,2"),
        ("seed", "arguments are written key=value"),
    ],
)
def test_what_has_no_values(typed: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expand([typed])
