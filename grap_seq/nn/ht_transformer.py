"""HT-Transformer: a Transformer whose history tokens learn to summarise the past.

Source: Karpukhin, Savchenko, "HT-Transformer: Event Sequences Classification by Accumulating
Prefix Information with History Tokens" (2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from grap_seq.layout import Layout, take
from grap_seq.nn.encoder import Encoded
from grap_seq.nn.history_tokens import Placement, Selection, draw_positions, insert
from grap_seq.nn.tokens import Tokens
from grap_seq.nn.transformer import TransformerEncoder

Predict = Literal["events", "all"]


class HTTransformerEncoder(TransformerEncoder):
    """A causal Transformer that is trained through history tokens.

    While training, with probability `apply_probability` history tokens are put into all rows of a
    batch at the same positions, and events see one of them instead of what lies before it (see
    `grap_seq.nn.history_tokens`). An embedding is the output of one history token behind the last
    event, under the plain causal mask.

    With `predict="all"`, the published setting, history tokens have losses too: the downstream
    head sees them all, and CoLES the last token of a row; in evaluation, whose losses choose an
    epoch, one stands behind every last event. With "events" they learn through attention alone,
    and the last layer's output, of which an embedding is made, not at all.

    Args:
        input_size: D, width of an event's vector.
        hidden: H, width of the states.
        frequency: f, history tokens per token of the longest row.
        apply_probability: p, share of batches with history tokens.
        placement: where they stand: uniform, bias_end or bias_end_relaxed at random; full behind
            every event; last behind every row's last one, seen by no event; fixed behind the
            tokens of `positions`; none nowhere.
        positions: of placement=fixed: 0 is the start token, i the i-th event.
        selection: random, last or none.
        predict: whose outputs have losses: events, or all.
        embed_layers: "all" for the sum over the layers' outputs, or "last".
        options: of `TransformerEncoder`.

    Raises:
        ValueError: f or p outside [0, 1], an unknown choice, fixed positions that are none, or an
            option that the Transformer refuses.
    """

    def __init__(
        self,
        input_size: int,
        hidden: int = 256,
        *,
        frequency: float = 0.1,
        apply_probability: float = 0.5,
        placement: Placement = "bias_end_relaxed",
        positions: Sequence[int] = (),
        selection: Selection = "random",
        predict: Predict = "all",
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
            ("predict", predict, get_args(Predict)),
            ("embed_layers", embed_layers, ("all", "last")),
        ):
            if value not in choices:
                raise ValueError(f"{name}={value}: choose one of {', '.join(choices)}")
        whole = all(isinstance(position, int) and position >= 0 for position in positions)
        if not whole or (placement == "fixed" and not positions):
            raise ValueError(
                f"placement={placement} positions={list(positions)}: give the tokens behind which a"
                " history token stands, such as positions=[8,16]"
            )
        self.positions = torch.tensor(sorted(set(positions)), dtype=torch.int64)
        self.frequency, self.apply_probability = frequency, apply_probability
        self.placement: Placement = placement
        self.selection: Selection = selection
        self.predict: Predict = predict
        self.embed_layers = embed_layers
        # One vector is all history tokens, the one at the end among them.
        self.add_end_token()

    def encode(self, vectors: Tensor, layout: Layout, times: Tensor) -> Encoded:
        if self.training:
            # One coin for the whole batch.
            applied = self.placement != "none" and float(torch.rand(())) < self.apply_probability
            placement: Placement = self.placement if applied else "none"
        else:
            placement = "last" if self.predict == "all" else "none"
        if placement == "none":
            return super().encode(vectors, layout, times)
        history = None
        if placement == "last":
            tokens = Tokens.with_end(layout)
        else:
            history = insert(self._after(layout, placement), 1 + layout.sizes.max(), self.selection)
            tokens = Tokens.with_history(layout, history)
            history = history.sent(layout.device)
        outputs = self.run(vectors, times, tokens, history)
        states = take(outputs[-1], tokens.events)
        if self.predict == "events":
            return Encoded(states, layout.ends)
        # Losses see of a history token what an embedding is made of.
        extra = self.summary([take(output, tokens.special) for output in outputs])
        return Encoded(states, tokens.ends, extra, tokens.special_row)

    def _after(self, layout: Layout, placement: Placement) -> Tensor:
        """Real tokens, the start token is 0, behind which a history token stands, sorted."""
        lengths = torch.from_numpy(layout.sizes + 1)
        if placement == "full":
            return torch.arange(1, int(lengths.max()))
        if placement == "fixed":
            return self.positions[self.positions < lengths.max()]
        return draw_positions(lengths, self.frequency, placement)

    def summary(self, outputs: list[Tensor]) -> Tensor:
        """From a history token's output of every layer, L times (B, H)."""
        used = outputs if self.embed_layers == "all" else outputs[-1:]
        return torch.stack(used).sum(0)
