"""Memory of a training step before it is made, by a formula fitted to measured steps.

Memory is at its largest where the backward pass begins: everything that it needs is there, and
grows with the events of the batch; parameters, their gradients and Adam's moments are there always.
`benchmarks/step_memory.py` measured the bytes of all tensors of real steps on a CPU in float32 and
fitted what one number of each kind costs. What an allocator and a GPU's libraries take besides is
not in it; bfloat16 takes less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from grap_seq.layout import MAX_PADDING, Layout, Lengths
from grap_seq.nn.gru import GRUEncoder
from grap_seq.nn.ht_transformer import HTTransformerEncoder
from grap_seq.nn.transformer import TransformerEncoder
from grap_seq.objectives.composite import CompositeObjective
from grap_seq.objectives.linear_cross_entropy import LARGEST, LARGEST_ELSEWHERE
from grap_seq.objectives.targets import NEXT, SHARE

# Bytes by term, see `Sizes.terms`: python benchmarks/step_memory.py prints them.
COEFFICIENTS = {
    **{"parameters": 14.54, "columns": 8.139, "block": 11.23, "heads": 7.917, "logits": 5.141},
    **{"gru": 24.43, "tokens": 12.17, "layers": 44.17, "feedforward": 8.166},
}


@dataclass(frozen=True)
class Sizes:
    """What of a model and its losses decides about the memory of a step.

    Attributes:
        parameters: numbers in all parameters.
        by_hidden: how many of them belong to the encoder and the heads' first layers, whose number
            falls at least as fast as `hidden`.
        columns: C of the event embedding.
        width: D of the event embedding where it has a block, else 0.
        hidden: H.
        layers: of a Transformer; 0: a GRU.
        feedforward: hidden width of its layers.
        heads: hidden width of all heads together, each by the share of the events that it looks at.
        classes: those of every head that predicts a category, and that share.
        history: history tokens per token.
        max_padding: largest share of padded cells.
    """

    parameters: int
    by_hidden: int
    columns: int
    width: int
    hidden: int
    layers: int = 0
    feedforward: int = 0
    heads: float = 0.0
    classes: tuple[tuple[int, float], ...] = ()
    history: float = 0.0
    max_padding: float = MAX_PADDING

    @classmethod
    def of(cls, module: Any, max_padding: float = MAX_PADDING) -> Sizes | None:
        """Those of a module that Lightning trains; None: its encoder was never measured."""
        model = module.model
        encoder, embedding = model.encoder, model.embedding
        shape: dict[str, Any] = {}
        if isinstance(encoder, TransformerEncoder):
            layer: Any = encoder.layers[0]
            shape["layers"] = len(encoder.layers)
            shape["feedforward"] = layer.feedforward[0].out_features
            if isinstance(encoder, HTTransformerEncoder):
                shape["history"] = encoder.frequency
        elif not isinstance(encoder, GRUEncoder):
            return None
        by_hidden = list(encoder.parameters())
        objective = getattr(module, "objective", None)
        if isinstance(objective, CompositeObjective):
            by_hidden += objective.bank.parameters()
            shape |= _heads(objective)
        return cls(
            parameters=sum(p.numel() for p in module.parameters()),
            by_hidden=sum(p.numel() for p in by_hidden),
            columns=embedding.inputs,
            width=embedding.width if len(embedding.block) else 0,
            hidden=model.output_size,
            max_padding=max_padding,
            **shape,
        )

    def narrower(self) -> Sizes:
        """With half of `hidden`."""
        saved = self.by_hidden // 2
        return replace(
            self,
            hidden=self.hidden // 2,
            parameters=self.parameters - saved,
            by_hidden=self.by_hidden - saved,
        )

    def terms(self, lengths: Lengths, device: str) -> dict[str, float]:
        """Numbers of each kind that a step holds.

        Args:
            lengths: events of every row of the batch, shape (R,).
            device: type of the device, such as cuda.
        """
        events = int(lengths.sum())
        tokens = 0.0
        if self.layers:
            tokens = Layout(lengths + 1, self.max_padding).rectangles.size * (1 + self.history)
        largest = LARGEST.get(device, LARGEST_ELSEWHERE)
        logits = [count * events * share for count, share in self.classes]
        return {
            "parameters": self.parameters,
            "columns": events * self.columns,
            "block": events * self.width,
            "heads": events * self.heads,
            # Beyond a number cross-entropy makes a few at a time.
            "logits": sum(number for number in logits if number <= largest),
            "gru": 0 if self.layers else events * self.hidden,
            "tokens": tokens * self.hidden,
            "layers": tokens * self.hidden * self.layers,
            "feedforward": tokens * self.feedforward * self.layers,
        }

    def bytes(
        self,
        lengths: Lengths,
        device: str = "cpu",
        coefficients: Mapping[str, float] = COEFFICIENTS,
    ) -> float:
        """Bytes of all tensors of a step at once, its parameters and optimiser included.

        Args:
            lengths: events of every row of the batch, shape (R,).
            device: type of the device, such as cuda.
            coefficients: bytes by term.
        """
        terms = self.terms(np.asarray(lengths), device)
        return sum(coefficients[name] * number for name, number in terms.items())


def _heads(objective: CompositeObjective) -> dict[str, Any]:
    """`heads` and `classes` of an objective. CoLES looks at a position a row, which is nothing."""
    shares = {
        name: 1.0 if family == NEXT else SHARE
        for family, names in objective.names_of.items()
        for name in names
    }
    classes = []
    for name, head in objective.named_heads.items():
        output = head.output
        if isinstance(output, nn.Linear) and output.out_features > 1:
            classes.append((output.out_features, shares[name]))
    everywhere = len(objective.user_names) + (objective.downstream is not None)
    width = objective.bank.bias.shape[1]
    return {"heads": width * (sum(shares.values()) + everywhere), "classes": tuple(classes)}
