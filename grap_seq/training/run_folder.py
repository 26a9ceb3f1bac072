"""The folder of a run: created, continued or replaced, never mixed with another one."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from grap_seq import config as configs
from grap_seq.files import write_json
from grap_seq.training.trainer import DECISIVE

PACKAGES = (
    "grap-seq",
    "torch",
    "lightning",
    "pytorch-lifestream",
    "lightgbm",
    "pyarrow",
    "ibis-framework",
)


def open_run(run: Path, config: Any) -> Path | None:
    """Create the run folder; returns the checkpoint to continue from, if any.

    Raises:
        FileExistsError: the folder exists and neither `overwrite` nor `resume` is set.
        ValueError: `resume` with a config that differs from the stored one, or without a checkpoint
            that a run of more than one epoch must have.
    """
    last = last_checkpoint(run)
    if config.resume:
        _check_checkpoint(run)
    if config.resume and last.is_file():
        stored = configs.load(run / "config.yaml")
        given = OmegaConf.to_container(config, resolve=True)
        assert isinstance(given, dict)
        changed = [
            str(key)
            for key in given
            if key not in ("resume", "overwrite", "trainer") and given[key] != stored.get(str(key))
        ]
        # A run from before a setting existed had today's default.
        earlier = stored["trainer"]
        changed += [
            f"trainer.{key}"
            for key in DECISIVE
            if key in earlier and earlier[key] != given["trainer"].get(key)
        ]
        if changed:
            raise ValueError(
                f"resume=true, but {', '.join(changed)} differ from {run}/config.yaml; repeat the"
                " original arguments, of which trainer.max_steps, threads and workers are free"
            )
        return last
    if run.exists() and any(run.iterdir()) and not (config.overwrite or config.resume):
        finished = (run / "model.safetensors").is_file()
        remedy = "" if finished else " or resume=true to continue it,"
        raise FileExistsError(
            f"the run folder {run} exists; add overwrite=true to replace it,{remedy} or name"
            " another with run=..."
        )
    if run.exists() and any(run.iterdir()):
        set_aside(run)
    run.mkdir(parents=True, exist_ok=True)
    configs.save(config, run / "config.yaml")
    write_json(run / "environment.json", environment(config.seed))
    return None


def _check_checkpoint(run: Path) -> None:
    """Refuse to continue a run whose checkpoint is damaged or gone, instead of starting it anew."""
    last, best = last_checkpoint(run), last_checkpoint(run).with_name("best.ckpt")
    copy = f", or copy {best} to it to go on from that epoch" if best.is_file() else ""
    remedy = f"restore it from a copy{copy}; overwrite=true starts the run anew"
    # A checkpoint is a zip archive, whose directory stands at its end.
    if last.is_file() and not zipfile.is_zipfile(last):
        raise ValueError(f"resume=true, but {last} is damaged: {remedy}")
    metrics = run / "metrics.csv"
    # Killed before its first checkpoint, a run may have the first epoch's row.
    epochs = len(metrics.read_text("utf-8").splitlines()) - 1 if metrics.is_file() else 0
    if not last.is_file() and (epochs > 1 or (run / "model.safetensors").is_file()):
        raise ValueError(f"resume=true, but {last} is gone: {remedy}")


def last_checkpoint(run: Path) -> Path:
    """The checkpoint of the last finished epoch."""
    return run / "checkpoints" / "last.ckpt"


def previous(run: Path) -> Path:
    """Where the replaced run waits until its successor is complete."""
    return run.with_name(f"{run.name}.previous")


def set_aside(run: Path) -> None:
    """Move a run folder away; an unfinished one only makes room for the last finished one.

    Raises:
        FileExistsError: the folder is something else than a run.
    """
    if not (run / "config.yaml").is_file():
        raise FileExistsError(f"{run} is not a run folder (no config.yaml): it is left as it is")
    if previous(run).exists():
        shutil.rmtree(run)
    else:
        run.rename(previous(run))


def environment(seed: int) -> dict[str, Any]:
    """Versions, machine and commit of a run."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "commit": commit or None,
        "seed": seed,
    }
