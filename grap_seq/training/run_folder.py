"""The folder of a run: created, continued or replaced by one process at a time.

config.yaml, environment.json, a description of the data    written when the run begins
checkpoints/, metrics.csv, weights.parquet, log.txt       while it trains
model.safetensors, model.json                             when it ends
NAME.previous                                             the run that it replaces, until it ends
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from grap_seq import config as configs
from grap_seq import lock, seal
from grap_seq.distributed import from_first, rank
from grap_seq.lock import locked
from grap_seq.log_file import keep_in
from grap_seq.stored_run import config_of, for_storage
from grap_seq.terminal import say
from grap_seq.training.checkpoint_files import newest
from grap_seq.training.made_from import MadeFrom, Source, prepared_folder
from grap_seq.training.same_run import RESTORE, check_data, check_same, settings_of

PACKAGES = (
    "grap-seq",
    "torch",
    "lightning",
    "pytorch-lifestream",
    "lightgbm",
    "pyarrow",
    "ibis-framework",
)
# In a run that was set aside: which run has done so.
MARK = ".replaced-by"


@dataclass(frozen=True)
class Start:
    """Where a run begins.

    Attributes:
        settings: hash of the settings that it has to keep.
        record: of the checkpoint that it goes on from; None: it begins anew.
        finished: whether nothing is left to train.
    """

    settings: str
    record: dict[str, Any] | None = None
    finished: bool = False


@contextmanager
def opened(run: Path, config: Any, source: Source = prepared_folder) -> Iterator[Start]:
    """Hold a run folder while its run goes on; what it replaces is removed after its success.

    The first of several processes does, and tells the others where to begin.

    Args:
        run: its folder.
        config: of the run.
        source: what it is made from.

    Raises:
        FileExistsError: the folder exists and neither `overwrite` nor `resume` is set, it is
            something else than a run, holds files of the user's, or another process is at work.
        ValueError: `resume` with other settings or data than the stored ones, a damaged
            config.yaml, or no whole checkpoint.
    """
    if rank() > 0:
        yield from_first(Start(""))
        return
    if config.resume and config.overwrite:
        raise ValueError("resume=true goes on with a run and overwrite=true replaces it: give one")
    if _contents(run) and "config.yaml" not in seal.records(run):
        raise FileExistsError(
            f"{run} is not a run folder, or another version of grap_seq made it: it is left as it"
            " is; name another with run=..."
        )
    run.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        held.enter_context(locked(run))
        if config.resume and _contents(run):
            start = _resumed(run, config, source(config))
        else:
            replaced = _make_room(run, config) if _contents(run) else None
            if replaced:
                held.enter_context(locked(run))
            start = _created(run, config, replaced, source(config))
        keep_in(run)
        yield from_first(start)
        _remove_replaced(run)


def _contents(run: Path) -> list[Path]:
    """What makes a folder a used one; a run that was killed as it began leaves none of it."""
    own = (lock.FILE, seal.FILE, MARK)
    entries = run.iterdir() if run.is_dir() else ()
    return [path for path in entries if path.name not in own and ".tmp-" not in path.name]


def _created(run: Path, config: Any, replaced: str | None, made: MadeFrom) -> Start:
    if config.resume:
        say(f"There is no {run} to go on with: it begins now.")
    given: Any = OmegaConf.to_container(config, resolve=True)
    _write_config(run, given, replaced)
    for name, text in made.files.items():
        seal.write_text(run, name, text)
    # Not from the seed: every run has its own.
    own = {"id": uuid.uuid4().hex, "data": made.data}
    about = environment(config.seed) | own
    seal.write_json(run, "environment.json", about)
    return Start(settings_of(given))


def _resumed(run: Path, config: Any, made: MadeFrom) -> Start:
    stored = config_of(run, RESTORE)
    check_same(run, stored, config)
    if not (run / "environment.json").is_file():
        # Killed as it began.
        return _created(run, config, None, made)
    about = check_data(run, made)
    again = [*about.get("resumed", []), environment(config.seed)]
    settings = settings_of(stored)
    record = newest(run, settings)
    raised = config.epochs > stored["epochs"]
    written = all((run / name).is_file() for name in ("model.safetensors", "model.json"))
    if record is not None and record["ended"] and not raised and written:
        return Start(settings, record, finished=True)
    if raised:
        replaces = seal.records(run)["config.yaml"][-1]["replaces"]
        _write_config(run, stored | {"epochs": config.epochs}, replaces)
    seal.write_json(run, "environment.json", about | {"resumed": again})
    step = "the beginning: it had no checkpoint yet" if record is None else f"step {record['step']}"
    say(f"{run} goes on from {step}.")
    # Images have no other schedule, and no setting for it.
    if raised and stored.get("schedule", "cosine") == "cosine":
        say("Its learning rate rises to where it is at this step of the longer schedule.")
    return Start(settings, record)


def _write_config(run: Path, content: dict[str, Any], replaces: str | None) -> None:
    with seal.write(run, "config.yaml", replaces=replaces) as temporary:
        configs.save(for_storage(content, run), temporary)


def finished(run: Path, config: Any) -> str:
    """What to say about a run that has nothing left to train."""
    return f"{run} is finished, after {config.epochs} epochs at most; raise epochs= to train on."


def previous(run: Path) -> Path:
    """Where the replaced run waits until its successor is complete."""
    return run.with_name(f"{run.name}.previous")


def _make_room(run: Path, config: Any) -> str:
    """Move a run away; an unfinished one only makes room for the last finished one.

    Returns:
        What names the move, in the mark of the run that was set aside.
    """
    finished = (run / "model.json").is_file()
    if not config.overwrite:
        remedy = "" if finished else " or resume=true to continue it,"
        raise FileExistsError(
            f"the run folder {run} exists; add overwrite=true to replace it,{remedy} or name"
            " another with run=..."
        )
    foreign = [name for name in seal.unknown(run) if name != MARK]
    if foreign:
        raise FileExistsError(
            f"{run} holds {', '.join(foreign[:5])}, which grap_seq did not write; move what is"
            " yours out of it before overwrite=true, or name another with run=..."
        )
    old, replaced = previous(run), _replaced(run)
    if replaced:
        shutil.rmtree(run)
    elif old.exists():
        raise FileExistsError(
            f"{old} is in the way: the run that overwrite=true replaces would wait there; rename or"
            " delete it"
        )
    else:
        replaced = f"process {os.getpid()} at {time.time_ns()}"
        (run / MARK).write_text(replaced, "utf-8")
        run.rename(old)
    run.mkdir()
    return replaced


def _replaced(run: Path) -> str | None:
    """Mark of the run that this one has set aside, if it is still there."""
    mark = previous(run) / MARK
    name: str | None = seal.records(run)["config.yaml"][-1]["replaces"]
    return name if mark.is_file() and mark.read_text("utf-8") == name else None


def _remove_replaced(run: Path) -> None:
    if not _replaced(run):
        return
    old = previous(run)
    foreign = [name for name in seal.unknown(old) if name != MARK]
    if foreign:
        say(f"{old} is kept: it holds {', '.join(foreign[:5])}, which grap_seq did not write.")
    else:
        shutil.rmtree(old)


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
