"""`embed engine=spark`: every shard is a task, on a cluster that sees the run and the data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from grap_seq.classes import allow, allowed
from grap_seq.device import set_threads
from grap_seq.evaluation.embed_folder import embed_folder
from grap_seq.evaluation.model import EmbeddingModel
from grap_seq.evaluation.shards import Shard
from grap_seq.prep.engines.connect import connect


def embed_on_spark(
    model: EmbeddingModel,
    prepared: Path,
    shards: int,
    *,
    batch_events: int = 20_000,
    output: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    spark: Any = None,
) -> int:
    """Make all shards of a folder's embeddings; `EmbeddingModel.join` then makes its files.

    Args:
        model: on the CPU. Spark brings it to each executor once.
        prepared: the prepared folder; run and folders have the same paths on all machines.
        shards: their number; 1: as many as Spark can work on at a time, and two at least.
        batch_events: events in a batch.
        output: as of `embed_folder`.
        device: where each task works.
        threads: CPU threads of a task; None: one.
        spark: settings of Spark, as of `grap_seq.prep.engines.connect.connect`.

    Returns:
        Number of shards.

    Raises:
        ValueError: Spark does not start, or a task failed; has its message.
    """
    from grap_seq.prep.engines.spark import Spark

    connection = connect("spark", threads=threads, spark=spark)
    assert isinstance(connection, Spark)
    session = connection.session
    try:
        count = max(2, session.sparkContext.defaultParallelism) if shards == 1 else shards
        # Elsewhere, the paths begin in other folders, and no class is allowed yet.
        model.run = model.run.absolute()
        places, classes = (prepared.absolute(), output and output.absolute()), tuple(allowed)
        shared = session.sparkContext.broadcast(model)

        def embed(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
            allow(*classes)
            for batch in batches:
                for number in batch.column(0).to_pylist():
                    set_threads(threads or 1)
                    own = shared.value.to(device)
                    embed_folder(own, places[0], batch_events, places[1], Shard(number, count))
                yield batch

        numbers = session.range(0, count, 1, count)
        with connection.clear_errors("embed engine=spark"):
            made = numbers.mapInArrow(embed, "id long").collect()
        assert len(made) == count
        return count
    finally:
        connection.disconnect()
