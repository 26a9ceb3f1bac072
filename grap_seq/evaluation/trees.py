"""One fitted LightGBM: from features to probabilities, and to LightGBM's own text and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from grap_seq.evaluation.features import Array, Rows


@dataclass(frozen=True)
class Trees:
    """A classifier, or a regression.

    Attributes:
        outputs: Classes that were among the fitted labels; of a number 0 alone.
        width: Classes of the label; of a number 1.
        booster: The trees; None where one class was all there was to learn.
    """

    outputs: Rows
    width: int
    booster: lightgbm.Booster | None

    def predict(self, features: Array, threads: int | None = None) -> NDArray[np.float64]:
        """Probabilities of the classes, 0 of those absent from the fit; or a number's code.

        Args:
            features: (rows, columns).
            threads: CPU threads; None: one per core.

        Returns:
            (rows, width).
        """
        result = np.zeros((len(features), self.width))
        if self.booster is None:
            result[:, self.outputs] = 1.0
            return result
        found = np.asarray(self.booster.predict(features, num_threads=threads or 0))
        if len(self.outputs) == 2:
            # Of two classes LightGBM has the probability of the second one alone.
            found = np.stack([1 - found, found], axis=1)
        result[:, self.outputs] = found.reshape(len(features), -1)
        return result

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the trees as LightGBM writes them."""
        text = None if self.booster is None else self.booster.model_to_string()
        return {"outputs": self.outputs.tolist(), "trees": text}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], width: int) -> Trees:
        """From what `to_dict` made of them, for a label of so many outputs."""
        text = content["trees"]
        booster = None if text is None else lightgbm.Booster(model_str=text)
        return cls(np.array(content["outputs"], np.intp), width, booster)
