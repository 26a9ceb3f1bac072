"""States of sequences, kept to go on with new events without reading the history again.

A file of them is a parquet table with a row a sequence, which any library can join by id. It has no
pickle, and its pages have checksums.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from grap_seq.files import atomic_write

Array = NDArray[Any]
FORMAT = 1
METADATA = b"grap_seq"
# Begins the names of columns that hold a state's parts.
PART = "state:"
EMBEDDING = "embedding"


@dataclass(frozen=True)
class States:
    """What a model remembers of sequences, and their embeddings.

    Attributes:
        ids: of the S sequences, in ascending order.
        parts: arrays (S,) or (S, width) by name, the embeddings among them.
        model: SHA-256 of the model's parameters.
    """

    ids: pd.Index[Any]
    parts: Mapping[str, Array]
    model: str

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"States({len(self):,} sequences)"

    @property
    def embeddings(self) -> pd.DataFrame:
        """As `EmbeddingModel.embed` returns them, of each sequence at its last update."""
        vectors = self.parts[EMBEDDING]
        return pd.DataFrame(
            vectors, self.ids, pd.Index([f"emb_{i:04d}" for i in range(vectors.shape[1])])
        )

    def without(self, ids: Iterable[Any]) -> States:
        """The same without some sequences, which may then start anew; others are passed over."""
        left = ~self.ids.isin(list(ids))
        return States(
            self.ids[left], {name: part[left] for name, part in self.parts.items()}, self.model
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write a parquet file: the id, and each part in a column `state:NAME`."""
        columns = {str(self.ids.name): pa.array(self.ids)}
        columns |= {PART + name: _column(part) for name, part in self.parts.items()}
        about = json.dumps({"format": FORMAT, "model": self.model})
        table = pa.table(columns).replace_schema_metadata({METADATA: about})
        with atomic_write(Path(path)) as temporary:
            pq.write_table(table, temporary, write_page_checksum=True)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> States:
        """Read a file that `save` has written.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is damaged, or another kind of file.
        """
        file = Path(path)
        if not file.is_file():
            raise FileNotFoundError(f"{file} does not exist; states.save(path) writes such a file")
        remedy = "make it anew with model.start(events) and states.save(path)"
        try:
            # Its own schema: pandas' would not bring the lists back as they were.
            table = pq.read_table(file, page_checksum_verification=True)
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"{file} is damaged ({' '.join(str(error).split())}); {remedy}") from (
                error
            )
        about = json.loads((table.schema.metadata or {}).get(METADATA, b"{}"))
        if about.get("format") != FORMAT:
            raise ValueError(f"{file} holds no states of this version of grap_seq; {remedy}")
        name, *parts = table.column_names
        ids = pd.Index(table[name].to_pandas(), name=name)
        arrays = {part.removeprefix(PART): _array(table[part]) for part in parts}
        return cls(ids, arrays, about["model"])


def _column(part: Array) -> pa.Array:
    if part.ndim == 1:
        return pa.array(part)
    # (S, width)
    return pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), part.shape[1])


def _array(column: pa.ChunkedArray) -> Array:
    kind, whole = column.type, column.combine_chunks()
    if not pa.types.is_fixed_size_list(kind):
        return np.array(whole)
    return np.array(whole.flatten()).reshape(len(column), kind.list_size)
