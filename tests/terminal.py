"""Command lines run in this process, as a shell would run them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from grap_seq import cli


class Terminal:
    """Runs command lines in a folder, as the shell would."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys
        monkeypatch.chdir(folder)

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and what was printed to stderr."""
        self.monkeypatch.setattr(sys, "argv", ["grap-seq", *arguments])
        self.capsys.readouterr()
        code: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        return code, self.capsys.readouterr().err

    def refuses(self, *arguments: str, naming: str) -> None:
        """The call ends with exit code 2 and one line with `naming` in it, and writes nothing."""
        before = self._files()
        code, printed = self.run(*arguments)
        after = self._files()
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        assert (code, printed.count("\n")) == (2, 1), printed
        assert naming in printed
        assert "Traceback" not in printed
        assert after == before

    def _files(self) -> dict[Path, int]:
        # A lock is taken to look, and a cache holds no result.
        return {
            path: path.stat().st_mtime_ns
            for path in self.folder.rglob("*")
            if path.is_file() and path.name != ".lock" and ".cache" not in path.parts
        }
