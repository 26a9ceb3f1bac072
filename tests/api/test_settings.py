"""The names that an editor completes are those of the commands."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml

from grap_seq import resources
from grap_seq.api import settings
from grap_seq.prep.describe.spec import DatasetSpec


def _keys(command: str) -> set[str]:
    content = yaml.safe_load((resources.folder("configs") / f"{command}.yaml").read_text("utf-8"))
    groups = [next(iter(entry)) for entry in content.pop("defaults", []) if entry != "_self_"]
    return {*content, *groups}


@pytest.mark.parametrize(
    ("command", "types", "positional"),
    [
        ("pretrain", settings.Pretrain, {"prepared"}),
        ("finetune", settings.Finetune, {"run"}),
        ("embed", settings.Embed, {"run"}),
        ("evaluate", settings.Evaluate, {"run"}),
        ("report", settings.Report, {"run"}),
        ("tune", settings.Tune, set()),
    ],
)
def test_settings_of_a_command(command: str, types: Any, positional: set[str]) -> None:
    names = set(types.__required_keys__ | types.__optional_keys__)
    assert names - {"experiment"} == _keys(command) - positional


def test_settings_of_prepare_are_its_own_and_those_of_a_description() -> None:
    described = {field.name for field in dataclasses.fields(DatasetSpec)}
    names = set(settings.Prepare.__optional_keys__)
    assert names == (_keys("prepare") | described) - {"source", "output", "spec", "labels"}
