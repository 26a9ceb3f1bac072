"""From embeddings to the label: by a run's own head, or else by stored classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from grap_seq.schema import Label

if TYPE_CHECKING:
    from grap_seq.evaluation.model import EmbeddingModel


class Predictor(Protocol):
    """What predicts a label."""

    label: Label

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Embeddings (R, E) to (R, label.outputs): probabilities, or the code of a number."""


def predictor_of(model: EmbeddingModel, name: str | None) -> Predictor:
    """What predicts a label in the run of a model.

    Args:
        model: of the run.
        name: of the label; None: the one that the run's head has learned, else the first.

    Raises:
        FileNotFoundError: the run has no head that has learned the label, and no classifiers.
        ValueError: no such label, or a damaged file.
    """
    head = model.description.get("head")
    label = model.schema.label(head["label"] if head and name is None else name)
    if label is None:
        raise ValueError(
            f"{model.run} was trained on data without a label, so there is nothing to predict: name"
            " a label in the dataset's description and prepare it again"
        )
    if head and head["label"] == label.name:
        from grap_seq.evaluation.stored_head import StoredHead

        return StoredHead(model.run, head, label, model.model.embedding_size)
    from grap_seq.evaluation.stored_trees import StoredTrees

    trees = StoredTrees(model.run, label, model.schema, model.description["weights"])
    if trees.eval_length != model.eval_length:
        raise ValueError(
            f"the classifier of '{label.name}' knows embeddings of the last {trees.eval_length}"
            f" events, not {model.eval_length}: set model.eval_length to {trees.eval_length}, or"
            " embed and evaluate again"
        )
    return trees


def predicts(model: EmbeddingModel) -> bool:
    """Whether the run of a model has anything that predicts its usual label."""
    label = model.schema.label()
    if label is None or model.description.get("head"):
        return label is not None
    from grap_seq.evaluation.stored_trees import CLASSIFIER, folder_of

    return (model.run / folder_of(label, model.schema) / CLASSIFIER).is_file()
