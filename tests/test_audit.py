"""The audit of pinned packages says what happened, and fails on an advisory alone."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from grap_seq.prep.describe.recipes import load

audit = load("audit", Path(__file__).parents[1] / ".ci" / "audit.py")
GOOD: dict[str, Any] = {"name": "rich", "version": "15.0.0", "vulns": []}
SKIPPED = {"name": "torch", "skip_reason": "not found"}
BAD = {
    **{"name": "lightning", "version": "2.4.0"},
    "vulns": [{"id": "CVE-1", "fix_versions": ["2.6.0"]}, {"id": "CVE-2", "fix_versions": []}],
}


def test_what_was_found_is_said() -> None:
    assert audit.verdict({"dependencies": [GOOD, GOOD]}) == (
        ["audit: 2 of 2 packages looked up, 0 advisories."],
        False,
    )
    lines, failed = audit.verdict({"dependencies": [GOOD, BAD, SKIPPED]})
    assert failed
    assert lines == [
        "audit: lightning 2.4.0: CVE-1, mended in 2.6.0",
        "audit: lightning 2.4.0: CVE-2, mended in no version yet",
        "audit: 2 of 3 packages looked up, 2 advisories. First without an answer: not found",
    ]


def test_nothing_audited_is_no_success_in_words_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, failed = audit.verdict({"dependencies": [SKIPPED]})
    assert not failed
    assert "NOT AUDITED" in lines[0]

    def unreachable(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(audit.subprocess, "run", unreachable)
    audit.main()
    assert "NOT AUDITED" in capsys.readouterr().out


def test_an_advisory_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "report", lambda *_: {"dependencies": [BAD]})
    with pytest.raises(SystemExit, match="1"):
        audit.main()
