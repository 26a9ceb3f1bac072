"""Every error message is in the index, and what the page says is printed could be printed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from docs.messages import ROOT, SOURCES, messages
from grap_seq import commands, overrides
from grap_seq.device import device_of
from grap_seq.prep.folder.manifest import Manifest
from grap_seq.prep.folder.output import check_output
from grap_seq.prep.prepare import prepare

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
SYMPTOMS = re.findall(r"``` { \.text \.message }\n(.*?)\n```", PAGE, re.DOTALL)
(A_CELL,) = (text for text in SYMPTOMS if "events.csv, row 3" in text)
ANYTHING = ".*?"
INDEX = messages()
ERRORS = "ValueError|FileNotFoundError|FileExistsError|PermissionError|TypeError"


def patterns() -> list[re.Pattern[str]]:
    """Each message with anything in the place of what it says of a case."""
    texts = [text for message in INDEX for text in message.texts]
    return [
        re.compile(re.sub(r"\\\{[^{}]*\\\}", ANYTHING, re.escape(text)), re.DOTALL)
        for text in texts
    ]


def test_every_raise_is_in_the_index() -> None:
    listed = {(message.module, message.line) for message in INDEX}
    missing, count = [], 0
    for source in SOURCES:
        for path in (ROOT / source).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            lines = path.read_text("utf-8").splitlines()
            for number, line in enumerate(lines, start=1):
                if re.match(rf"\s+(raise|return) ({ERRORS})\b", line):
                    count += 1
                    if (module, number) not in listed:
                        missing.append(f"{path}:{number}: {line.strip()}")
    assert missing == []
    assert count > 350


# The cell has a test of its own below: its message is put together from parts.
@pytest.mark.parametrize(
    "symptom", [text for text in SYMPTOMS if text != A_CELL], ids=lambda text: text[:40]
)
def test_what_the_page_shows_is_what_the_package_says(symptom: str) -> None:
    command = re.match(r"grap-seq (\w+): ", symptom)
    message = symptom
    if command is not None:
        assert command[1] in commands.COMMANDS
        message = symptom[command.end() :]
    found = [pattern.pattern for pattern in patterns() if pattern.fullmatch(message)]
    # Words of its own make a message, not what is filled in.
    assert any(len(re.findall(r"\w", words)) > 10 for words in found)


def test_a_cell_that_cannot_be_read(tmp_path: Path) -> None:
    """Its message is put together from parts: what the page shows is what is printed."""
    rows = "a,2024-01-01,x,1\nb,2024-01-01,x,2\na,2024-01-02,y,n/a\nb,2024-01-02,y,n/a\n"
    source = tmp_path / "events.csv"
    source.write_text("customer,when,kind,amount\n" + rows)
    described = "id: customer\ntime: when\ntime_unit: day\nlabel: null\n"
    described += "name: shop\ncategorical: [kind]\nnumerical: [amount]\n"
    source.with_suffix(".yaml").write_text(described)
    with pytest.raises(ValueError, match="no finite number") as raised:
        prepare("table", tmp_path / "prepared", source=source)
    assert f"grap-seq prepare: {raised.value}".replace(f"{tmp_path}/", "") == A_CELL


def test_real_errors_match_their_entry(tmp_path: Path) -> None:
    tmp_path.joinpath("file").touch()
    attempts: list[Callable[[], object]] = [
        lambda: overrides.split("--sneed"),
        lambda: check_output(tmp_path, overwrite=False),
        lambda: device_of("cuda:97"),
        lambda: Manifest.load(tmp_path),
    ]
    for attempt in attempts:
        with pytest.raises((ValueError, OSError)) as raised:
            attempt()
        assert any(pattern.fullmatch(str(raised.value)) for pattern in patterns()), raised.value


def test_constants_and_functions_that_word_a_message_are_read() -> None:
    said = {text for message in INDEX for text in message.texts}
    assert any("labels have ids like" in text for text in said)
    assert any("the run folder {run} exists" in text for text in said)
    assert any("were refused" in text and "look for extreme values" in text for text in said)
