"""Features of the labelled rows, written to files a part at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from grap_seq.evaluation.aggregates import aggregates
from grap_seq.evaluation.embed import NUMBER, embedding_file
from grap_seq.evaluation.features import BATCH, Stored
from grap_seq.evaluation.split_rows import SplitRows, keys_of


def store_aggregates(splits: Sequence[SplitRows], eval_length: int, file: Path) -> Stored:
    """Aggregates of all rows, split after split: (rows, features).

    Args:
        splits: The rows, at least one.
        eval_length: Last events of a sequence that are used.
        file: The file to write.
    """
    rows, start, found = sum(len(split.examples) for split in splits), 0, None
    for split in splits:
        for frame in aggregates(split.sequences, split.examples, eval_length):
            if found is None:
                found = Stored.new(file, rows, frame.shape[1])
            found[start : start + len(frame)] = frame
            start += len(frame)
    assert found is not None
    assert start == rows
    return found


def store_embeddings(
    splits: Sequence[SplitRows], run: Path, folder: Path, file: Path
) -> tuple[Stored, dict[str, str]]:
    """Embeddings of all rows, split after split: (rows, E), and the metadata of their files.

    Args:
        splits: The rows, at least one.
        run: Run folder.
        folder: Folder of the embeddings in it.
        file: The file to write.

    Raises:
        FileNotFoundError: There are no embeddings.
        ValueError: They are of other sequences, or an older version made them.
    """
    rows, start, found = sum(len(split.keys) for split in splits), 0, None
    metadata: dict[str, str] = {}
    for split in splits:
        if not split.embeddings:
            continue
        path = embedding_file(folder, split.split, labels=split.numbers is not None)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; make it with `grap-seq embed run={run}`")
        # By default a whole row group would be read ahead into memory.
        table = pq.ParquetFile(path, pre_buffer=False)
        metadata = _metadata(run, path, table)
        columns = [name for name in table.schema_arrow.names if name.startswith("emb_")]
        if found is None:
            found = Stored.new(file, rows, len(columns))
        filled = np.zeros(len(split.keys), bool)
        for batch in table.iter_batches(BATCH):
            numbers = None if split.numbers is None else batch.column(NUMBER).to_numpy()
            places = split.keys.get_indexer(keys_of(pd.Index(batch.column(0)), numbers))
            known = places >= 0
            vectors = np.stack([batch.column(name).to_numpy() for name in columns], axis=1)
            found[start + places[known]] = vectors[known]
            filled[places[known]] = True
        if not filled.all() or table.metadata.num_rows != split.embeddings:
            raise ValueError(
                f"{path} does not belong to the prepared folder: {(~filled).sum()} of its "
                f"{len(filled)} labelled sequences have no embedding, and there are "
                f"{table.metadata.num_rows} embeddings for {split.embeddings}. Make them again "
                f"with `grap-seq embed run={run} prepared=...`"
            )
        start += len(filled)
    assert found is not None
    return found, metadata


def _metadata(run: Path, path: Path, table: pq.ParquetFile) -> dict[str, str]:
    found = {k.decode(): v.decode() for k, v in (table.schema_arrow.metadata or {}).items()}
    if "eval_length" not in found:
        raise ValueError(
            f"{path} does not say how many events it has seen, because an older version wrote it; "
            f"make it again with `grap-seq embed run={run}`"
        )
    return found
