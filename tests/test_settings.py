"""The table of settings: nothing is missing from it, and it says what the code does."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from omegaconf import OmegaConf

from grap_seq import choices, config, settings
from grap_seq.evaluation.boosting import Boosting
from grap_seq.nn.history_tokens import Placement, Selection
from grap_seq.nn.ht_transformer import Predict
from grap_seq.nn.pooling import POOLINGS
from grap_seq.objectives.targets import FAMILIES
from grap_seq.training.criterion import CHOICES
from grap_seq.weighting import grap, mgda
from grap_seq.weighting.rescale import Rescale

MANDATORY = {
    **{command: ["run=x"] for command in ("finetune", "embed", "evaluate", "report")},
    "fixed": ["weighting.weights=x"],
}


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found[f"{prefix}{name}"] = value
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
    return found


@pytest.mark.parametrize(
    "command",
    [
        *("prepare", "pretrain", "finetune", "embed", "evaluate", "report"),
        *("download", "synth", "vision"),
    ],
)
def test_every_setting_of_a_choice_has_a_kind(command: str) -> None:
    calls: list[list[str]] = [[]]
    if command in ("pretrain", "vision"):
        calls += [
            [f"{group}={name}", *MANDATORY.get(name, [])]
            for group in choices.groups_of(command)
            for name in choices.names(group, command=command)
        ]
    for call in calls:
        composed = config.compose(command, [*call, *MANDATORY.get(command, [])])
        for key, value in flat(OmegaConf.to_container(composed)).items():  # type: ignore[arg-type]
            assert isinstance(value, dict) or settings.kind_of(key) is not None, key


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("pooling", POOLINGS),
        ("encoder.placement", get_args(Placement)),
        ("encoder.selection", get_args(Selection)),
        ("encoder.predict", get_args(Predict)),
        ("select", (settings.AUTO, *CHOICES)),
        ("weighting.rescale", get_args(Rescale)),
        ("weighting.units", get_args(grap.Units)),
        ("weighting.downstream_norm", get_args(grap.DownstreamNorm)),
        (
            "weighting.normalization",
            (*get_args(grap.Normalization), *get_args(mgda.Normalization)),
        ),
    ],
)
def test_words_are_those_of_the_code(key: str, known: tuple[str, ...]) -> None:
    kind = settings.kind_of(key)
    assert kind is not None
    assert set(kind.words) == set(known)


def test_targets_and_boosting_are_those_of_the_code() -> None:
    settings.KINDS["targets"].check("targets", list(FAMILIES))
    for group, values in flat(vars(Boosting())).items():
        for name, value in vars(values).items():
            settings.BOOSTING[f"boosting.{group}.{name}"].check(name, value)


def test_what_was_typed_is_named_rather_than_what_refers_to_it() -> None:
    # encoder.hidden and weighting.seed refer to these, and stand in front of them.
    with pytest.raises(ValueError, match=r"^seed=x: "):
        config.compose("pretrain", ["weighting=torchjd", "seed=x"])
    with pytest.raises(ValueError, match=r"^encoder\.hidden=0: "):
        config.compose("pretrain", ["encoder.hidden=0"])


def test_options_of_the_users_own_class_have_the_kind_of_their_default(tmp_path: Any) -> None:
    (tmp_path / "encoder").mkdir()
    lines = (
        "name: mine\nclass: my.Encoder\nlayers: [1, 2]\ndropout: 3\nmap: {seed: x}\nfree: null\n"
    )
    (tmp_path / "encoder" / "mine.yaml").write_text(lines)
    mine = [f"configs={tmp_path}", "encoder=mine"]
    composed = config.compose("pretrain", [*mine, "encoder.dropout=-9", "encoder.free=[{a: 1}]"])
    assert (composed.encoder.dropout, composed.encoder.free) == (-9, [{"a": 1}])
    for wrong, message in (("layers=3", "a list"), ("dropout=x", "whole number"), ("map=1", "key")):
        with pytest.raises(ValueError, match=rf"^encoder\.{wrong}: write .*{message}"):
            config.compose("pretrain", [*mine, f"encoder.{wrong}"])
