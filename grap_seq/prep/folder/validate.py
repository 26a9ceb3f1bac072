"""Is a prepared folder what its manifest, schema and vocabularies say?

One pass over the parts, a row group at a time. Every kind of damage is reported with the first
sequence that has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from grap_seq import seal
from grap_seq.data.mapped import copies
from grap_seq.files import sha256
from grap_seq.prep.folder.manifest import Manifest
from grap_seq.prep.folder.state import State
from grap_seq.prep.folder.verify import CACHE, DESCRIPTIONS, damage
from grap_seq.schema import SPLITS, UNTIL, Label, Schema

MAX_SHOWN = 20


def validate(folder: Path) -> Manifest:
    """Check files, descriptions and every sequence of a prepared folder.

    Returns:
        Its manifest.

    Raises:
        FileNotFoundError: it is no prepared folder.
        ValueError: the list of what is wrong.
    """
    manifest = Manifest.load(folder)
    problems = [*_files(folder, manifest)]
    damaged = {line.partition(":")[0] for line in problems}
    if damaged & {*DESCRIPTIONS}:
        _refuse(folder, problems)
    schema, state = Schema.load(folder), State.load(folder)
    problems += _descriptions(manifest, schema, state)
    split_of: dict[Any, str] = {}
    for split in SPLITS:
        counts = {"sequences": 0, "events": 0, "labelled": 0}
        for path in sorted((folder / split).glob("*.parquet")):
            name = path.relative_to(folder).as_posix()
            if name not in damaged:
                problems += _part(path, name, split, schema, counts, split_of)
        expected = {key: manifest.splits[split][key] for key in counts}
        if counts != expected and not problems:
            problems.append(f"{split}: holds {counts}, manifest.json says {expected}")
    _refuse(folder, problems)
    return manifest


def validate_run(run: Path) -> int:
    """Check every file of a run that checksums.jsonl records.

    Returns:
        Their number.

    Raises:
        FileNotFoundError: it is no run of this version.
        ValueError: the list of what is wrong.
    """
    if not (run / seal.FILE).is_file():
        raise FileNotFoundError(
            f"{run} has no {seal.FILE}: it is no run, or an earlier version of grap_seq made it"
        )
    _refuse(run, seal.problems(run), "restore the files from a copy, or make them again")
    return len(seal.records(run))


def _refuse(folder: Path, problems: list[str], remedy: str = "prepare it again") -> None:
    if problems:
        shown = "\n  ".join(problems[:MAX_SHOWN])
        rest = f"\n  and {len(problems) - MAX_SHOWN} more" if len(problems) > MAX_SHOWN else ""
        raise ValueError(f"{folder} is damaged; {remedy}:\n  {shown}{rest}")


def _files(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Damaged files, hashed in full; those in the cache too."""
    yield from damage(folder, manifest, lambda path, checksum: sha256(path) == checksum)
    for name in copies(folder / CACHE):
        wrong = seal.problem(folder / CACHE, name)
        if wrong is not None:
            yield f"{CACHE}/{name}: {wrong}"


def _descriptions(manifest: Manifest, schema: Schema, state: State) -> Iterator[str]:
    if schema.hash != manifest.schema_hash:
        yield "schema.yaml: another hash than in manifest.json"
    if state.schema().hash != schema.hash:
        yield "vocab.json: its vocabularies do not belong to schema.yaml"
    for label in schema.labels:
        if label.name in {field.name for field in schema.fields}:
            yield f"schema.yaml: the label '{label.name}' is also an input"


def _part(
    path: Path,
    name: str,
    split: str,
    schema: Schema,
    counts: dict[str, int],
    split_of: dict[Any, str],
) -> list[str]:
    """What is wrong in one part, each kind once; adds to `counts` and `split_of`."""
    file = pq.ParquetFile(path)
    if tuple(file.schema_arrow.names) != schema.columns:
        return [f"{name}: columns {', '.join(file.schema_arrow.names)} are not those of the schema"]
    found: dict[str, str] = {}
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        ids = table[schema.id].to_pylist()
        for reason, row in _sequences(table, schema):
            found.setdefault(reason, f"{name}: {reason} of {schema.id} {ids[row]!r}")
        for one in ids:
            other = split_of.setdefault(one, split)
            if one is None or other != split:
                found.setdefault("split", f"{name}: {schema.id} {one!r} is also in {other}")
        counts["sequences"] += len(ids)
        counts["events"] += pc.sum(pc.list_value_length(table["event_time"])).as_py() or 0
        counts["labelled"] += len(ids) - table["label"].null_count
    return list(found.values())


