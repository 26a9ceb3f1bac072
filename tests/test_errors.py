"""What is left of an error: a line, an exit code, a log."""

from __future__ import annotations

import errno
import re
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from grap_seq import cli, commands, errors


def ending(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, *options: str
) -> int | str | None:
    """Exit code of a command that raises this error."""

    def command(arguments: list[str]) -> None:
        del arguments
        raise error

    monkeypatch.setitem(commands.COMMANDS, "report", command)
    monkeypatch.setattr(sys, "argv", ["grap-seq", "report", *options])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


@pytest.mark.parametrize("kind", [ValueError, FileNotFoundError, FloatingPointError, MemoryError])
def test_a_mistake_is_one_line(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending(kind("a  b.csv\n  is wrong"), monkeypatch) == 2
    assert capsys.readouterr().err == "grap-seq report: a  b.csv is wrong\n"


class Damaged(torch.utils.data.Dataset[int]):
    def __getitem__(self, row: int) -> int:
        try:
            raise OSError("cut")
        except OSError as error:
            raise ValueError("a.png is\n  damaged") from error


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_in_a_loaders_process_is_the_same_line(
    workers: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loader = torch.utils.data.DataLoader(Damaged(), sampler=[0], num_workers=workers)
    with pytest.raises(ValueError, match="damaged") as caught:
        next(iter(loader))
    assert ("Caught ValueError" in str(caught.value)) == bool(workers)
    assert ending(caught.value, monkeypatch) == 2
    assert capsys.readouterr().err == "grap-seq report: a.png is damaged\n"


@pytest.mark.parametrize("options", [("--debug",), ("run=x", "--debug", "a=b")])
def test_debug_shows_where(
    options: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ending(ValueError("wrong"), monkeypatch, *options) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback")
    assert printed.endswith("ValueError: wrong\n")
    assert ending(KeyError("x"), monkeypatch, *options) == 1


def test_a_bug_says_where_its_log_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert ending(ZeroDivisionError("by nought"), monkeypatch) == 1
    assert ending(ZeroDivisionError("by nought"), monkeypatch) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first != second
    log = re.search(rf"ZeroDivisionError: by nought\. .* {tmp_path}/(\S+\.log),", first)
    assert log is not None
    text = (tmp_path / log[1]).read_text()
    assert text.startswith("Traceback")
    assert text.endswith("ZeroDivisionError: by nought\n")


def test_a_bug_without_a_place_for_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    assert ending(ZeroDivisionError("by nought"), monkeypatch) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "--debug shows the traceback" in line


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ending(KeyboardInterrupt(), monkeypatch) == 130


def test_what_the_system_says_gets_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, remedy in errors.REMEDIES.items():
        assert ending(OSError(number, "it says", str(tmp_path)), monkeypatch) == 2
        assert capsys.readouterr().err.endswith(f"it says: '{tmp_path}': {remedy}\n")
    # Ours have one.
    assert ending(FileExistsError("is there; remove it"), monkeypatch) == 2
    assert capsys.readouterr().err == "grap-seq report: is there; remove it\n"
    assert errno.ENOSPC in errors.REMEDIES


def test_too_little_memory_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator") as found:
        torch.empty(2**50)
    assert ending(found.value, monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("grap-seq report: memory is not enough")
