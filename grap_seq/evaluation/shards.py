"""Embeddings in shards, by any number of processes or machines, joined to the files of one process.

    shards/3-of-8/train.parquet, ...    rows that stand together, in the batches of one process
    shards/3-of-8/shard.json            written when the shard is complete

A shard is a folder with a lock and checksums of its own: all may be made at the same time.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from grap_seq import seal
from grap_seq.evaluation.output import Output

FOLDER, FACTS = "shards", "shard.json"


@dataclass(frozen=True)
class Shard:
    """A part of all chunks of rows.

    Args:
        number: from 0.
        of: how many shards there are.

    Raises:
        ValueError: there is no shard of this number.
    """

    number: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if self.number >= self.of:
            raise ValueError(
                f"shard={self.number} of shards={self.of}: they are numbered from 0 to"
                f" {self.of - 1}"
            )

    def part(self, chunks: range) -> range:
        """The chunks of this shard; those of all shards follow each other."""
        bounds = (len(chunks) * number // self.of for number in (self.number, self.number + 1))
        return chunks[slice(*bounds)]

    def folder(self, embeddings: Path) -> Path:
        """Where it is written, below the folder of the embeddings."""
        return embeddings / FOLDER / f"{self.number}-of-{self.of}"


WHOLE = Shard()


def join(
    target: Output, names: Sequence[str], shards: int, facts: Mapping[str, Any], command: str
) -> None:
    """Make the files of one process out of all shards, which are removed then.

    Args:
        target: the folder of the embeddings, held.
        names: of the files that there may be.
        shards: number of shards.
        facts: of which model and data they have to be, and how they have to be made.
        command: what makes a shard, but for its number.

    Raises:
        FileNotFoundError: shards are missing; names the first one.
        ValueError: one is damaged, or of other facts.
    """
    folders = [Shard(number, shards).folder(target.folder) for number in range(shards)]
    files = [_files(folder, facts, f"{command} shard={n}") for n, folder in enumerate(folders)]
    for name in names:
        parts = [folder / name for folder, own in zip(folders, files, strict=True) if name in own]
        if not parts:
            target.remove(name)
            continue
        with (
            target.write(name) as temporary,
            pq.ParquetWriter(temporary, pq.read_schema(parts[0])) as writer,
        ):
            for part in parts:
                file = pq.ParquetFile(part, pre_buffer=False)
                for group in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(group))
    for folder in folders:
        if not seal.unknown(folder):
            shutil.rmtree(folder)


def _files(folder: Path, facts: Mapping[str, Any], command: str) -> list[str]:
    """Names of the files of a shard, all of which are whole."""
    remedy = f"make it with `{command}`"
    if not (folder / FACTS).is_file():
        raise FileNotFoundError(f"shard {folder.name} is missing or not complete; {remedy}")
    found = json.loads(seal.check(folder, FACTS, remedy).read_text("utf-8"))
    files: list[str] = found.pop("files")
    for key, value in facts.items():
        if found[key] != value:
            raise ValueError(
                f"shard {folder.name} was made with another {key} ({found[key]}, and now it is"
                f" {value}); {remedy}"
            )
    for name in files:
        seal.check(folder, name, remedy)
    return files
