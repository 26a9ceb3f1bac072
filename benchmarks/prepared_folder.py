"""What makes a prepared folder of parts that a benchmark has written."""

from __future__ import annotations

from pathlib import Path

from grap_seq.files import write_json
from grap_seq.prep.folder.manifest import Manifest, files_of
from grap_seq.schema import Schema


def describe(folder: Path, schema: Schema) -> Manifest:
    """Write schema.yaml, an empty vocab.json and manifest.json."""
    schema.save(folder)
    write_json(folder / "vocab.json", {})
    manifest = Manifest(
        dataset=schema.name,
        splits={},
        dropped={},
        source={},
        files=files_of(folder),
        spec_hash="",
        schema_hash=schema.hash,
        versions={},
    )
    manifest.save(folder)
    return manifest
