"""Features of the labelled rows, written to files a part at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from grap_seq.evaluation.aggregates import aggregates
from grap_seq.evaluation.embed import NUMBER, embedding_file
from grap_seq.evaluation.features import BATCH, Stored
from grap_seq.evaluation.origin import Origin, metadata_of, open_embeddings
from grap_seq.evaluation.shards import FOLDER
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
    splits: Sequence[SplitRows], run: Path, folder: Path, origin: Origin, file: Path
) -> tuple[Stored, dict[str, str]]:
    """Embeddings of all rows, split after split: (rows, E), and the metadata of their files.

    Args:
        splits: The rows, at least one.
        run: Run folder.
        folder: Folder of the embeddings in it.
        origin: Of which model and data they have to be.
        file: The file to write.

    Raises:
        FileNotFoundError: There are no embeddings.
        ValueError: They are damaged, of another origin, of other sequences, or not finite.
    """
    rows, start, found = sum(len(split.keys) for split in splits), 0, None
    metadata: dict[str, str] = {}
    for split in splits:
        if not split.embeddings:
            continue
        path = folder / embedding_file(split.split, labels=split.numbers is not None)
        if not path.is_file():
            joined = " shards=N, with their number" if (folder / FOLDER).is_dir() else ""
            raise FileNotFoundError(
                f"{path} is missing; make it with `grap-seq embed run={run}{joined}`"
            )
        table = open_embeddings(run, path, origin)
        metadata = metadata_of(table)
        columns = [name for name in table.schema_arrow.names if name.startswith("emb_")]
        if found is None:
            found = Stored.new(file, rows, len(columns))
        filled = np.zeros(len(split.keys), bool)
        for batch in table.iter_batches(BATCH):
            numbers = None if split.numbers is None else batch.column(NUMBER).to_numpy()
            places = split.keys.get_indexer(keys_of(pd.Index(batch.column(0)), numbers))
            known = places >= 0
            vectors = np.stack([batch.column(name).to_numpy() for name in columns], axis=1)
            if not np.isfinite(vectors).all():
                raise ValueError(
                    f"{path} has embeddings that are not finite; train the run again, with a lower"
                    " lr"
                )
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
