"""Which labels an encoder has learned, and so which sequences cannot judge it any more.

An encoder that labels have trained knows those of its training sequences by heart: scored on them
it would beat everything, random labels included. `model.json` says how labels were used:

- "gradient": the label's loss trained the encoder (`mode=supervised`, `mode=auxiliary`,
  `finetune`). The labelled training sequences are seen, and never scored.
- "weights": labels chose the weights of the pretraining losses (GraP). A handful of numbers cannot
  hold labels, and the encoder's gradient is that of the pretraining losses alone.
- null: labels had no part in the encoder.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from grap_seq import seal
from grap_seq.data.fraction import chosen
from grap_seq.evaluation.origin import REMEDY

Part = Literal["gradient", "weights"]


@dataclass(frozen=True)
class LabelsUsed:
    """How a run used labels.

    Attributes:
        label: The label; None without one.
        encoder: What labels were to the encoder; None: nothing.
        fraction: Share of the training split's labels that training saw, by a hash of the id.
        epoch: How the kept epoch was chosen; every choice but "last" looks at the validation split.
    """

    label: str | None
    encoder: Part | None
    fraction: float
    epoch: str

    def to_dict(self) -> dict[str, Any]:
        """As it stands in model.json under "labels"."""
        return asdict(self)

    def after(self, earlier: LabelsUsed | None) -> LabelsUsed:
        """Of a run that goes on from an earlier one: what either has seen."""
        if earlier is None or earlier.encoder != "gradient":
            return self
        # A larger part of the labels holds every smaller one.
        return LabelsUsed(self.label, "gradient", max(self.fraction, earlier.fraction), self.epoch)

    @classmethod
    def of(cls, description: dict[str, Any]) -> LabelsUsed | None:
        """From the content of a model.json; None where an older version wrote it."""
        return cls(**description["labels"]) if "labels" in description else None

    @classmethod
    def of_run(cls, run: Path) -> LabelsUsed | None:
        """From a run folder."""
        return cls.of(json.loads(seal.check(run, "model.json", REMEDY).read_text("utf-8")))

    def seen(self, ids: npt.NDArray[Any], splits: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
        """Which labelled sequences the encoder has learned the label of.

        Args:
            ids: (N,) sequence ids.
            splits: (N,) "train", "val" or "test".
        """
        if self.encoder != "gradient":
            return np.zeros(len(ids), bool)
        seen: npt.NDArray[np.bool_] = (splits == "train") & chosen(pa.array(ids), self.fraction)
        return seen
