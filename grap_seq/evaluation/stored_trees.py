"""The classifiers of an evaluation on the embedding, stored in the run for new sequences.

A file of JSON: what they were fitted on, and each one's trees in LightGBM's own text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from grap_seq import seal
from grap_seq.evaluation.origin import Origin
from grap_seq.evaluation.trees import Trees
from grap_seq.files import file_name
from grap_seq.schema import Label, Schema

CLASSIFIER = "classifier.json"


def folder_of(label: Label, schema: Schema) -> str:
    """Where in a run an evaluation of a label is: further labels have a folder each."""
    return "." if label == schema.labels[0] else f"labels/{file_name(label.name)}"


def content_of(
    fits: Sequence[Trees], label: Label, origin: Origin, eval_length: int
) -> dict[str, Any]:
    """What classifier.json says.

    Args:
        fits: classifiers on the embedding, whose predictions are averaged.
        label: what they predict.
        origin: of which model and data the embeddings are.
        eval_length: last events of a sequence that the embeddings see.
    """
    return {
        "label": label.to_dict(),
        "features": "embedding",
        "eval_length": eval_length,
        "made_of": origin.to_dict(),
        "lightgbm": lightgbm.__version__,
        "fits": [trees.to_dict() for trees in fits],
    }


class StoredTrees:
    """Predictions of the classifiers that an evaluation has stored: the mean of all its fits.

    Args:
        run: the run.
        label: what they predict.
        schema: of the run.
        model: SHA-256 of model.safetensors.

    Attributes:
        eval_length: last events of a sequence that the embeddings they know saw.

    Raises:
        FileNotFoundError: none are stored.
        ValueError: the file is damaged, or of another model or label.
    """

    def __init__(self, run: Path, label: Label, schema: Schema, model: str) -> None:
        self.label = label
        command = f"grap-seq evaluate run={run} label={label.name} store=true"
        name = (Path(folder_of(label, schema)) / CLASSIFIER).as_posix()
        if not (run / name).is_file():
            raise FileNotFoundError(
                f"{run} has nothing that predicts '{label.name}': no head that has learned it, and"
                f" no stored classifier; make one with `{command}` (`grap-seq embed` first)"
            )
        remedy = f"make it again with `{command}`"
        content = json.loads(seal.check(run, name, remedy).read_text("utf-8"))
        made_of = content["made_of"]
        # The data need not be where the model is used; their codes are those of the model.
        Origin(model, made_of["data"]).check(made_of, run / name, remedy)
        if Label.from_dict(content["label"]) != label:
            raise ValueError(
                f"{run / name} predicts another '{label.name}' than the data of the run; {remedy}"
            )
        self.eval_length = int(content["eval_length"])
        self._fits = [Trees.from_dict(fit, label.outputs) for fit in content["fits"]]

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Embeddings (R, E) to (R, label.outputs): probabilities, or the code of a number."""
        found: NDArray[np.float64] = np.mean([fit.predict(vectors) for fit in self._fits], axis=0)
        return found
