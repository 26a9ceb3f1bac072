"""Every file of a run and of a prepared folder x every kind of damage x every command.

A cell is an error that names the file and leaves with exit code 2, or a reason why the command does
not read that file, and then the command succeeds although all of those are damaged.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from grap_seq import cli, commands, config, load, seal
from grap_seq.config import compose
from tests.shop import SPEC, purchases

pytestmark = pytest.mark.xdist_group("damage")
SMALL = [
    *("dataset=table", "dataset.hidden=8", "event_width=8", "batch_size=32", "trainer.threads=1"),
    *("dataset.max_time_gap=30", "dataset.time_scale=1", "dataset.time_jitter=0.1"),
    "dataset.boosting={binary: {n_estimators: 5, min_data_in_leaf: 5}}",
]
# Not the usual one: what a file of the made folder may do is seen to follow it.
UMASK = 0o027
PREPARED = {
    **{name: name for name in ("manifest.json", "schema.yaml", "vocab.json")},
    "part": "train/part-*.parquet",
    "arrow": ".cache/train-*.arrow",
}
# What a command does not read, and why; it reads everything else.
NOT_READ: dict[str, dict[str, str]] = {
    "embed": {
        **dict.fromkeys(("environment.json", "metrics.csv", "weights.parquet"), "about training"),
        **dict.fromkeys(("head.json", "checkpoint"), "the model is in model.safetensors"),
        **dict.fromkeys(("embeddings", "untrained"), "are made again"),
        **dict.fromkeys(("evaluation.json", "predictions.parquet"), "come later"),
    },
    "load": {
        "config.yaml": "model.json describes the model",
        **dict.fromkeys(("environment.json", "metrics.csv", "weights.parquet"), "about training"),
        **dict.fromkeys(("head.json", "checkpoint"), "the model is in model.safetensors"),
        **dict.fromkeys(("embeddings", "untrained"), "of sequences that are there already"),
        **dict.fromkeys(("evaluation.json", "predictions.parquet"), "about sequences there"),
    },
    "evaluate": {
        **dict.fromkeys(("environment.json", "metrics.csv", "weights.parquet"), "about training"),
        **dict.fromkeys(("schema.yaml", "vocab.json"), "the prepared folder's are read"),
        **dict.fromkeys(("model.safetensors", "checkpoint"), "embeddings name their model"),
        **dict.fromkeys(("evaluation.json", "predictions.parquet"), "are made again"),
    },
    "report": {
        **dict.fromkeys(("schema.yaml", "vocab.json"), "the prepared folder's are read"),
        **dict.fromkeys(("model.safetensors", "checkpoint"), "embeddings name their model"),
        **dict.fromkeys(("untrained", "predictions.parquet"), "only scores are shown"),
        "head.json": "its scores are in evaluation.json",
    },
    "finetune": {
        **dict.fromkeys(("environment.json", "metrics.csv", "weights.parquet"), "about training"),
        **dict.fromkeys(("head.json", "checkpoint"), "the model is in model.safetensors"),
        **dict.fromkeys(("embeddings", "untrained"), "of the model before"),
        **dict.fromkeys(("evaluation.json", "predictions.parquet"), "of the model before"),
    },
    "resume": {
        **dict.fromkeys(("model.json", "model.safetensors", "head.json"), "are made again"),
        **dict.fromkeys(("embeddings", "untrained"), "of the model before"),
        **dict.fromkeys(("evaluation.json", "predictions.parquet"), "of the model before"),
        "metrics.csv": "a checkpoint has its rows, it is made again",
    },
}
FILES = {
    **{name: name for name in ("config.yaml", "environment.json", "schema.yaml", "vocab.json")},
    **{name: name for name in ("model.json", "model.safetensors", "metrics.csv", "head.json")},
    **{n: n for n in ("weights.parquet", "evaluation.json", "predictions.parquet")},
    "embeddings": "embeddings/train.parquet",
    "untrained": "embeddings/untrained/test.parquet",
    "checkpoint": "checkpoints/step-*.ckpt",
}


@cache
def _composed(command: str, *settings: str) -> Any:
    """Most of the time of a call that fails is Hydra's, and the calls are few different ones."""
    return compose(command, settings)


def _call(command: str, *settings: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["grap-seq", command, *settings])
        patch.setattr(config, "compose", lambda *given: deepcopy(_composed(given[0], *given[1])))
        cli.main()


def _on(command: str, *settings: str) -> Callable[[Path], None]:
    """The command on the run and the data in a folder."""
    return lambda at: _call(command, f"run={at / 'run'}", f"prepared={at / 'prepared'}", *settings)


