"""HT-Transformer: a Transformer whose history tokens learn to summarise the past.

Source: Karpukhin, Savchenko, "HT-Transformer: Event Sequences Classification by Accumulating
Prefix Information with History Tokens" (2025).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from ptls.data_load.padded_batch import PaddedBatch
from torch import Tensor

from grap_seq.nn.history_tokens import Placement, Selection, insert, place
from grap_seq.nn.transformer import TransformerEncoder


class HTTransformerEncoder(TransformerEncoder):
    """A causal Transformer that is sometimes trained through history tokens.

    While training, with probability `apply_probability` history tokens are put into all rows of a
    rectangle at the same places, and events see one of them instead of what lies before it (see
    `grap_seq.nn.history_tokens`). Losses see the states of real events alone. An embedding is the
    output of one history token behind the last event, under the plain causal mask.

    Args:
        input_size: D, width of an event's vector.
        hidden: H, width of the states.
        frequency: f, history tokens per token of the longest row.
        apply_probability: p, share of batches with history tokens.
        placement: uniform, bias_end or bias_end_relaxed.
        selection: random, last or none.
        embed_layers: "all" for the sum over the layers' outputs, or "last".
        options: of `TransformerEncoder`.

    Raises:
        ValueError: f or p outside [0, 1], an unknown choice, or an option that the Transformer
            refuses.
    """

    def __init__(
        self,
        input_size: int,
        hidden: int = 256,
        *,
        frequency: float = 0.1,
        apply_probability: float = 0.5,
        placement: Placement = "bias_end_relaxed",
        selection: Selection = "random",
        embed_layers: Literal["all", "last"] = "all",
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden, **options)
        for name, share in (("frequency", frequency), ("apply_probability", apply_probability)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name}={share}: it must lie in [0, 1]")
        for name, value, choices in (
            ("placement", placement, get_args(Placement)),
            ("selection", selection, get_args(Selection)),
            ("embed_layers", embed_layers, ("all", "last")),
        ):
            if value not in choices:
                raise ValueError(f"{name}={value}: choose one of {', '.join(choices)}")
        self.frequency, self.apply_probability = frequency, apply_probability
        self.placement: Placement = placement
        self.selection: Selection = selection
        self.embed_layers = embed_layers
        # One vector is all history tokens, the one at the end among them.
        self.add_end_token()

    def forward(self, batch: PaddedBatch, times: Tensor) -> PaddedBatch:
        """Payload (B, T, D) and times (B, T) to the states of real events, (B, T, H)."""
        if not self.training or torch.rand(()) >= self.apply_probability:
            return super().forward(batch, times)
        tokens, since = self.tokens(batch.payload, times)
        after = place(batch.seq_lens + 1, self.frequency, self.placement)
        history = insert(after, tokens.shape[1], self.selection)
        assert self.end is not None
        mixed = torch.where(
            history.special[:, None], self.end.to(tokens.dtype), tokens[:, history.source]
        )
        states = self.run(mixed, since[:, history.source], history)[-1]
        return PaddedBatch(states[:, ~history.special][:, 1:], batch.seq_lens)

    def _embedding(self, outputs: list[Tensor]) -> Tensor:
        """From a history token's output of every layer, L times (B, H)."""
        used = outputs if self.embed_layers == "all" else outputs[-1:]
        return torch.stack(used).sum(0)
