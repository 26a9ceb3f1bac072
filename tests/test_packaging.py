"""A wheel carries configs and recipes, and runs from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import grap_seq
from grap_seq.cite import ARXIV, PAPER, bibtex

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


def test_an_index_would_take_wheel_and_archive(tmp_path: Path) -> None:
    pytest.importorskip("twine", reason="needs the extra [dev]")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    files = sorted(map(str, tmp_path.iterdir()))
    assert [Path(file).suffix for file in files] == [".whl", ".gz"]
    check = [sys.executable, "-m", "twine", "check", "--strict", *files]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    with tarfile.open(files[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "configs/pretrain.yaml", "grap_seq/cli.py"} <= names


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == grap_seq.__version__ == metadata.version("grap-seq")
    assert grap_seq.__version__ in bibtex()
    assert f"arXiv:{ARXIV}" == citation["identifiers"][0]["value"]
    assert citation["identifiers"][0]["description"] == PAPER
