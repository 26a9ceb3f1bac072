"""What a command finds in the folder of a run before anything slow is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grap_seq import config, seal


def config_of(run: Path) -> dict[str, Any]:
    """The settings that a run was trained with.

    Raises:
        FileNotFoundError: it is no run folder.
        ValueError: its config.yaml is damaged.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise FileNotFoundError(
            f"{run} is not a run folder (no config.yaml); make one with `grap-seq pretrain`"
        )
    seal.check(run, path.name, "restore it from a copy, or train the run again")
    return config.load(path)


def prepared_of(run: Path, given: str | None) -> Path:
    """The prepared folder that is given, or else the one that a run was trained on.

    Raises:
        FileNotFoundError: `run` is no run folder, or the other no prepared one.
        ValueError: as `config_of`.
    """
    # Read in every case: it says that `run` is a run folder before anything slow is imported.
    own = config_of(run)["prepared"]
    prepared = Path(own if given is None else given)
    # A run has a schema too, and no data.
    if not (prepared / "manifest.json").is_file():
        raise FileNotFoundError(
            f"prepared={prepared} is not a prepared folder (no manifest.json); make it with"
            " `grap-seq prepare`"
        )
    return prepared
