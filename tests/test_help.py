"""Help, printed configs and completion: what there is, from the configs and kinds themselves."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch
import yaml

from grap_seq import choices, cli, commands, config, info
from grap_seq.completion import LINE, answer, completions
from grap_seq.help import settings_of
from grap_seq.terminal import Terminal

NAMES = [name for name in commands.COMMANDS if name not in ("demo", "cite")]


def _text(command: str, *overrides: str) -> str:
    console = Terminal(width=200)
    with console.capture() as captured:
        console.print(settings_of(command, overrides))
    return captured.get()


@pytest.mark.parametrize("command", NAMES)
def test_every_setting_has_a_kind_and_a_line(command: str) -> None:
    text = _text(command)
    found = config.composed(command, [])
    # A line that starts with a blank goes on with the one above.
    rows = {line.split()[0]: line for line in text.splitlines() if line[:1].strip()}
    for key in found.values:
        if key in found.groups or (isinstance(found.values[key], dict) and found.values[key]):
            continue
        # The line has a default, a kind and, behind two blanks, an explanation.
        parts = [part for part in rows[key].split("  ") if part.strip()]
        assert len(parts) == 4, rows[key]


@pytest.mark.parametrize(
    "overrides",
    [
        *([f"encoder={name}"] for name in choices.names("encoder")),
        *([f"weighting={name}"] for name in choices.names("weighting")),
        *([f"objective={name}"] for name in choices.names("objective")),
        ["trainer=gpu"],
    ],
    ids=str,
)
def test_settings_of_choices_too(overrides: list[str]) -> None:
    group = overrides[0].partition("=")[0]
    rows = [line for line in _text("pretrain", *overrides).splitlines() if line.startswith(group)]
    for row in rows[1:]:
        if row.split("  ")[0] != group:
            assert len([part for part in row.split("  ") if part.strip()]) == 4, row


def test_a_mapping_of_many_keys_takes_one_line() -> None:
    lines = _text("pretrain").splitlines()
    (place,) = [n for n, line in enumerate(lines) if line.startswith("dataset.searched_weights ")]
    first = config.compose("pretrain", []).dataset.searched_weights.time
    assert f'{{"time": {first}, ' in lines[place]
    assert "…" in lines[place]
    assert not any("carrier" in line for line in lines[place + 1 :])


def test_help_shows_what_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "${" not in _text("pretrain")
    cli.run(["pretrain", "encoder=transformer", "encoder.hidden=77", "--help"])
    out = capsys.readouterr().out
    assert "77" in out
    assert "--cfg job" in out
    with pytest.raises(ValueError, match="did you mean 'transformer'"):
        cli.run(["pretrain", "encoder=transfomer", "--help"])


def test_the_config_of_a_command(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["pretrain", f"prepared={shop}", "+seed=3", "--cfg", "job"])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert (printed["seed"], printed["dataset"]["recipe"]) == (3, "table")
    cli.run(["embed", "--cfg", "job"])
    assert yaml.safe_load(capsys.readouterr().out)["run"] == "???"


def test_info_says_what_there_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.run(["--info"])
    printed = capsys.readouterr().out.splitlines()
    assert f"torch {torch.__version__}" in printed
    assert "grap-seq[tune]: installed" in printed
    assert f"configs: {Path(config.__file__).parents[1] / 'configs'}" in printed

    def without_optuna(name: str) -> str:
        if name == "optuna":
            raise PackageNotFoundError
        return version(name)

    monkeypatch.setattr(info, "version", without_optuna)
    cli.run(["pretrain", "--info"])
    assert "grap-seq[tune]: without optuna" in capsys.readouterr().out.splitlines()


def test_an_entry_is_taken_away() -> None:
    added = "objective.losses.mine.class=grap_seq.objectives.noise.RandomTargets"
    assert config.compose("pretrain", [added]).objective.losses
    assert not config.compose("pretrain", [added, "~objective.losses.mine"]).objective.losses
    assert not config.compose("pretrain", ["~objective.losses.mine"]).objective.losses
    with pytest.raises(ValueError, match=r"~seed: a setting has a value; write seed="):
        config.compose("pretrain", ["~seed"])


@pytest.mark.parametrize(
    ("words", "some"),
    [
        (["pret"], ["pretrain"]),
        (["pretrain", "enc"], ["encoder=", "encoder.hidden="]),
        (["pretrain", "encoder=tr"], ["encoder=transformer"]),
        (["pretrain", "encoder=transformer", "encoder.fe"], ["encoder.feedforward="]),
        (["pretrain", "bad", "seed=x", "pooling=m"], ["pooling=mean", "pooling=max"]),
        (["embed", "nonsense=1", "de"], ["device="]),
        (["demo", "resume="], ["resume=true", "resume=false"]),
        (["nothing", "x"], []),
    ],
)
def test_completions(words: list[str], some: list[str]) -> None:
    found = completions(words, commands.COMMANDS)
    assert found[: len(some)] == some if not some or len(words) == 1 else set(some) <= set(found)
    assert all(word.startswith(words[-1]) for word in found)


def test_bash_completes(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    program = tmp_path / "grap-seq"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m grap_seq "$@"\n')
    program.chmod(0o755)
    script = (
        f'export PATH={tmp_path}:$PATH; eval "$(grap-seq -sc install=bash)"; '
        'COMP_LINE="grap-seq pretrain trainer=ddp2"; COMP_POINT=${#COMP_LINE}; '
        '_grap_seq; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["trainer=ddp2", "trainer=ddp2_cpu"]


def test_another_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LINE, "grap-seq ev")
    assert answer("query=fish", commands.COMMANDS) == "evaluate"
    assert "compdef" in answer("install=zsh", commands.COMMANDS)
    with pytest.raises(ValueError, match="write install= with one of bash, zsh, fish"):
        answer("install=tcsh", commands.COMMANDS)
