"""Stage 5: each bucket coded, sorted, grouped and written as one part for every split."""

from __future__ import annotations

from pathlib import Path

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from grap_seq.files import atomic_write
from grap_seq.prep.folder.state import State
from grap_seq.prep.stages.buckets import Buckets
from grap_seq.prep.stages.encoding import encode_static
from grap_seq.prep.stages.grouping import group_events, list_types, with_id
from grap_seq.prep.stages.label_codes import label_codes
from grap_seq.prep.stages.local_labels import label_lists
from grap_seq.schema import LABEL, LABEL_UNTIL, POSITION, SPLITS, UNTIL

# Events in a row group: small enough to read one at a time, large enough to compress well.
EVENTS_PER_GROUP = 131_072


def part_paths(folder: Path, bucket: int) -> dict[str, Path]:
    """The files of a bucket, one a split."""
    return {split: folder / split / f"part-{bucket:05d}.parquet" for split in SPLITS}


def write_bucket(
    buckets: Buckets,
    sequences: ir.Table,
    state: State,
    bucket: int,
    folder: Path,
    mean_events: float,
) -> None:
    """Write the parts of one bucket under temporary names and rename them."""
    table = bucket_table(buckets, sequences, state, bucket)
    rows = max(1, int(EVENTS_PER_GROUP / mean_events))
    # Numbers hardly repeat: looking for those that do makes files larger and takes longer.
    repeated = [f"{name}.list.element" for name in state.categorical]
    for split, path in part_paths(folder, bucket).items():
        part = table.filter(pc.equal(table["__split"], split)).drop_columns("__split")
        with atomic_write(path) as temporary:
            pq.write_table(
                part.combine_chunks(),
                temporary,
                compression="zstd",
                use_dictionary=repeated,
                row_group_size=rows,
            )


def bucket_table(buckets: Buckets, sequences: ir.Table, state: State, bucket: int) -> pa.Table:
    """The sequences of a bucket sorted by id, with their labels and `__split`."""
    connection = buckets.work.connection
    with connection.clear_errors(f"grouping bucket {bucket}"):
        here = sequences.filter(sequences["__bucket"] == bucket)
        known = connection.to_pyarrow(here.order_by("__number"))
        found = buckets.table(bucket)
    if found is None:
        table = list_types(state).empty_table()
    else:
        numbers = pc.index_in(found["__number"], value_set=known["__number"]).to_numpy()
        table = group_events(found, numbers, state)
    assert len(table) == len(known)
    for name, column in encode_static(known, state).items():
        table = table.append_column(name, pa.array(column))
    ended = state.spec.until is not None
    if ended:
        table = table.append_column(UNTIL, known["__until"])
    if state.spec.local_labels:
        lists = label_lists(known, table["event_time"], state.labels[0])
        names = (LABEL, POSITION, LABEL_UNTIL) if ended else (LABEL, POSITION)
        for name, column in zip(names, lists, strict=False):
            table = table.append_column(name, column)
    elif not state.labels:
        table = table.append_column(LABEL, pa.nulls(len(table), pa.int32()))
    else:
        schema = state.schema()
        for label, place in zip(state.labels, state.spec.label_columns, strict=True):
            table = table.append_column(
                schema.label_column(label), label_codes(known[place], label)
            )
    return with_id(known["__id"], table.append_column("__split", known["__split"]), state)
