"""A run's log.txt, -q and -v, and progress where there is no terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from grap_seq import cli, commands, log_file, seal, terminal
from grap_seq.terminal import progress, say
from tests.trackers.runs import SMALL

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}  "


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["grap-seq", *words])
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_a_run_keeps_what_was_said(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["pretrain", *SMALL, f"prepared={shop}", f"run={run}"]
    assert call(monkeypatch, *words) == 0
    out, _ = capsys.readouterr()
    lines = (run / "log.txt").read_text("utf-8").splitlines()
    assert all(re.match(TIME, line) for line in lines)
    texts = [re.sub(TIME, "", line) for line in lines]
    assert texts[0] == f"grap-seq {' '.join(words)}"
    said = out.splitlines()
    assert [text for text in texts[1:] if text in said] == said
    assert any(text.startswith("checkpoint at step 12") for text in set(texts) - set(said))

    # Refused: the folder is not this command's to write in.
    assert call(monkeypatch, *words) == 2
    assert (run / "log.txt").read_text("utf-8").splitlines() == lines
    # It is ours, and goes with the run that is replaced.
    assert seal.unknown(run) == []
    capsys.readouterr()
    assert call(monkeypatch, "-v", *words, "overwrite=true") == 0
    assert "checkpoint at step 12" in capsys.readouterr().out
    assert (run / "log.txt").read_text("utf-8").count("grap-seq -v pretrain") == 1
    assert "grap-seq pretrain" not in (run / "log.txt").read_text("utf-8")
    assert call(monkeypatch, "-q", "report", f"run={run}") == 0
    assert capsys.readouterr().out == f"Report: {run / 'report.html'}\n"
    assert "Report: " in (run / "log.txt").read_text("utf-8").splitlines()[-1]


def test_quiet_is_the_last_line_or_the_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(arguments: list[str]) -> None:
        with progress() as shown:
            list(shown.track([1, 2]))
        say("first", "second")
        if arguments:
            raise ValueError("wrong")

    monkeypatch.setitem(commands.COMMANDS, "demo", work)
    assert call(monkeypatch, "demo", "-q") == 0
    assert capsys.readouterr() == ("second\n", "")
    assert call(monkeypatch, "demo", "--quiet", "fail=true") == 2
    assert capsys.readouterr() == ("", "grap-seq demo: wrong\n")
    # It was of that command alone.
    assert call(monkeypatch, "demo") == 0
    assert capsys.readouterr().out == "first\nsecond\n"
    assert call(monkeypatch, "demo", "-q", "-v") == 2


def test_the_traceback_of_an_error_is_in_the_log(tmp_path: Path) -> None:
    def work() -> None:
        say("[bold]before\x1b[31m")
        log_file.keep_in(tmp_path)
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError), log_file.of_command(["work"]):
        work()
    say("after")
    text = (tmp_path / "log.txt").read_text("utf-8")
    assert re.search(TIME + r"\[bold\]before\\x1b\[31m\n", text)
    assert re.search(TIME + r"RuntimeError: broken\n$", text)
    assert "after" not in text


def test_a_line_a_minute_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(terminal, "monotonic", lambda: now)
    with progress() as shown:
        task = shown.add_task("reading", total=7)
        for second in range(0, 200, 10):
            now = float(second)
            shown.update(task, completed=second // 60)
            shown.refresh()
    lines = [re.sub(r", \d+ s", "", line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [f"reading: {done} of 7" for done in (1, 2, 3)]
