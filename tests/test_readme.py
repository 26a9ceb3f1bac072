"""The README's Python runs, and the commands and settings that it names exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from grap_seq import commands, config
from grap_seq.prep.describe.spec import DatasetSpec

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_training_example_runs_and_learns_weights() -> None:
    (example,) = (code for code in blocks("python") if "GraP(" in code)
    output = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", example],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    weights = eval(output)
    assert weights.keys() == {"next", "masked"}
    assert all(value >= 0 for value in weights.values())


def test_the_description_of_a_table_is_valid(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    (tmp_path / "events.yaml").write_text(text)
    spec = DatasetSpec.load(tmp_path / "events.yaml")
    assert (spec.id, spec.label, spec.numerical["amount"].log) == ("customer", ("churned",), True)


COMMANDS = re.findall(r"^    grap-seq (\w+) +([^#\n]*)", README, re.MULTILINE)


@pytest.mark.parametrize(("command", "arguments"), COMMANDS)
def test_commands_compose(command: str, arguments: str) -> None:
    assert command in commands.COMMANDS
    config.compose(command, [word for word in arguments.split() if word != "--suggest"])


def test_every_command_is_explained() -> None:
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    for command in commands.COMMANDS:
        assert f"`grap-seq {command}`" in page


PROSE = re.sub(r"```.*?```", "", README, flags=re.DOTALL)


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?:)([^)#]+)", PROSE))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
