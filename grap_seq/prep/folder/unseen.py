"""How much of new data the stored vocabularies do not know."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from grap_seq.schema import Schema


def count_unseen(folder: Path, schema: Schema) -> dict[str, int]:
    """Events with the rare code, by categorical field, of all parts of a prepared folder."""
    counts = {field.name: 0 for field in schema.categorical}
    for path in sorted(folder.glob("*/part-*.parquet")):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=list(counts))
            for field in schema.categorical:
                assert field.size is not None
                rare = pc.equal(pc.list_flatten(table[field.name]), field.size - 1)
                counts[field.name] += pc.sum(rare).as_py() or 0
    return counts
