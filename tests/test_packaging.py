"""A wheel carries configs and recipes, and runs from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

# One process of `make test` runs them all: the wheel is built once.
pytestmark = pytest.mark.xdist_group("packaging")
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's contents, as pip would lay them out."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_wheel_holds_every_config_and_recipe(unpacked: Path) -> None:
    for name in ("configs", "data_prep"):
        shipped = {p.relative_to(ROOT / name) for p in (ROOT / name).rglob("*.yaml")}
        inside = unpacked / "grap_seq" / name
        found = {p.relative_to(inside) for p in inside.rglob("*.yaml")}
        assert shipped == found


def test_wheel_runs_outside_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "grap_seq", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert "flights" in run("--help")
    run("prepare")
    assert (tmp_path / "data" / "flights" / "manifest.json").exists()
    code = "import grap_seq; print(grap_seq.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    ).stdout
    assert str(unpacked) in where
