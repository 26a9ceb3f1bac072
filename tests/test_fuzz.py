"""Malformed calls of every command: exit code 2, one line that names the setting or file, nothing
written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from grap_seq import commands
from tests.malformed import ALONE, IN_TRAINING, RIGHT, SMALL, TYPED, every_setting
from tests.malformed_files import DESCRIPTIONS
from tests.shop import SPEC, write_shop
from tests.terminal import Terminal

pytestmark = pytest.mark.xdist_group("fuzz")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, a prepared folder and a run with embeddings."""
    folder = tmp_path_factory.mktemp("world")
    source = write_shop(folder)
    prepared, run = f"prepared={folder / 'prepared'}", f"run={folder / 'run'}"
    commands.prepare(["dataset=table", f"source={source}", f"output={folder / 'prepared'}"])
    commands.pretrain([*SMALL, prepared, run])
    commands.embed([run, "threads=1"])
    (folder / "file.txt").write_text("a file")
    return folder


@pytest.fixture
def terminal(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    return Terminal(world, monkeypatch, capsys)


@pytest.mark.parametrize(("command", "key", "value"), every_setting())
def test_every_setting_refuses_another_kind(
    terminal: Terminal, command: str, key: str, value: str
) -> None:
    terminal.refuses(command, *RIGHT[command], f"{key}={value}", naming=key)


@pytest.mark.parametrize(
    ("command", "typed", "naming"),
    [(command, *entry) for command, entries in TYPED.items() for entry in entries],
)
def test_malformed_calls_are_refused(
    terminal: Terminal, command: str, typed: str, naming: str
) -> None:
    # Two settings are two words; a value in braces may have spaces.
    words = [typed] if "{" in typed else typed.split(" ")
    terminal.refuses(command, *RIGHT[command], *words, naming=naming)


@pytest.mark.parametrize(("line", "naming"), ALONE)
def test_malformed_lines_are_refused(terminal: Terminal, line: str, naming: str) -> None:
    terminal.refuses(*line.split(" "), naming=naming)


@pytest.mark.parametrize(("line", "naming"), IN_TRAINING)
def test_settings_that_do_not_fit_are_refused(terminal: Terminal, line: str, naming: str) -> None:
    terminal.refuses("pretrain", *RIGHT["pretrain"], *line.split(" "), naming=naming)


@pytest.mark.parametrize(("key", "change"), DESCRIPTIONS)
def test_malformed_descriptions_are_refused(
    terminal: Terminal, tmp_path: Path, key: str, change: dict[str, Any]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(SPEC), **change}), "utf-8")
    terminal.refuses("prepare", *RIGHT["prepare"], f"spec={path}", naming=key)


@pytest.mark.parametrize(
    "text",
    [
        *("", "5", "null", "- a", "just text", "name: [", "a: b: c", "\t- x", "\0", "? [a]\n: 5"),
        *("{a: 5}: 3", "id: !x 5", "a: &a [1]\nb: *x", "name: &a [*a]", "%YAML 9.9\n---\n"),
        *("!!python/object/apply:os.system [ls]", f"{SPEC}id: kind\n", "\ud800"),
    ],
)
def test_files_that_are_no_description_are_named(
    terminal: Terminal, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    terminal.refuses("prepare", *RIGHT["prepare"], f"spec={path}", naming="mine.yaml")


MINE = "name: mine\nclass: grap_seq.nn.gru.GRUEncoder\n"


@pytest.mark.parametrize(
    ("text", "naming"),
    [
        *((text, "mine.yaml") for text in ("", "5", "- a", "a: [", "just text", "\ud800")),
        *((text, "mine.yaml lacks") for text in ("hidden: 8", "name: mine", "encoder: {a: 1}")),
        *((f"{MINE}hidden: {value}", "hidden") for value in ("x", "null", "0", "${nothing}")),
        *((f"{MINE}hidden: {value}", "hidden") for value in ("${oc.env:NO_SUCH}", "???", "[8]")),
        (f"{MINE}hidden: 8\nhidden: 9", "hidden"),
        (f"{MINE}hidden: 8\nnothing: 5", "nothing"),
        (f"defaults: 5\n{MINE}", "mine.yaml"),
        (f"defaults: [mine, _self_]\n{MINE}", "mine.yaml"),
        (f"defaults: [nothing, _self_]\n{MINE}", "encoder/mine"),
        (f"# @package _global_\n{MINE}", "mine.yaml lacks"),
        ("name: mine\nclass: os.system", "os.system"),
        ("name: mine\nclass: nothing.at.All", "nothing.at.All"),
        ("name: mine\nclass: collections.OrderedDict", "OrderedDict"),
        ("name: [a]\nclass: a.B", "encoder.name"),
    ],
)
def test_malformed_choices_of_the_users_own_are_named(
    terminal: Terminal, tmp_path: Path, text: str, naming: str
) -> None:
    path = tmp_path / "encoder" / "mine.yaml"
    path.parent.mkdir()
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    typed = [f"configs={tmp_path}", "encoder=mine"]
    terminal.refuses("pretrain", *RIGHT["pretrain"], *typed, naming=naming)
