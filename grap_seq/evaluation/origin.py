"""Of which model, and of which data, something is made: embeddings, and their evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.parquet as pq

from grap_seq import seal
from grap_seq.prep.folder.verify import verify

REMEDY = "restore it from a copy, continue the run with resume=true, or train it again"


@dataclass(frozen=True)
class Origin:
    """SHA-256 of a run's model.safetensors, and of the content of a prepared folder."""

    model: str
    data: str

    @classmethod
    def now(cls, run: Path, prepared: Path) -> Origin:
        """Of what would be made at present.

        Raises:
            FileNotFoundError: the run is not finished, or there is no such prepared folder.
            ValueError: model.json or the prepared folder is damaged.
        """
        description = json.loads(seal.check(run, "model.json", REMEDY).read_text("utf-8"))
        return cls(description["weights"], verify(prepared).data)

    def to_dict(self) -> dict[str, str]:
        """As it stands in the metadata of embeddings and in evaluation.json."""
        return asdict(self)

    def check(self, found: Mapping[str, str], path: Path, remedy: str) -> None:
        """Refuse what another model of the run made, or made of other data.

        Args:
            found: what the file says about itself.
            path: of the file.
            remedy: how to make it again.

        Raises:
            ValueError: it is not of this origin.
        """
        for key, what in (("model", "by another model of the run"), ("data", "of other data")):
            if found.get(key) != getattr(self, key):
                raise ValueError(f"{path} was made {what}; {remedy}")


def open_embeddings(run: Path, path: Path, origin: Origin) -> pq.ParquetFile:
    """A file of embeddings in a run, unharmed and of this origin.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: it is damaged, or of another origin.
    """
    remedy = f"make it again with `grap-seq embed run={run}`"
    seal.check(run, path.relative_to(run).as_posix(), remedy)
    # By default a whole row group would be read ahead into memory.
    file = pq.ParquetFile(path, pre_buffer=False)
    metadata = metadata_of(file)
    origin.check(metadata, path, f"make it again with `grap-seq embed run={run} prepared=...`")
    return file


def metadata_of(file: pq.ParquetFile) -> dict[str, str]:
    """What a file of embeddings says about itself."""
    return {k.decode(): v.decode() for k, v in (file.schema_arrow.metadata or {}).items()}
