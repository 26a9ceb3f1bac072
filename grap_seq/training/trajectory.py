"""weights.parquet: a row for every logged step, appended to while the run goes on.

Checkpoints know only the last step that the file holds for sure. A run that is killed between the
file and the checkpoint leaves rows behind that step; they are cut when it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from grap_seq import seal

FILE = "weights.parquet"


def append(run: Path, rows: Sequence[dict[str, float]], after: int) -> None:
    """Put rows behind those of the file that are not later than step `after`.

    The file is replaced as a whole: it is complete at any moment, and its tens of megabytes at the
    end of a long run are written in a fraction of a second.

    Args:
        run: the run folder.
        rows: each with its `step`, ascending; a row may lack columns that others have.
        after: the last step to keep; 0: none.

    Raises:
        ValueError: the file is damaged.
    """
    path = run / FILE
    tables = [pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False)] if rows else []
    if after and path.is_file():
        remedy = "restore it from a copy, or delete it to go on without its rows"
        earlier = pq.read_table(seal.check(run, FILE, remedy))
        tables.insert(0, earlier.filter(pc.field("step") <= after))
    if not tables:
        seal.remove(run, FILE)
        return
    with seal.write(run, FILE) as temporary:
        # Without pandas' description of the first columns, which may be fewer.
        joined = pa.concat_tables(tables, promote_options="permissive")
        pq.write_table(joined.replace_schema_metadata(None), temporary)
