"""Recipes: how a named dataset becomes a table of events.

A recipe is a folder under data_prep with recipe.py, dataset.yaml, a card and expected counts. In
recipe.py, `files` and `read` find and open the source, `events` is pure Ibis with each file in it
once, and `labels` sees the cleaned events instead of reading the source again.
It is loaded by path, because recipes are data that users copy and change, not part of the package.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import ibis.expr.types as ir
import yaml

from grap_seq.names import nearest
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.folder.state import State
from grap_seq.prep.read.tables import is_glob
from grap_seq.resources import folder

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

# Keys of a description that say how to read the files, not what was fitted to them.
READING = ("time_format", "labels", "split", "until")


@dataclass(frozen=True)
class Recipe:
    """A recipe module with the description of what it makes."""

    name: str
    folder: Path
    module: ModuleType
    spec: DatasetSpec
    spec_path: Path

    def files(self, source: Path | None) -> list[Path]:
        """The source's files, checked to be there."""
        return list(self.module.files(source))

    def read(self, connection: Connection, source: Path | None) -> dict[str, ir.Table]:
        return dict(self.module.read(connection, source))

    def events(self, tables: dict[str, ir.Table]) -> ir.Table:
        """Every row of the source; `__left_out`, if there, is why one is no event, or null."""
        return self.module.events(tables)

    def labelled(self, source: Path | None) -> bool:
        """Whether `labels` has any."""
        if not hasattr(self.module, "labels"):
            return False
        return not hasattr(self.module, "labelled") or bool(self.module.labelled(source))

    def labels(
        self, connection: Connection, tables: dict[str, ir.Table], events: ir.Table
    ) -> ir.Table:
        """Columns id, label and (where the dataset has its own) split, `__left_out` as in events.

        Args:
            tables: what `read` gave.
            events: all rows of `events`, as `clean` makes them; read once, here they cost little.
        """
        return self.module.labels(connection, tables, events)

    def untyped(self, source: Path | None) -> bool:
        """Whether text may stand for numbers, because the source (CSV) knows only text."""
        return hasattr(self.module, "untyped") and bool(self.module.untyped(source))

    @property
    def time_kind(self) -> Literal["number", "timestamp"] | None:
        """What text in the time column stands for; None: it has to be looked at."""
        kind: Literal["number", "timestamp"] | None = getattr(self.module, "TIME_KIND", None)
        return kind

    @property
    def remedy(self) -> str:
        """How to come by the source's files, for error messages; empty for a user's own table."""
        return str(getattr(self.module, "REMEDY", ""))

    def expected(self, source: Path | None) -> dict[str, Any]:
        """Counts that a complete source gives; empty for a table or description of the user's.

        A dataset with several editions has them by edition.
        """
        path = self.folder / "expected.yaml"
        if self.spec_path.parent != self.folder or not path.is_file():
            return {}
        counts = yaml.safe_load(path.read_text("utf-8"))
        if hasattr(self.module, "edition"):
            counts = counts[self.module.edition(source)]
        return dict(counts)


def names() -> list[str]:
    """Recipes that are there."""
    return sorted(path.parent.name for path in folder("data_prep").glob("*/recipe.py"))


def load(name: str, path: Path) -> ModuleType:
    """Import the module in a file that is not part of the package."""
    module_spec = importlib.util.spec_from_file_location(name, path)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module


def module(name: str) -> ModuleType:
    """The code of a recipe."""
    return load(f"grap_seq_recipe_{name}", folder("data_prep") / name / "recipe.py")


def load_recipe(
    name: str, source: Path | None = None, spec: Path | None = None, like: Path | None = None
) -> Recipe:
    """Load a recipe; `spec` replaces its dataset.yaml, and for `table` stands beside the source.

    With `like`, a prepared folder or a run, a table needs no description of its own.

    Raises:
        ValueError: no such recipe, or the description is not that of `like`.
        FileNotFoundError: no spec.
    """
    if name not in names():
        raise ValueError(f"dataset '{name}'; {nearest(name, names())}")
    place = folder("data_prep") / name
    code = module(name)
    if spec is None:
        spec = place / "dataset.yaml" if name != "table" else _beside(source)
        if like is not None and name == "table" and not spec.exists():
            return Recipe(name, place, code, State.load(like).spec, spec)
    recipe = Recipe(name, place, code, DatasetSpec.load(spec), spec)
    if like is None:
        return recipe
    _check_same(recipe, like)
    stored = State.load(like).spec.until
    # A model that was made without it has no use for it.
    until = None if stored is None else recipe.spec.until or stored
    return dataclasses.replace(recipe, spec=dataclasses.replace(recipe.spec, until=until))


def _check_same(recipe: Recipe, like: Path) -> None:
    stored = State.load(like).spec
    given, kept = recipe.spec.to_dict(), stored.to_dict()
    changed = [key for key in given if key not in READING and given[key] != kept[key]]
    if changed:
        raise ValueError(
            f"{recipe.spec_path} describes '{recipe.spec.name}' and {like} was prepared as "
            f"'{stored.name}'; they differ in {', '.join(changed)}. Name the folder that belongs "
            "to this dataset, or prepare without like="
        )


def _beside(source: Path | None) -> Path:
    if source is None:
        raise ValueError("dataset=table needs source=FILE (your CSV or parquet table)")
    if not is_glob(source) and not source.exists():
        raise FileNotFoundError(f"no file or folder {source}; give the path of your table")
    return suggested_path(source)


def suggested_path(source: Path) -> Path:
    """Where the YAML description of a table is looked for: events.csv.gz -> events.yaml.

    Raises:
        ValueError: the source is a pattern, beside which nothing stands.
    """
    if is_glob(source):
        raise ValueError(f"source={source} needs spec=FILE, the table's YAML description")
    return source.with_name(source.name.split(".")[0] + ".yaml")
