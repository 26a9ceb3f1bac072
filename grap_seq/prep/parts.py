"""Stage 5: each bucket coded, sorted, grouped and written as one part for every split."""

from __future__ import annotations

from pathlib import Path

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from grap_seq.files import atomic_write
from grap_seq.prep.encoding import encode_events, group_events, sequence_type
from grap_seq.prep.engine import clear_errors
from grap_seq.prep.stages import Work
from grap_seq.prep.state import State
from grap_seq.schema import SPLITS

# Events in a row group: small enough to read one at a time, large enough to compress well.
EVENTS_PER_GROUP = 131_072


def part_paths(folder: Path, bucket: int) -> dict[str, Path]:
    """The files of a bucket, one a split."""
    return {split: folder / split / f"part-{bucket:05d}.parquet" for split in SPLITS}


def write_bucket(
    work: Work, sequences: ir.Table, state: State, bucket: int, folder: Path, mean_events: float
) -> None:
    """Write the parts of one bucket under temporary names and rename them."""
    table = bucket_table(work, sequences, state, bucket)
    rows = max(1, int(EVENTS_PER_GROUP / mean_events))
    for split, path in part_paths(folder, bucket).items():
        part = table.filter(pc.equal(table["__split"], split)).drop_columns("__split")
        with atomic_write(path) as temporary:
            pq.write_table(
                part.combine_chunks(), temporary, compression="zstd", row_group_size=rows
            )


def bucket_table(work: Work, sequences: ir.Table, state: State, bucket: int) -> pa.Table:
    """The sequences of a bucket sorted by id, with `label` and `__split`."""
    kinds = sequence_type(state)
    name = state.spec.id
    with clear_errors(f"grouping bucket {bucket}"):
        known = work.connection.to_pyarrow(
            sequences.filter(sequences["__bucket"] == bucket).select("__id", "__split", "__label")
        ).sort_by("__id")
        events = work.bucket(bucket)
        if events is None:
            table = kinds.empty_table()
        else:
            grouped = group_events(encode_events(events, state), state)
            table = work.connection.to_pyarrow(grouped).sort_by(name)
            assert table[name].equals(known["__id"].cast(table[name].type))
    table = typed(table, kinds)
    classes = pa.array(state.classes, pa.string())
    labels = pc.index_in(known["__label"].cast(pa.string()), classes).cast(pa.int32())
    table = table.append_column("label", labels).append_column("__split", known["__split"])
    return table.sort_by(name)


def typed(table: pa.Table, kinds: pa.Schema) -> pa.Table:
    """The columns in their order and types in the prepared folder."""
    return table.select(kinds.names).cast(kinds)