COMMANDS: dict[str, Callable[[Path], object]] = {
    "embed": _on("embed"),
    "load": lambda at: load(at / "run").embed(purchases(3)),
    "evaluate": _on("evaluate", "head=true", "folds=0", "seeds=1", "threads=1"),
    "report": _on("report"),
    "finetune": _on("finetune", "epochs=1"),
    "resume": _on("pretrain", *SMALL, "epochs=2", "resume=true"),
}
# Of those that read prepared folders, and what of them they do not read.
OF_FOLDERS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    **{name: (COMMANDS[name], ()) for name in ("embed", "evaluate", "finetune", "resume")},
    "pretrain": (_on("pretrain", *SMALL, "epochs=1", "overwrite=true"), ()),
    "report": (COMMANDS["report"], ("arrow",)),
    "validate": (lambda at: _call("validate", f"prepared={at / 'prepared'}"), ()),
}


def _make(folder: Path, spec: str, seed: int) -> None:
    """Table, prepared folder, and a run with everything that a run can have."""
    purchases(80, seed).to_csv(folder / "events.csv", index=False)
    (folder / "events.yaml").write_text(spec)
    run, prepared = folder / "run", folder / "prepared"
    commands.prepare(["dataset=table", f"source={folder / 'events.csv'}", f"output={prepared}"])
    commands.pretrain([f"run={run}", f"prepared={prepared}", *SMALL, "epochs=1", f"seed={seed}"])
    scores = {"label": "churned", "metric": "auc", "validation": 0.5 + seed / 10, "test": 0.5}
    seal.write_json(run, "head.json", scores)
    commands.embed([f"run={run}"])
    commands.evaluate([f"run={run}", "folds=0", "seeds=1", "threads=1"])
    commands.report([f"run={run}"])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with a finished run and its data, and another one, in whose place it is moved."""
    own, other = (tmp_path_factory.mktemp(name) for name in ("own", "other"))
    umask = os.umask(UMASK)
    try:
        _make(own, SPEC, 0)
    finally:
        os.umask(umask)
    _make(other, SPEC.replace("numerical: {amount: {by: kind}}", "numerical: [amount]"), 1)
    return own, other


def test_validate_checks_every_file_of_a_run(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = _copy(made[0], tmp_path)

    def validate(folder: Path) -> None:
        _call("validate", f"run={folder / 'run'}")

    validate(at)
    assert "files are as they were written" in capsys.readouterr().out
    for file in FILES:
        path = _path(at / "run", FILES[file])
        whole = path.read_bytes()
        _flip(path, path)
        _fails(validate, at, path, capsys)
        path.write_bytes(whole)
    (at / "run" / "head.json").unlink()
    _fails(validate, at, at / "run" / "head.json", capsys)


def test_files_are_as_open_to_others_as_the_user_says(made: tuple[Path, Path]) -> None:
    for path in made[0].rglob("*"):
        wanted = 0o750 if path.is_dir() else 0o640
        if path != made[0]:
            assert (path.name, oct(path.stat().st_mode & 0o777)) == (path.name, oct(wanted))


def _truncate(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "truncated": _truncate,
    "flipped": _flip,
    "empty": lambda path, other: path.write_bytes(b""),
    "foreign": lambda path, other: shutil.copyfile(other, path),
}


def _path(folder: Path, name: str) -> Path:
    (path,) = folder.glob(name)
    return path


def _fails(
    call: Callable[[Path], object], at: Path, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The call ends with a sentence that names the file."""
    capsys.readouterr()
    if call is COMMANDS["load"]:
        with pytest.raises(ValueError, match=path.name):
            call(at)
        return
    with pytest.raises(SystemExit) as error:
        call(at)
    said = capsys.readouterr().err
    assert (error.value.code, path.name in said) == (2, True), said


@pytest.mark.parametrize("command", COMMANDS)
def test_every_damaged_file_of_a_run_that_is_read_is_named(
    command: str, made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, other = made
    for file in FILES.keys() - NOT_READ[command].keys():
        for damage in DAMAGES.values():
            at = _copy(own, tmp_path)
            path, foreign = (_path(folder / "run", FILES[file]) for folder in (at, other))
            damage(path, foreign)
            assert path.read_bytes() != _path(own / "run", FILES[file]).read_bytes()
            _fails(COMMANDS[command], at, path, capsys)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_does_not_read_does_not_stop_it(
    command: str, made: tuple[Path, Path], tmp_path: Path
) -> None:
    assert FILES.keys() >= NOT_READ[command].keys()
    at = _copy(made[0], tmp_path)
    for file in NOT_READ[command]:
        _path(at / "run", FILES[file]).write_bytes(b"")
    COMMANDS[command](at)


@pytest.mark.parametrize("command", OF_FOLDERS)
def test_every_damaged_file_of_a_prepared_folder_is_named(
    command: str, made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, other = made
    call, unread = OF_FOLDERS[command]
    for file in set(PREPARED) - set(unread):
        for damage in DAMAGES.values():
            at = _copy(own, tmp_path)
            path, foreign = (_path(f / "prepared", PREPARED[file]) for f in (at, other))
            damage(path, foreign)
            _fails(call, at, path, capsys)


def _copy(own: Path, folder: Path) -> Path:
    shutil.rmtree(folder / "at", ignore_errors=True)
    return Path(shutil.copytree(own, folder / "at"))
