"""The head of a run that the label has trained, stored beside the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from grap_seq.evaluation.parameters import fill, read, write
from grap_seq.nn.label_head import build_head
from grap_seq.schema import Label

HEAD = "head.safetensors"


def write_head(head: nn.Module, run: Path, label: Label, hidden: int) -> dict[str, Any]:
    """Write head.safetensors into a run; returns what model.json says about it under "head".

    Args:
        head: of `build_head`.
        run: the run.
        label: what it predicts.
        hidden: width of its hidden layer; 0: it has none.

    Raises:
        ValueError: a parameter is not finite.
    """
    return {"label": label.name, "hidden": hidden, "weights": write(head, run, HEAD)}


class StoredHead:
    """Predictions of a run's own head.

    Args:
        run: the run.
        description: what model.json says about the head.
        label: what it predicts.
        size: E, numbers in an embedding.

    Raises:
        FileNotFoundError: head.safetensors is missing.
        ValueError: it is damaged, of another model, or not finite.
    """

    def __init__(self, run: Path, description: Mapping[str, Any], label: Label, size: int) -> None:
        self.label = label
        self._head = build_head(size, label.outputs, description["hidden"])
        fill(self._head, read(run, HEAD, description["weights"]), run)
        self._head.eval()

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Embeddings (R, E) to (R, label.outputs): probabilities, or the code of a number."""
        with torch.inference_mode():
            outputs = self._head(torch.from_numpy(vectors)).double()
        found: NDArray[np.float64] = (outputs.softmax(1) if self.label.classes else outputs).numpy()
        return found
