"""Who may import whom: models and losses know nothing of files, of Hydra or of Lightning."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "grap_seq"
FORBIDDEN = ("grap_seq.data", "grap_seq.prep", "grap_seq.training", "hydra", "lightning", "pyarrow")


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("room", ["nn", "objectives", "weighting"])
def test_models_losses_and_weightings_import_no_data(room: str) -> None:
    files = sorted((PACKAGE / room).glob("*.py"))
    assert len(files) > 3
    for path in (*files, PACKAGE / "batch.py", PACKAGE / "layout.py", PACKAGE / "schema.py"):
        wrong = {name for name in imports(path) if name.startswith(FORBIDDEN)}
        assert not wrong, f"{path.name} imports {wrong}"


def test_no_two_files_of_preparation_import_each_other() -> None:
    """Imports for types alone count too."""
    root = PACKAGE.parent
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts): path
        for path in (PACKAGE / "prep").rglob("*.py")
    }
    graph = {name: imports(path) & files.keys() for name, path in files.items()}
    assert sum(map(len, graph.values())) > 50
    # Fails with the cycle, if there is one.
    list(TopologicalSorter(graph).static_order())
