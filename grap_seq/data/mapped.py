"""A split as one file that can be mapped into memory.

Parquet cannot be sliced inside a row, so the parts are copied once to an uncompressed Arrow file in
the folder's cache. Its checksum is recorded when it is written, and checked once per state.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from grap_seq import seal
from grap_seq.files import sha256
from grap_seq.prep.folder.manifest import MANIFEST
from grap_seq.prep.folder.verify import CACHE, Memory, cache_of


def mapped(folder: Path, split: str) -> Path | None:
    """The mappable copy of a split of a verified folder; None for an empty split.

    Raises:
        ValueError: the copy is damaged.
    """
    parts = sorted((folder / split).glob("part-*.parquet"))
    if not parts:
        return None
    name = f"{split}-{sha256(folder / MANIFEST)[:16]}.arrow"
    # A folder that cannot be written may bring its cache along.
    for cache in (folder / CACHE, cache_of(folder)):
        if (cache / name).is_file() and seal.records(cache).get(name):
            _check(cache, name, Memory(folder))
            return cache / name
    return _copy(parts, cache_of(folder), name)


def copies(cache: Path) -> list[str]:
    """Names of the copies in a cache that their writer has recorded."""
    return sorted(name for name in seal.records(cache) if (cache / name).is_file())


def _check(cache: Path, name: str, memory: Memory) -> None:
    known = {record["sha256"] for record in seal.records(cache)[name]}
    if not any(memory.intact(cache / name, checksum) for checksum in known):
        raise ValueError(
            f"{cache / name} is damaged: its bytes have another checksum than when it was written;"
            " delete it, and it is made again from the parts"
        )
    memory.save()


def _copy(parts: list[Path], cache: Path, name: str) -> Path:
    for stale in cache.glob(f"{name.partition('-')[0]}-*.arrow"):
        stale.unlink()
    with (
        seal.write(cache, name) as temporary,
        pa.ipc.new_file(temporary, pq.read_schema(parts[0])) as writer,
    ):
        for part in parts:
            # By default the whole part would be read ahead into memory.
            file = pq.ParquetFile(part, pre_buffer=False, buffer_size=1 << 20)
            for batch in file.iter_batches(batch_size=4096):
                writer.write_batch(batch)
    return cache / name