def _sequences(table: pa.Table, schema: Schema) -> Iterator[tuple[str, int]]:
    """Kinds of damage in a table with the first row of each."""
    lengths = _lengths(table, "event_time")
    yield from _first("no events", lengths < 1)
    for field in schema.fields:
        uneven = _lengths(table, field.name) != lengths
        yield from _first(f"length of '{field.name}'", uneven)
        values = _flat(table, field.name)
        if uneven.any():
            continue
        if field.kind == "categorical":
            assert field.size is not None
            wrong = (values < 1) | (values >= field.size) | np.isnan(values)
            yield from _first(f"code outside the vocabulary of '{field.name}'", wrong, lengths)
        else:
            yield from _first(f"infinite number in '{field.name}'", np.isinf(values), lengths)
    for field in schema.static:
        values = table[field.name].to_pandas().to_numpy("float64")
        if field.kind == "categorical":
            assert field.size is not None
            wrong = ~((values >= 1) & (values < field.size))
            yield from _first(f"code outside the vocabulary of '{field.name}'", wrong)
        else:
            yield from _first(f"infinite number in '{field.name}'", np.isinf(values))
    times = _flat(table, "event_time")
    yield from _first("time that is no number", ~np.isfinite(times), lengths)
    yield from _first("times out of order", _falls(times, lengths), lengths)
    if schema.until and (lengths > 0).all():
        last = times[np.cumsum(lengths) - 1]
        until = table[UNTIL].to_pandas().to_numpy("float64")
        yield from _first("'until' before the last event", ~(until >= last))
    if schema.local_labels:
        yield from _local_labels(table, schema, lengths)
        return
    for label in schema.labels:
        column = table[schema.label_column(label)]
        codes = column.cast(pa.float64()).drop_null().to_numpy()
        wrong = np.zeros(len(table), bool)
        wrong[column.is_valid().to_numpy()] = _unknown(codes, label)
        yield from _first(_wrong_label(label), wrong)


def _local_labels(
    table: pa.Table, schema: Schema, events: NDArray[np.int64]
) -> Iterator[tuple[str, int]]:
    lengths = _lengths(table, "label")
    uneven = _lengths(table, "label_position") != lengths
    yield from _first("length of 'label_position'", uneven)
    if uneven.any():
        return
    labels, positions = _flat(table, "label"), _flat(table, "label_position")
    label = schema.labels[0]
    yield from _first(_wrong_label(label), _unknown(labels, label), lengths)
    inside = (positions >= 0) & (positions < np.repeat(events, lengths))
    yield from _first("label outside the events", ~inside, lengths)
    yield from _first("labels out of order", _falls(positions, lengths), lengths)


def _wrong_label(label: Label) -> str:
    return "unknown class" if label.classes else "label that is no number"


def _unknown(codes: NDArray[np.float64], label: Label) -> NDArray[np.bool_]:
    """Codes of no class of the label, or of no number."""
    if not label.classes:
        return ~np.isfinite(codes)
    return ~((codes >= 0) & (codes < len(label.classes)))


def _falls(values: NDArray[np.float64], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a value is smaller than the one before it in its row."""
    falls = np.diff(values, prepend=values[:1]) < 0
    falls[(np.cumsum(lengths) - lengths)[lengths > 0]] = False
    return falls


def _lengths(table: pa.Table, name: str) -> NDArray[np.int64]:
    lengths = pc.fill_null(pc.list_value_length(table[name]), 0)
    return np.asarray(lengths.to_numpy(), np.int64)


def _flat(table: pa.Table, name: str) -> NDArray[np.float64]:
    """Values of a list column one after the other; nulls become NaN."""
    values = pc.cast(pc.list_flatten(table[name]), pa.float64())
    return np.asarray(values.to_pandas().to_numpy(), np.float64)


def _first(
    reason: str, wrong: NDArray[np.bool_], lengths: NDArray[np.int64] | None = None
) -> Iterator[tuple[str, int]]:
    """The first row with something wrong; `lengths` where `wrong` has an entry an event."""
    places = np.flatnonzero(wrong)
    if len(places):
        place = int(places[0])
        if lengths is not None:
            place = int(np.searchsorted(np.cumsum(lengths), place, side="right"))
        yield reason, place
