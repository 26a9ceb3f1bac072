"""What a run is made from: data, of which it keeps a description."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from grap_seq.files import sha256
from grap_seq.prep.folder.verify import verify


@dataclass(frozen=True)
class MadeFrom:
    """What a run is made from.

    Attributes:
        place: where the data are.
        data: hash of the data, and of the run that is fine-tuned.
        files: text that the run keeps, by the name of its file.
    """

    place: str
    data: str
    files: Mapping[str, str]


# Looks at the data that a config names; a run may begin without.
Source: TypeAlias = Callable[[Any], MadeFrom]


def prepared_folder(config: Any) -> MadeFrom:
    """A prepared folder, of which a run keeps the schema and the vocabularies."""
    folder = Path(config.prepared)
    parts = [verify(folder).data]
    if "pretrained" in config:
        parts.append(sha256(Path(config.pretrained) / "model.safetensors"))
    kept = {name: (folder / name).read_text("utf-8") for name in ("schema.yaml", "vocab.json")}
    return MadeFrom(str(folder), hashlib.sha256(" ".join(parts).encode()).hexdigest(), kept)
