"""Models are stored without pickle: parameters as safetensors, the rest as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grap_seq import seal
from grap_seq.evaluation.parameters import write
from grap_seq.nn.sequence_model import SequenceModel

WEIGHTS = "model.safetensors"


def save(model: SequenceModel, description: dict[str, Any], run: Path) -> None:
    """Write model.safetensors and model.json into a run, which has its schema and vocabularies.

    Raises:
        ValueError: a parameter is not finite.
    """
    from grap_seq.prep.folder.state import State

    made = {"weights": write(model, run, WEIGHTS), "codes": State.load(run).codes}
    seal.write_json(run, "model.json", description | made)
