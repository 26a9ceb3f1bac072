"""Updates that are refused because a loss or a gradient is not finite: policy, words and evidence.

The batches concerned are saved in `refused/` of the run folder as safetensors, which
`safetensors.torch.load_file` reads: tensors such as `process0/batch7/fields/amount`, and as
metadata the step, the epoch, and the losses and sequence ids of every batch.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, distributed

from grap_seq import seal
from grap_seq.distributed import world_size
from grap_seq.layout import Layout
from grap_seq.settings import NONFINITE

# Sequences that a message names.
NAMED = 5


@dataclass(frozen=True)
class Nonfinite:
    """What a run does where a loss or a gradient is not finite; the update is refused in any case.

    Attributes:
        allowed: refused updates in a row after which it goes on. In a row, because a bad batch
            passes, once an epoch maybe, and a diverged model refuses every one.
        run: the run folder, where the batches are saved; None: they are not.
    """

    allowed: int = 2
    run: Path | None = None

    @classmethod
    def parse(cls, text: str, run: Path | None = None) -> Nonfinite:
        """What a valid `nonfinite` means."""
        found = re.fullmatch(NONFINITE, text)
        assert found is not None
        return cls(int(found[1] or 0), run)


@dataclass(frozen=True)
class Part:
    """A batch of an update, as one process saw it, in ordinary memory.

    Attributes:
        place: which one, such as "process0/batch7".
        losses: values by name.
        sequences: ids of its sequences.
        tensors: the batch's, by name.
    """

    place: str
    losses: dict[str, float]
    sequences: list[Any]
    tensors: dict[str, Tensor]

    @property
    def not_finite(self) -> set[str]:
        """Losses that are not finite."""
        return {name for name, value in self.losses.items() if not math.isfinite(value)}


class Refusal:
    """Why an update was refused.

    Args:
        parts: all batches of the update, of all processes.
        gradients: losses whose own gradients are not finite.

    Attributes:
        losses: those that are not finite.
        gradients: as given.
        parts: those with such losses; where all losses are finite, all of them.
    """

    def __init__(self, parts: Sequence[Part], gradients: Iterable[str]) -> None:
        self.losses = sorted({name for part in parts for name in part.not_finite})
        self.gradients = sorted(gradients)
        self.parts = [part for part in parts if part.not_finite] or list(parts)

    def __str__(self) -> str:
        ids = [one for part in self.parts for one in part.sequences]
        more = f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else ""
        return f"{self._what()} (sequences {', '.join(map(repr, ids[:NAMED]))}{more})"

    def _what(self) -> str:
        names, of = (self.losses, "") if self.losses else (self.gradients, "gradients of ")
        if not names:
            return "all losses are finite, the encoder's own gradient is not"
        if len(names) == len(self.parts[0].losses) > 1:
            return f"not finite are {of}all losses, because the embeddings are not"
        return f"not finite: {of}{', '.join(names)}"

    @staticmethod
    def path(run: Path, step: int) -> Path:
        """Where the batches of a step are saved."""
        return run / "refused" / f"step-{step:06}.safetensors"

    def save(self, run: Path, step: int, epoch: int) -> None:
        """Write the batches."""
        # JSON has no word for what is not finite.
        facts = {
            part.place: {
                "sequences": part.sequences,
                "losses": {name: str(value) for name, value in part.losses.items()},
            }
            for part in self.parts
        }
        about = {"step": step, "epoch": epoch, "batches": facts}
        tensors = {
            f"{part.place}/{name}": tensor
            for part in self.parts
            for name, tensor in part.tensors.items()
        }
        name = self.path(run, step).relative_to(run).as_posix()
        with seal.write(run, name) as temporary:
            metadata = {key: json.dumps(value, default=str) for key, value in about.items()}
            save_file(tensors, temporary, metadata)


def tensors_of(batch: Any) -> dict[str, Tensor]:
    """A batch's tensors by the names of its attributes; `sizes` are the lengths of sequences."""
    found = {}
    for attribute in dataclasses.fields(batch):
        value = getattr(batch, attribute.name)
        if isinstance(value, Layout):
            found["sizes"] = torch.from_numpy(value.sizes)
        elif isinstance(value, Tensor):
            found[attribute.name] = value
        elif isinstance(value, dict):
            found |= {f"{attribute.name}/{name}": tensor for name, tensor in value.items()}
    # Their own memory, as the format wants it.
    return {name: tensor.detach().cpu().clone() for name, tensor in found.items()}


def of_all_processes(parts: list[Part]) -> list[Part]:
    """The parts of all processes, in the order of their ranks; every process comes here."""
    if world_size() == 1:
        return parts
    gathered: list[Any] = [None] * world_size()
    distributed.all_gather_object(gathered, parts)
    return [part for process in gathered for part in process]
