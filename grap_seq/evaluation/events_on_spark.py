"""Raw events of a Spark table to embeddings: tasks code and embed whole sequences.

Embeddings depend on what is computed beside them in their last bits. So a task gets what one
process would have embedded together, a chunk of sequences that follow each other by id.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from grap_seq.classes import allow, allowed
from grap_seq.device import set_threads
from grap_seq.evaluation.embed import CHUNK_ROWS
from grap_seq.evaluation.model import EmbeddingModel
from grap_seq.prep.describe.spec import NEWEST

if TYPE_CHECKING:
    from grap_seq.prep.folder.state import State

# Columns of ours beside those of the events.
SEQUENCE, CHUNK = "__sequence", "__chunk"
TYPES = {"int64": "bigint", "string": "string"}


def embed_events(
    model: EmbeddingModel,
    events: DataFrame,
    batch_events: int = 20_000,
    until: str | float | date | None = None,
    *,
    device: str = "auto",
    threads: int = 1,
) -> DataFrame:
    """As `EmbeddingModel.embed`, bit by bit on CPUs of one kind, by the tasks of a cluster.

    Executors need grap_seq; the model and its vocabularies are broadcast, so the run's folder is
    needed here alone. A task holds the events of 4,096 sequences.

    Args:
        model: on the CPU.
        events: with the columns of the dataset's description, in any order of rows.
        batch_events: events in a batch.
        until: as of `embed`, but not "newest", which no task can know.
        device: where each task works.
        threads: CPU threads of a task.

    Returns:
        A table that is computed when it is asked for: id, emb_0000, ..., in no order.

    Raises:
        ValueError: `until` is "newest", or the id is no column of text or whole numbers. What is
            wrong with the events is raised by the task, when the table is computed.
    """
    state = model.coder.state
    spec = state.spec if until is None else state.spec.with_until(until)
    if spec.until == NEWEST:
        raise ValueError(
            "until=newest: no task sees all events; find the newest one and give its time as until"
        )
    name = state.spec.id
    kind = dict(events.dtypes).get(name)
    if kind not in ("tinyint", "smallint", "int", "bigint", "string"):
        raise ValueError(f"'{name}' is {kind or 'missing'}: give ids as text or whole numbers")
    shared = events.sparkSession.sparkContext.broadcast(model)
    classes = tuple(allowed)
    vectors = [(f"emb_{i:04d}", pa.float32()) for i in range(model.model.embedding_size)]
    columns = pa.schema([(name, state.id_type), *vectors])

    def embed(chunk: pa.Table) -> pa.Table:
        allow(*classes)
        set_threads(threads)
        own = shared.value.to(device)
        frame = own.embed(chunk.drop_columns([SEQUENCE, CHUNK]), batch_events, until)
        return pa.Table.from_pandas(frame.reset_index(), columns, preserve_index=False)

    chunked = _in_chunks(events, name, state)
    floats = ", ".join(f"{column} float" for column, _ in vectors)
    schema = f"`{name}` {TYPES[state.id_type]}, {floats}"
    return chunked.groupBy(CHUNK).applyInArrow(embed, schema)


def _in_chunks(events: DataFrame, name: str, state: State) -> DataFrame:
    """The events with the number of their chunk among all sequences by id."""
    # In the type, and so in the order, of prepared folders.
    keyed = events.withColumn(SEQUENCE, F.col(f"`{name}`").cast(TYPES[state.id_type]))
    place = F.row_number().over(Window.orderBy(SEQUENCE)) - 1
    chunk = F.floor(place / CHUNK_ROWS)
    numbers = keyed.select(SEQUENCE).distinct().withColumn(CHUNK, chunk)
    # An id that is missing has to reach a task, which refuses it.
    numbers = numbers.withColumnRenamed(SEQUENCE, "__other")
    matching = F.col(SEQUENCE).eqNullSafe(F.col("__other"))
    return keyed.join(numbers, matching).drop("__other")
