"""What `pretrain` chooses for data without labels, where its defaults would need some."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grap_seq.config import compose
from grap_seq.schema import Schema
from grap_seq.terminal import say

# By what each does.
CHOICES = {
    "weighting=equal": "its losses have equal weights",
    "select=auto": "the epoch is chosen by the validation loss",
}


def fitted(settings: Any, arguments: Sequence[str]) -> Any:
    """The settings of `pretrain`, or those for data without labels, and then says so.

    Nothing takes the place of what was typed: a weighting, its options, a mode with a weighting of
    its own, `select`, or an experiment, which settles everything.

    Args:
        settings: what `compose` made of the arguments.
        arguments: `key=value` as typed.
    """
    schema = Schema.load(Path(settings.prepared))
    added = [] if schema.labels else _choices(arguments)
    if not added:
        return settings
    reasons = " and ".join(f"{CHOICES[choice]} ({choice})" for choice in added)
    say(f"{schema.name} has no labels: {reasons}.")
    return compose("pretrain", [*arguments, *added])


def _choices(arguments: Sequence[str]) -> list[str]:
    typed = {argument.partition("=")[0] for argument in arguments if argument != "mode=pretrain"}
    if "experiment" in typed:
        return []
    groups = {key.partition(".")[0] for key in typed}
    taken = {
        "weighting=equal": groups & {"weighting", "mode"},
        "select=auto": typed & {"select", "dataset.select"},
    }
    return [choice for choice in CHOICES if not taken[choice]]
