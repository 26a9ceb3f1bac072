"""Checkpoints on the disk: whole or absent, checked before they are read, the last two kept.

    checkpoints/step-000001200.ckpt     everything that a run needs to go on, its best weights too
    checksums.jsonl                     a line for each: SHA-256, step, epoch, settings, ended

Nothing is written elsewhere, such as to the system's temporary folder.
"""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from grap_seq import seal
from grap_seq.distributed import from_first, rank
from grap_seq.terminal import say

FOLDER = "checkpoints"
# Of the callback that keeps the best weights, among the callbacks' states in a checkpoint.
STATE = "Checkpoints"
KEPT = 2


def name_of(step: int) -> str:
    """Name of the checkpoint of an optimiser step in its run folder."""
    return f"{FOLDER}/step-{step:09d}.ckpt"


class CheckpointFiles(CheckpointIO):
    """Writes and reads a run's checkpoints for Lightning.

    Args:
        run: the run folder.
        settings: hash of the settings that a run which goes on has to have.
    """

    def __init__(self, run: Path, settings: str) -> None:
        self.run, self.settings = run, settings

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint, then remove all but the last two."""
        if not self._ours(path):
            # Processes would hand their weights over in a temporary file; ours are on the disk.
            return
        facts = {
            "step": checkpoint["global_step"],
            "epoch": checkpoint["epoch"],
            "settings": self.settings,
            "ended": checkpoint["callbacks"][STATE]["ended"],
        }
        name = Path(path).relative_to(self.run).as_posix()
        with seal.write(self.run, name, **facts) as temporary:
            torch.save(checkpoint, temporary)
        for old in _paths(self.run)[KEPT:]:
            seal.remove(self.run, f"{FOLDER}/{old.name}")

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint: tensors and plain values, never objects."""
        if not self._ours(path):
            return {}
        # The others may be on machines that have no such file.
        return from_first(_read(path, map_location) if rank() == 0 else {})

    def remove_checkpoint(self, path: Any) -> None:
        """Checkpoints are removed by those that follow; processes leave an empty folder."""
        if not self._ours(path):
            Path(path).parent.rmdir()

    def _ours(self, path: Any) -> bool:
        return Path(path).parent == self.run / FOLDER


def _paths(run: Path) -> list[Path]:
    """Checkpoints that are there, the newest first."""
    return sorted((run / FOLDER).glob("step-*.ckpt"), reverse=True)


def newest(run: Path, settings: str) -> dict[str, Any] | None:
    """The record of the newest whole checkpoint; None: the run never had one, or its only one is
    gone without a trace.

    One that is damaged is named on the screen and gets the ending `.damaged`.

    Raises:
        ValueError: all that the run had are damaged or gone.
    """
    records = {
        name: lines[-1] for name, lines in seal.records(run).items() if name.startswith(FOLDER)
    }
    if not records:
        return None
    if len(records) == 1 and not list((run / FOLDER).glob("step-*")):
        # A checkpoint is recorded before it gets its name: killed in between, a run had none.
        return None
    for path in _paths(run):
        name = path.relative_to(run).as_posix()
        wrong = seal.problem(run, name)
        if wrong is None and records[name]["settings"] != settings:
            wrong = "belongs to a run with other settings"
        if wrong is None:
            if name < max(records):
                say(f"{run / max(records)} is not there: {path.name} is the newest checkpoint.")
            return records[name]
        path.rename(path.with_name(f"{path.name}.damaged"))
        say(f"{path} {wrong}; it is now {path.name}.damaged, and the one before is used.")
    raise ValueError(
        f"resume=true, but no checkpoint of {run} is whole; restore {run / max(records)} from a"
        " copy, or start anew with overwrite=true"
    )


def load(run: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Content of a checkpoint that `newest` has found, on the CPU."""
    return _read(run / record["file"], "cpu")


def _read(path: Any, map_location: Any) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(path, map_location, weights_only=True)
    except UnpicklingError as error:
        raise ValueError(
            f"{path} is none of grap_seq's checkpoints: it holds objects, whose code is not run"
        ) from error
    return content


def kept(checkpoint: dict[str, Any]) -> tuple[dict[str, Any], int, bool]:
    """Weights that a run keeps, their epoch, and whether a score chose them.

    Without a score they are those of the checkpoint itself.
    """
    best = checkpoint["callbacks"][STATE]["best"]
    if best is None:
        return checkpoint["state_dict"], checkpoint["epoch"], False
    return best["state_dict"], best["epoch"], True
