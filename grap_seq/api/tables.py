"""Tables in memory as the files that preparation reads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeGuard

import yaml


class ArrowTable(Protocol):
    """A table of pandas, polars, pyarrow or any other library that speaks Arrow's interface."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


Table: TypeAlias = ArrowTable | Sequence[Mapping[str, Any]]
StrPath: TypeAlias = str | PathLike[str]


def is_path(value: object) -> TypeGuard[StrPath]:
    """Whether it is the path of a file or folder, or an address."""
    return isinstance(value, str | PathLike)


@contextmanager
def written(
    events: Table | StrPath,
    description: Mapping[str, Any],
    labels: Table | StrPath | None,
    near: Path,
) -> Iterator[tuple[str, Path]]:
    """Events and their description as files, which last as long as the context.

    Args:
        events: a table, or the path of one, which is read where it is.
        description: keys of a dataset's YAML description.
        labels: a table with the id and the labels, or the path of one.
        near: a path beside which there is room for a copy of the tables.

    Yields:
        The path or address of the events, and that of the description.

    Raises:
        ValueError: no tables, or one that has no columns of these names.
    """
    near.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{near.name}-", dir=near.parent) as name:
        folder, content = Path(name), dict(description)
        source = _path_of(events, folder / "events.parquet")
        if labels is not None:
            path = Path(_path_of(labels, folder / "labels.parquet"))
            content["labels"] = str(path.expanduser().resolve())
        spec = folder / "events.yaml"
        spec.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), "utf-8")
        yield source, spec


def _path_of(table: Table | StrPath, path: Path) -> str:
    """Its own path, or that of a copy as parquet."""
    if is_path(table):
        return str(table)
    import pyarrow.parquet as pq

    from grap_seq.prep.read.tables import to_arrow

    if getattr(getattr(table, "index", None), "name", None) is not None:
        # The id of labels by id, and of what `embed` returns.
        table = table.reset_index()  # type: ignore[union-attr]
    pq.write_table(to_arrow(table), path)
    return str(path)
