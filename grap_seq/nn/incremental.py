"""Embeddings that are kept up to date: new events continue stored sequences."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from grap_seq.batch import Batch
from grap_seq.nn.pooling import summary
from grap_seq.nn.sequence_model import SequenceModel


@dataclass(frozen=True)
class SequenceState:
    """B stored sequences.

    Attributes:
        encoder: what the encoder stores.
        first: time of the first event, shape (B,).
        latest: time of the last event, shape (B,).
        events: how many there are, shape (B,).
        mean: of all states and of the columns that the encoder was given, shape (B, H + C).
        spread: sum of the columns' squared distances from their mean, shape (B, C).
        largest: maximum of states and columns, shape (B, H + C).
        smallest: minimum of the columns, shape (B, C).
    """

    encoder: Any
    first: Tensor
    latest: Tensor
    events: Tensor
    mean: Tensor
    spread: Tensor
    largest: Tensor
    smallest: Tensor


@torch.no_grad()
def step(
    model: SequenceModel, state: SequenceState | None, batch: Batch
) -> tuple[Tensor, SequenceState]:
    """Embeddings after new events: those of a full pass over all events, without one.

    Args:
        model: in evaluation mode; its encoder has a `step`.
        state: what the last call returned for the same sequences, or None at their start.
        batch: their new events, all rows of one length.

    Returns:
        Embeddings, shape (B, E), and the state to store.

    Raises:
        ValueError: rows of several lengths, another number of sequences, an encoder without
            `step`, or a model in training mode.
    """
    if not hasattr(model.encoder, "step") or model.training:
        raise ValueError(
            "step continues a model with an encoder that has `step` (gru, transformer,"
            " ht_transformer), in evaluation mode: call model.eval() first"
        )
    layout, rows = batch.layout, len(batch)
    if len(set(layout.sizes.tolist())) != 1:
        raise ValueError("step takes rows of one length; group sequences by their new events")
    if state is not None and len(state.latest) != rows:
        raise ValueError(f"the state holds {len(state.latest)} sequences, {rows} came")
    times = batch.times.view(rows, -1)
    if state is not None:
        gaps = batch.gaps.clone()
        gaps[layout.starts] = (times[:, 0] - state.latest).float()
        batch = dataclasses.replace(batch, gaps=gaps)
    flat = model.embedding.columns(batch)
    columns = flat.view(rows, times.shape[1], -1)
    vectors = model.embedding.block(flat).view(rows, times.shape[1], -1)
    inner = None if state is None else state.encoder
    states, last, inner = model.encoder.step(inner, vectors, times)
    new = SequenceState(inner, times[:, 0], times[:, -1], *_statistics(states, columns))
    now = _extend(state, new)
    hidden, count = states.shape[2], now.events[:, None].to(now.mean)
    parts = {
        "last": last,
        "mean": now.mean[:, :hidden],
        "max": now.largest[:, :hidden],
        "inputs": summary(
            now.mean[:, hidden:],
            now.spread / count,
            now.largest[:, hidden:],
            now.smallest,
            count,
        ),
    }
    pooled = torch.cat([parts[name] for name in model.pooling.split("_")], dim=1)
    return model.with_recency(pooled, now.first, now.latest, count[:, 0], batch.until), now


def _statistics(states: Tensor, columns: Tensor) -> tuple[Tensor, ...]:
    """`events` to `smallest` of new events alone."""
    both = torch.cat([states, columns], dim=2)
    events = torch.full((len(both),), both.shape[1], device=both.device)
    spread = (columns - columns.mean(1, keepdim=True)).square().sum(1)
    return events, both.mean(1), spread, both.amax(1), columns.amin(1)


def _extend(old: SequenceState | None, new: SequenceState) -> SequenceState:
    """New events behind old ones; means and spreads by Chan, Golub and LeVeque (1983)."""
    if old is None:
        return new
    events, distance = old.events + new.events, new.mean - old.mean
    of_columns = distance[:, distance.shape[1] - old.spread.shape[1] :]
    between = of_columns.square() * (old.events * new.events / events)[:, None]
    return dataclasses.replace(
        new,
        first=old.first,
        events=events,
        mean=old.mean + distance * (new.events / events)[:, None],
        spread=old.spread + new.spread + between,
        largest=torch.maximum(old.largest, new.largest),
        smallest=torch.minimum(old.smallest, new.smallest),
    )
