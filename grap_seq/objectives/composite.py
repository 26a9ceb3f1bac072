"""All losses of a run on one batch: their heads share the fused first layer of a `HeadBank`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from ptls.data_load.padded_batch import PaddedBatch
from torch import Tensor, nn

from grap_seq.data.batch import OWNER, WINDOW
from grap_seq.data.labels import LABEL, UNLABELLED
from grap_seq.distributed import gathered, world_size
from grap_seq.nn.build import build
from grap_seq.nn.positions import flatten, label_positions, last_positions, lengths
from grap_seq.objectives.coles import ColesHead, Reduction
from grap_seq.objectives.downstream import DownstreamHead
from grap_seq.objectives.next_event import CategoryHead, NextEvents, NumberHead, TimeHead
from grap_seq.schema import Schema
from grap_seq.weighting.base import DOWNSTREAM, Weighting
from grap_seq.weighting.head_bank import HeadBank

COLES, NEXT_TIME = "coles", "time"
Losses = dict[str, Tensor]


def loss_names(
    schema: Schema, next_event: bool = True, coles: bool = True, own: Iterable[str] = ()
) -> list[str]:
    """Names of the pretraining losses: CoLES, the time, the fields in schema order, `own` ones.

    Raises:
        ValueError: no loss is chosen, a field is called "coles" or "time", or an own loss has the
            name of another one.
    """
    fields = [field.name for field in schema.fields]
    reserved = {COLES, NEXT_TIME, DOWNSTREAM} & set(fields)
    if reserved:
        raise ValueError(f"field {sorted(reserved)[0]!r} has the name of a loss; rename the column")
    names = [COLES] if coles else []
    if next_event:
        names += [NEXT_TIME, *fields]
    for name in own:
        if name in (*names, DOWNSTREAM):
            raise ValueError(
                f"objective.losses: a loss called {name!r} exists; choose another name"
            )
        names.append(name)
    if not names:
        raise ValueError("objective: choose next_event=true, coles=true, or both")
    return names


class CompositeObjective(nn.Module):
    """Next-event, CoLES and downstream losses of a batch.

    After a forward pass, `counts` has by name the numbers of entries that this process's losses
    are means over, shape () each; not of the user's own losses.

    Args:
        schema: the data's schema.
        weighting: weighting of the losses `loss_names` gives.
        features: H, width of the encoder's states.
        width: M, hidden width of every head.
        max_time_gap: clip of the time target, in the schema's unit.
        time_jitter: width of the uniform noise on the time target.
        condition_values: predict numbers with a `by` category given that category.
        coles_margin: margin of the contrastive loss.
        coles_negatives: hard negatives per sub-sequence.
        coles_reduction: "mean" per pair, or "sum" as in the paper's configurations.
        losses: losses of the user's by name, each a `class` (dotted path) with its options. It is
            called with the schema and M, and is a module from hidden pre-activations (N, M) of all
            valid positions and the batch, fields, to a loss of shape ().
    """

    def __init__(
        self,
        schema: Schema,
        weighting: Weighting,
        features: int,
        *,
        width: int = 128,
        max_time_gap: float = 8.0,
        time_jitter: float = 1.0,
        condition_values: bool = True,
        coles_margin: float = 0.5,
        coles_negatives: int = 5,
        coles_reduction: Reduction = "mean",
        losses: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        self.bank = HeadBank(weighting, features, width)
        sizes = {field.name: field.size for field in schema.categorical}
        chosen = set(weighting.names)
        heads: dict[str, nn.Module] = {}
        if NEXT_TIME in chosen:
            heads[NEXT_TIME] = TimeHead(width, max_time_gap, time_jitter)
        for field in schema.fields:
            if field.name in chosen and field.kind == "categorical":
                heads[field.name] = CategoryHead(field, width)
            elif field.name in chosen:
                size = sizes[field.by] if condition_values and field.by else None
                heads[field.name] = NumberHead(field, width, size)
        # A list: a ModuleDict refuses names such as "type" or "a.b".
        self.next_event_names, self.next_event = list(heads), nn.ModuleList(heads.values())
        self.coles = (
            ColesHead(
                width,
                margin=coles_margin,
                negatives=coles_negatives,
                reduction=coles_reduction,
            )
            if COLES in chosen
            else None
        )
        own = {name: build(options, schema, width) for name, options in (losses or {}).items()}
        self.own_names, self.own = list(own), nn.ModuleList(own.values())
        self.downstream = DownstreamHead(width, len(schema.classes)) if schema.classes else None
        self.local_labels = schema.local_labels
        self.counts: dict[str, Tensor] = {}

    @property
    def weighting(self) -> Weighting:
        """The weighting inside the bank."""
        return self.bank.weighting

    def forward(self, groups: Sequence[PaddedBatch], states: Sequence[PaddedBatch]) -> Losses:
        """Losses, shape () each, by name; "downstream" among them where the data have a label.

        Add them all up and call `backward`: the bank weighs them on the way to the encoder.

        Args:
            groups: the batch, fields.
            states: the encoder's output for it, payload (B, T, H).
        """
        hidden = self.bank(flatten(states))
        losses: Losses = {}
        self.counts = {}
        owners, windows = (
            torch.cat([group.payload[name] for group in groups]) for name in (OWNER, WINDOW)
        )
        if self.coles is not None:
            ends = last_positions(groups)[~windows]
            losses[COLES] = self.coles(hidden[COLES][ends], owners[~windows])
            self.counts[COLES] = _pairs(gathered(owners[~windows]), self.coles)
        if self.next_event:
            # Where windows come beside their sub-sequences, the next events are theirs.
            events = NextEvents.of(groups, windows if windows.any() else None)
            for name, head in zip(self.next_event_names, self.next_event, strict=True):
                losses[name] = head(hidden[name], events)
                valid = events.has_next
                if isinstance(head, NumberHead):
                    valid = valid & ~events.shifted(flatten(groups, name)).isnan()
                self.counts[name] = valid.sum()
        for name, head in zip(self.own_names, self.own, strict=True):
            losses[name] = head(hidden[name], groups)
        if self.downstream is not None:
            labels = torch.cat([group.payload[LABEL] for group in groups])
            if self.local_labels:
                labelled = hidden[DOWNSTREAM][label_positions(groups)]
                losses[DOWNSTREAM] = self.downstream.loss(labelled, labels)
                self.counts[DOWNSTREAM] = (labels != UNLABELLED).sum()
            else:
                losses[DOWNSTREAM] = self.downstream(hidden[DOWNSTREAM], labels, lengths(groups))
                self.counts[DOWNSTREAM] = (lengths(groups) * (labels != UNLABELLED)).sum()
        return losses


def _pairs(owners: Tensor, head: ColesHead) -> Tensor:
    """This process's share of the pairs that the contrastive loss of all rows is a mean over.

    Every process computes the whole of it. A sum is one entry.
    """
    if head.reduction == "sum":
        return torch.ones_like(owners.sum()) / world_size()
    same = owners[:, None] == owners[None, :]
    pairs = same.triu(1).sum() + (~same).sum(1).clamp(max=head.negatives).sum()
    return pairs / world_size()
