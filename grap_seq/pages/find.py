"""The folders that `report runs=` names."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path

# Where a run of a grid has its files.
WITHIN = "run"


def find(names: Sequence[str]) -> list[Path]:
    """The run folders that names and patterns such as runs/* stand for, each once.

    A folder of a grid stands for the run in it. Files that a pattern finds are passed over.

    Raises:
        FileNotFoundError: a folder that is no run, or a pattern that no folder has.
    """
    found: dict[Path, None] = {}
    for name in names:
        folders = [Path(name)]
        # A folder may be called so.
        if has_magic(name) and not folders[0].is_dir():
            folders = [path for path in map(Path, sorted(glob(name))) if path.is_dir()]
            if not folders:
                raise FileNotFoundError(f"runs={name}: no folder has such a name")
        for folder in folders:
            found.setdefault(_run(folder))
    return list(found)


def _run(folder: Path) -> Path:
    for path in (folder, folder / WITHIN):
        if (path / "config.yaml").is_file():
            return path
    # Of a grid, and nobody has come to its training yet, or that failed at once.
    if (folder / "outcome.json").is_file():
        return folder / WITHIN
    remedy = "make one with `grap-seq pretrain`"
    if any(folder.glob("*/config.yaml")) or any(folder.glob(f"*/{WITHIN}/config.yaml")):
        remedy = f"the runs in it are runs='{folder}/*'"
    raise FileNotFoundError(f"{folder} is not a run folder (no config.yaml); {remedy}")


def is_finished(run: Path) -> bool:
    """Whether a run has a model."""
    return all((run / name).is_file() for name in ("model.safetensors", "model.json"))
