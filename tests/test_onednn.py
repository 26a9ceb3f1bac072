"""The bounds of oneDNN's caches are in the environment when torch reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from grap_seq import seal
from grap_seq.onednn import BOUNDS

# The program, stopped at the first import of torch to say what the environment is there.
PROGRAM = """
import json, os, runpy, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(json.dumps(dict(os.environ)), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Watch())
runpy.run_module("grap_seq", run_name="__main__")
"""


@pytest.mark.parametrize("own", [{}, {"LRU_CACHE_CAPACITY": "7"}, dict.fromkeys(BOUNDS, "7")])
def test_torch_finds_the_bounds_or_the_users_own(tmp_path: Path, own: dict[str, str]) -> None:
    (tmp_path / "manifest.json").touch()
    seal.write_text(tmp_path, "config.yaml", f"prepared: {tmp_path}")
    others = {name: value for name, value in os.environ.items() if name not in BOUNDS}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, "embed", f"run={tmp_path}"],
        env=others | own,
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(result.stdout)
    assert {name: seen[name] for name in BOUNDS} == BOUNDS | own
