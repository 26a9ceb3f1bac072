"""HT-Transformer: a Transformer whose history tokens learn to summarise the past.

Source: Karpukhin, Savchenko, "HT-Transformer: Event Sequences Classification by Accumulating
Prefix Information with History Tokens" (2025).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from ptls.data_load.padded_batch import PaddedBatch
from torch import Tensor, nn

from grap_seq.nn.history_tokens import Placement, Selection, insert, place
from grap_seq.nn.transformer import TransformerEncoder, TransformerState


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
        self.history = nn.Parameter(torch.randn(hidden))

    def forward(self, batch: PaddedBatch, times: Tensor) -> PaddedBatch:
        """Payload (B, T, D) and times (B, T) to the states of real events, (B, T, H)."""
        if not self.training or torch.rand(()) >= self.apply_probability:
            # The history token takes part all the same: no parameter is ever without gradient.
            plain = super().forward(batch, times)
            return PaddedBatch(plain.payload + 0 * self.history.sum(), plain.seq_lens)
        tokens, since = self.tokens(batch.payload, times)
        after = place(batch.seq_lens + 1, self.frequency, self.placement)
        history = insert(after, tokens.shape[1], self.selection)
        mixed = torch.where(
            history.special[:, None], self.history.to(tokens.dtype), tokens[:, history.source]
        )
        states = self.run(mixed, since[:, history.source], history.mask())[-1]
        return PaddedBatch(states[:, ~history.special][:, 1:], batch.seq_lens)

    def summarise(self, batch: PaddedBatch, times: Tensor) -> tuple[PaddedBatch, Tensor]:
        """States, and the output of a history token behind every row's last event, (B, H)."""
        tokens, since = self.tokens(batch.payload, times)
        rows = torch.arange(len(tokens), device=tokens.device)
        # The start token shifts events by one: a row's last event stands at its length.
        end = batch.seq_lens
        tokens = torch.cat([tokens, tokens[:, :1]], dim=1)
        since = torch.cat([since, since[:, :1]], dim=1)
        tokens[rows, end + 1] = self.history.to(tokens.dtype)
        since[rows, end + 1] = since[rows, end]
        outputs = self.run(tokens, since)
        last = self._embedding([output[rows, end + 1] for output in outputs])
        return PaddedBatch(outputs[-1][:, 1:-1], end), last

    def _last(self, outputs: list[Tensor], state: TransformerState) -> Tensor:
        """Output of a history token behind the stored events; it is not stored itself."""
        token = self.history.to(outputs[-1].dtype).expand(len(outputs[-1]), 1, -1)
        extended, _ = self._layers(token, state.latest, None, state.caches)
        return self._embedding([output[:, -1] for output in extended])

    def _embedding(self, outputs: list[Tensor]) -> Tensor:
        """From a history token's output of every layer, L times (B, H)."""
        used = outputs if self.embed_layers == "all" else outputs[-1:]
        return torch.stack(used).sum(0)
