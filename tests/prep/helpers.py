"""Small tables for the preparation tests."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from grap_seq.prep.folder.manifest import Manifest, files_of

SPEC: dict[str, Any] = {
    "name": "shop",
    "id": "client",
    "time": "when",
    "time_unit": "day",
    "categorical": ["kind"],
    "numerical": {"amount": {"clip": [0, 1]}},
    "split": {"validation": 0, "test": 0},
}
GOOD = "client,when,kind,amount\n1,0,a,1\n1,1,b,3\n2,0,a,5\n3,2,a,7\n"


def write_source(folder: Path, csv: str = GOOD, **changes: Any) -> Path:
    """events.csv with its YAML beside it; returns the table's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "events.csv").write_text(csv, "utf-8")
    (folder / "events.yaml").write_text(yaml.safe_dump({**SPEC, **changes}), "utf-8")
    return folder / "events.csv"


def packed(content: bytes, ending: str) -> bytes:
    """Content of a file whose name has an ending such as csv.gz."""
    if ending.lower().endswith(".gz"):
        return gzip.compress(content)
    if ending.lower().endswith(".zst"):
        return bytes(pa.compress(content, "zstd", asbytes=True))
    return content


def rows_of(folder: Path, split: str = "train") -> list[dict[str, Any]]:
    """The sequences of one split."""
    return list(pq.read_table(folder / split).to_pylist())


def content_of(folder: Path, *, manifest: bool = False) -> dict[str, bytes]:
    """Bytes of every file; the manifest also names the source, which some tests vary."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (manifest or path.name != "manifest.json")
    }


def rewrite_manifest(folder: Path) -> None:
    """Let manifest.json agree with files that a test has changed."""
    manifest = Manifest.load(folder)
    dataclasses.replace(manifest, files=files_of(folder)).save(folder)
