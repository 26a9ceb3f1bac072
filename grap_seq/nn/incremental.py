"""Embeddings that are kept up to date: new events continue stored sequences."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from grap_seq.batch import Batch
from grap_seq.nn.sequence_model import SequenceModel


@dataclass(frozen=True)
class SequenceState:
    """B stored sequences of one length.

    Attributes:
        encoder: what the encoder stores.
        latest: time of the last event, shape (B,).
        events: how many there are.
        total: sum of all states and event vectors, shape (B, H + D).
        largest: their maximum, shape (B, H + D).
    """

    encoder: Any
    latest: Tensor
    events: int
    total: Tensor
    largest: Tensor


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
    vectors = model.embedding(batch).view(rows, times.shape[1], -1)
    inner = None if state is None else state.encoder
    states, last, inner = model.encoder.step(inner, vectors, times)
    both = torch.cat([states, vectors], dim=2)
    events, total, largest = both.shape[1], both.sum(1), both.amax(1)
    if state is not None:
        events, total = events + state.events, total + state.total
        largest = torch.maximum(largest, state.largest)
    hidden, mean, count = states.shape[2], total / events, total.new_full((rows, 1), events)
    inputs = torch.cat([mean[:, hidden:], largest[:, hidden:], count.log()], dim=1)
    parts = {"last": last, "mean": mean[:, :hidden], "max": largest[:, :hidden], "inputs": inputs}
    embedding = torch.cat([parts[name] for name in model.pooling.split("_")], dim=1)
    return embedding, SequenceState(inner, times[:, -1], events, total, largest)
