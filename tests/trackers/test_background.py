"""A tracker's thread: in order, without delay, and with one warning."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from grap_seq import seal
from grap_seq.trackers import kinds
from grap_seq.trackers.background import Background


class Slow:
    """Remembers what it is told, and fails at the third row."""

    rows: list[int] = []  # noqa: RUF012
    told_all = threading.Event()

    def __init__(self, run: Path, id: str, step: int) -> None:
        assert (id, step) == ("one", 5)
        # Whoever waited for it before telling the rest would have no row.
        assert self.told_all.wait(60)

    def log(self, row: dict[str, float], step: int) -> None:
        if step == 3:
            raise ConnectionError("the server\nhas gone from https://me:secret@host/path")
        self.rows.append(step)


def test_in_order_without_delay_and_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Slow, "rows", [])
    monkeypatch.setitem(kinds.KINDS, "slow", Slow)
    seal.write_json(tmp_path, "environment.json", {"id": "one"})

    def tell(tracker: Background, step: int) -> None:
        tracker.do(lambda tracked: tracked.log({}, step))

    monkeypatch.setattr(Slow, "told_all", threading.Event())
    tracker = Background("slow", tmp_path, 5)
    for step in range(1, 6):
        tell(tracker, step)
    Slow.told_all.set()
    tracker.close()
    assert Slow.rows == [1, 2]
    tell(tracker, 6)
    tracker.close()
    out = " ".join(capsys.readouterr().out.split())
    assert out == (
        "Warning: tracker slow failed (ConnectionError: the server has gone from"
        " https://host/path); it is told nothing more."
    )


def test_a_run_without_an_id_is_a_warning_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seal.write_json(tmp_path, "environment.json", {})
    tracker = Background("mlflow", tmp_path)
    tracker.close()
    assert "Warning: tracker mlflow failed (KeyError: 'id')" in capsys.readouterr().out
