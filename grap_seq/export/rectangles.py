"""A trained model as one function of padded rectangles, for runtimes that know no flat batches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan
from torch.nn import functional as F

from grap_seq.nn.attention import CachedAttention
from grap_seq.nn.gru import GRUEncoder
from grap_seq.nn.pooling import summary
from grap_seq.nn.recency import recency
from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.nn.transformer import TransformerEncoder

# Shapes: B rows, T events of the longest one, H width, C columns.


@dataclass(frozen=True)
class Flat:
    """What the embedding of events reads."""

    fields: dict[str, Tensor]
    gaps: Tensor


class Rectangles(nn.Module):
    """Padded events to embeddings (B, E).

    What stands behind a row's last event is never looked at.

    Args:
        model: a trained model, on the CPU.
        static: fields with one value a row.

    Raises:
        ValueError: its encoder is none of grap_seq's own.
    """

    def __init__(self, model: SequenceModel, static: tuple[str, ...] = ()) -> None:
        super().__init__()
        if not isinstance(model.encoder, GRUEncoder | TransformerEncoder):
            raise ValueError(
                f"{type(model.encoder).__name__} cannot be exported: write its forward pass over"
                " rectangles, or use gru, transformer or ht_transformer"
            )
        self.model, self.static = model.eval(), static

    def forward(
        self, fields: dict[str, Tensor], times: Tensor, lengths: Tensor, until: Tensor | None = None
    ) -> Tensor:
        """Embeddings (B, E).

        Args:
            fields: codes (B, T) int64, numbers (B, T) float32 with NaN where missing; static ones
                (B,).
            times: of the events, in the data's unit, (B, T) float64.
            lengths: events of each row, (B,) int64.
            until: up to when each row was observed, (B,) float64, for models with recency.
        """
        model, (rows, steps) = self.model, times.shape
        place = torch.arange(steps, device=times.device)
        real = place[None, :] < lengths[:, None]
        gaps = F.pad(times[:, 1:] - times[:, :-1], (1, 0)).float()
        flat = {
            name: (value[:, None].expand(rows, steps) if name in self.static else value).flatten()
            for name, value in fields.items()
        }
        columns = model.embedding.columns(Flat(flat, gaps.flatten())).view(rows, steps, -1)
        vectors = model.embedding.block(columns.flatten(0, 1)).view(rows, steps, -1)
        ends = (lengths - 1)[:, None]
        if isinstance(model.encoder, GRUEncoder):
            states = _recurrent(model.encoder.rnn, vectors)
            last = _at(states, ends)
        else:
            states, last = self._attended(model.encoder, vectors, times, lengths)
        pooled = self._pooled(columns, states, last, real, lengths)
        first, latest = times[:, 0], times.gather(1, ends).squeeze(1)
        if model.recency is None:
            return pooled
        assert until is not None
        return torch.cat([pooled, recency(first, latest, lengths, until, model.recency)], dim=1)

    def _attended(
        self, encoder: TransformerEncoder, vectors: Tensor, times: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """States (B, T, H), and what stands for the last one, (B, H)."""
        rows, steps, _ = vectors.shape
        since = times - times[:, :1]
        tokens = torch.cat([encoder.start.expand(rows, 1, -1), encoder.projection(vectors)], dim=1)
        since = F.pad(since, (1, 0))
        place = torch.arange(steps + 1, device=times.device)
        mask = (place[None, :] <= place[:, None]).expand(rows, -1, -1)
        if encoder.end is not None:
            # Behind all events, and seeing those of its own row.
            tokens = torch.cat([tokens, encoder.end.expand(rows, 1, -1)], dim=1)
            since = torch.cat([since, since.gather(1, lengths[:, None])], dim=1)
            seen = place[None, :] <= lengths[:, None]
            mask = F.pad(mask, (0, 1))
            row = F.pad(seen, (0, 1), value=True)[:, None, :]
            mask = torch.cat([mask, row], dim=1)
        angles = encoder.time_encoding.angles(since) if encoder.rotary else None
        seeing = [CachedAttention(encoder.heads, None, angles, mask) for _ in encoder.layers]
        tokens, outputs = encoder.enter(tokens, since), []
        for layer, attention in zip(encoder.layers, seeing, strict=True):
            tokens = layer(tokens, attention)
            outputs.append(tokens)
        at = lengths if encoder.end is None else torch.full_like(lengths, steps + 1)
        last = encoder.summary([_at(output, at[:, None]) for output in outputs])
        return tokens[:, 1 : steps + 1], last

    def _pooled(
        self, columns: Tensor, states: Tensor, last: Tensor, real: Tensor, lengths: Tensor
    ) -> Tensor:
        mask, count = real[:, :, None], lengths[:, None].to(states.dtype)
        parts = []
        for part in self.model.pooling.split("_"):
            if part == "last":
                parts.append(last)
            elif part == "mean":
                parts.append(_sum(states, mask) / count)
            elif part == "max":
                parts.append(states.masked_fill(~mask, -torch.inf).amax(1))
            else:
                mean = _sum(columns, mask) / count
                variance = _sum((columns - mean[:, None]).square(), mask) / count
                largest = columns.masked_fill(~mask, -torch.inf).amax(1)
                smallest = columns.masked_fill(~mask, torch.inf).amin(1)
                parts.append(summary(mean, variance, largest, smallest, count))
        return torch.cat(parts, dim=1)


def _recurrent(rnn: nn.GRU, vectors: Tensor) -> Tensor:
    """States (B, T, H) of a GRU; PyTorch's own would be exported for this T alone."""
    parameters = dict(rnn.named_parameters())
    weight, bias = parameters["weight_hh_l0"], parameters["bias_hh_l0"]
    of_inputs = F.linear(vectors, parameters["weight_ih_l0"], parameters["bias_ih_l0"])

    def step(state: Tensor, of_input: Tensor) -> tuple[Tensor, Tensor]:
        of_state = state @ weight.T + bias
        reset, update, new = of_input.chunk(3, 1)
        reset_state, update_state, new_state = of_state.chunk(3, 1)
        gate = torch.sigmoid(update + update_state)
        fresh = torch.tanh(new + torch.sigmoid(reset + reset_state) * new_state)
        state = fresh + gate * (state - fresh)
        # What is carried on and what is kept must not be one tensor.
        return state, state.clone()

    start = vectors.new_zeros(vectors.shape[0], rnn.hidden_size)
    _, states = scan(step, start, of_inputs.transpose(0, 1))
    stacked: Tensor = states
    return stacked.transpose(0, 1)


def _at(values: Tensor, place: Tensor) -> Tensor:
    """Values (B, H) at a place (B, 1) of each row."""
    return values.gather(1, place[:, :, None].expand(-1, -1, values.shape[2])).squeeze(1)


def _sum(values: Tensor, mask: Tensor) -> Tensor:
    return values.masked_fill(~mask, 0).sum(1)
