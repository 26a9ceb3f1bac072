"""Is it the same run? What a run that goes on has to share with the one that was begun."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from grap_seq import seal
from grap_seq.training.made_from import MadeFrom
from grap_seq.training.trajectory import FILE

# Settings that may differ: where things are, how far to train, what to do when it is disturbed.
FREE = (
    *("run", "prepared", "pretrained", "source", "output", "resume", "overwrite"),
    *("epochs", "checkpoint_every", "nonfinite", "tracker"),
)
# Settings of `trainer` that change what comes out by more than the order of sums does, where the
# device stays the same.
OF_THE_DEVICE = ("trainer.precision", "trainer.compile")
# Settings of which each of several machines may have its own.
OWN = (
    *("run", "prepared", "pretrained", "source", "output", "resume", "overwrite"),
    *("trainer.threads", "trainer.workers"),
)
# One batch, whoever shares it.
TOGETHER = "batch_size of all processes"
RESTORE = "restore it from a copy, or start anew with overwrite=true"


def settings_of(stored: Mapping[str, Any]) -> str:
    """Hash of the settings that checkpoints of a run depend on, whatever the machine."""
    text = json.dumps(_decisive(stored), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _decisive(content: Mapping[str, Any]) -> dict[str, Any]:
    values = _flat(content)
    found = {k: v for k, v in values.items() if k.partition(".")[0] not in (*FREE, "trainer")}
    del found["batch_size"]
    # Runs from before there was a number of machines had one.
    processes = values["trainer.devices"] * values.get("trainer.nodes", 1)
    return found | {TOGETHER: values["batch_size"] * processes}


def flat(config: Any) -> dict[str, Any]:
    """Settings of a run by dotted key."""
    return _flat(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]


def alike(config: Any) -> dict[str, Any]:
    """Settings, by dotted key, that processes which train together share."""
    return {k: v for k, v in flat(config).items() if k not in OWN}


def check_same(run: Path, stored: Mapping[str, Any], config: Any) -> None:
    """Refuse settings that would make another run.

    Raises:
        ValueError: they differ; lists each with both values.
    """
    given: Any = OmegaConf.to_container(config, resolve=True)
    now, before = _decisive(given), _decisive(stored)
    if given["trainer"]["accelerator"] == stored["trainer"]["accelerator"]:
        for values, content in ((now, given), (before, stored)):
            values |= {key: _flat(content)[key] for key in OF_THE_DEVICE}
    changed = [
        f"{key}={now.get(key)} (it was {before.get(key)})"
        for key in sorted(now.keys() | before.keys())
        # A run from before a setting existed had today's default.
        if now.get(key) != before.get(key) and (key in before or key.partition(".")[0] in stored)
    ]
    if given["epochs"] < stored["epochs"]:
        changed.append(f"epochs={given['epochs']} (it was {stored['epochs']}, and may be raised)")
    if changed:
        raise ValueError(
            f"resume=true, but {run} was begun with other settings: {', '.join(changed)}; repeat"
            " the original ones. Free are epochs, to train longer, checkpoint_every, tracker, the"
            " device and trainer.threads, workers and max_steps"
        )


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return found


def check_data(run: Path, made: MadeFrom) -> dict[str, Any]:
    """Refuse other data than a run was begun with.

    Returns:
        Its environment.json.

    Raises:
        ValueError: other data, or a damaged file of the run.
    """
    for name in (*made.files, *([FILE] if (run / FILE).is_file() else [])):
        seal.check(run, name, RESTORE)
    path = seal.check(run, "environment.json", RESTORE)
    about: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if about["data"] != made.data:
        raise ValueError(
            f"resume=true, but {made.place} holds other data than {run} was begun with (or the"
            " fine-tuned run has changed); name the original data, or start anew with"
            " overwrite=true"
        )
    return about
