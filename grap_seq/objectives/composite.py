"""All losses of a run on one batch: their heads share the fused first layer of a `HeadBank`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from grap_seq.batch import Batch
from grap_seq.names import nearest
from grap_seq.nn.build import build
from grap_seq.nn.encoder import Encoded
from grap_seq.objectives.coles import ColesHead, Reduction
from grap_seq.objectives.downstream import DownstreamHead
from grap_seq.objectives.linear_cross_entropy import in_chunks
from grap_seq.objectives.means import Mean, Sum, means
from grap_seq.objectives.next_event import CategoryHead, NumberHead, TimeBins, TimeHead
from grap_seq.objectives.targets import FAMILIES, NEXT, Targets, draw, loss_name
from grap_seq.schema import Field, Schema
from grap_seq.weighting.base import DOWNSTREAM, Weighting
from grap_seq.weighting.head_bank import HeadBank

COLES, NEXT_TIME = "coles", "time"
Losses = dict[str, Tensor]


def loss_names(
    schema: Schema,
    targets: Iterable[str] = (NEXT,),
    coles: bool = True,
    users: Iterable[str] = (),
) -> list[str]:
    """Names of the pretraining losses: CoLES; of each family the time and the fields; the user's.

    Raises:
        ValueError: no loss is chosen, an unknown family of targets, or two losses have one name.
    """
    names = [COLES] if coles else []
    for family in targets:
        if family not in FAMILIES:
            raise ValueError(
                f"objective.targets: {family!r} is no kind of event to predict; choose among"
                f" {', '.join(FAMILIES)}"
            )
        fields = (NEXT_TIME, *(field.name for field in schema.fields))
        names += [loss_name(family, field) for field in fields]
    taken, times = {COLES, NEXT_TIME, DOWNSTREAM}, Counter(names)
    for field in schema.fields:
        if field.name in taken or times[field.name] > 1:
            raise ValueError(f"field {field.name!r} has the name of a loss; rename the column")
    for name in users:
        if name in (*names, DOWNSTREAM):
            raise ValueError(
                f"objective.losses: a loss called {name!r} exists; choose another name"
            )
        names.append(name)
    if not names:
        raise ValueError("objective: choose targets=[next], coles=true, or both")
    return names


class CompositeObjective(nn.Module):
    """Losses of target events, CoLES and the downstream loss of a batch.

    After a forward pass, `counts` has by name the numbers of entries that this process's losses
    are means over, shape () each; not of the user's own losses.

    Args:
        schema: the data's schema.
        weighting: weighting of the losses `loss_names` gives.
        features: H, width of the encoder's states.
        width: M, hidden width of every head.
        targets: families of target events, see `grap_seq.objectives.targets`.
        max_time_gap: clip of the time target, in the schema's unit.
        time_jitter: width of the uniform noise on the time target.
        time_scale: the gap that counts as one in the time loss.
        time_edges: upper edges of the bins of the time target; None: it is a number.
        condition_values: predict numbers with a `by` category given that category.
        coles_margin: margin of the contrastive loss.
        coles_negatives: hard negatives per sub-sequence.
        coles_reduction: "mean" per pair, or "sum" as in the paper's configurations.
        label: which of the schema's labels is the downstream task; None: the first.
        scales: factors of losses by name, to see what a weighting makes of a bad scale.
        losses: losses of the user's by name, each a `class` (dotted path) with its options. It is
            called with the schema and M, and is a module from hidden pre-activations (N, M) of all
            events and the batch to a loss of shape ().

    Attributes:
        counts: this process's entries of the last forward pass's means, shape () each; a loss of
            the user's counts as a mean over events.

    Raises:
        ValueError: `scales` names a loss that there is not.
    """

    def __init__(
        self,
        schema: Schema,
        weighting: Weighting,
        features: int,
        *,
        width: int = 128,
        targets: Sequence[str] = (NEXT,),
        max_time_gap: float = 8.0,
        time_jitter: float = 1.0,
        time_scale: float = 1.0,
        time_edges: list[float] | None = None,
        condition_values: bool = True,
        coles_margin: float = 0.5,
        coles_negatives: int = 5,
        coles_reduction: Reduction = "mean",
        scales: Mapping[str, float] | None = None,
        losses: Mapping[str, Mapping[str, Any]] | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__()
        self.scales = dict(scales or {})
        for name in self.scales:
            if name not in weighting.names:
                raise ValueError(
                    f"objective.scales: no loss {name!r}; {nearest(name, weighting.names)}"
                )
        self.bank = HeadBank(weighting, features, width)
        sizes = {field.name: field.size for field in schema.categorical}

        def head(field: Field) -> nn.Module:
            if field.kind == "categorical":
                return CategoryHead(field, width)
            size = sizes[field.by] if condition_values and field.by else None
            return NumberHead(field, width, size)

        def time() -> nn.Module:
            if time_edges is None:
                return TimeHead(width, max_time_gap, time_jitter, time_scale)
            return TimeBins(width, time_edges)

        chosen = set(weighting.names)
        self.names_of: dict[str, list[str]] = {}
        heads: list[nn.Module] = []
        for family in targets:
            made = {loss_name(family, NEXT_TIME): time()}
            made |= {loss_name(family, field.name): head(field) for field in schema.fields}
            self.names_of[family] = [name for name in made if name in chosen]
            heads += [made[name] for name in self.names_of[family]]
        # A list: a ModuleDict refuses names such as "type" or "a.b".
        self.heads = nn.ModuleList(heads)
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
        users = {name: build(options, schema, width) for name, options in (losses or {}).items()}
        self.user_names, self.users = list(users), nn.ModuleList(users.values())
        self.counts: Losses = {}
        downstream = schema.label(label)
        self.downstream = None if downstream is None else DownstreamHead(width, downstream)

    @property
    def named_heads(self) -> dict[str, nn.Module]:
        """Heads of the target events' losses, by the names of these."""
        names = [name for family in self.names_of.values() for name in family]
        return dict(zip(names, self.heads, strict=True))

    @property
    def weighting(self) -> Weighting:
        """The weighting inside the bank."""
        return self.bank.weighting

    def forward(self, batch: Batch, encoded: Encoded) -> Losses:
        """Losses, shape () each, by name; "downstream" among them where the data have a label.

        Add them all up and call `backward`: the bank weighs them on the way to the encoder.

        Args:
            batch: the batch.
            encoded: the encoder's output for it.
        """
        # The bank wants the positions of a view in rising order.
        ends, order = encoded.ends[batch.views].sort()
        targets = draw(batch, self.names_of)
        positions = {} if self.coles is None else {COLES: ends}
        for family, names in self.names_of.items():
            where = targets[family].positions
            positions |= {} if where is None else dict.fromkeys(names, where)
        if batch.label_events is not None:
            positions[DOWNSTREAM] = batch.label_events
        hidden = self.bank(encoded.all, positions)
        for name in hidden.keys() - positions.keys() - {DOWNSTREAM}:
            hidden[name] = _of_events(hidden[name], batch)
        found: dict[str, Mean] = {}
        if self.coles is not None:
            owners = batch.owners[batch.views][order]
            found[COLES] = self.coles(hidden[COLES], owners, batch.view_owners)
        labels = None if self.downstream is None else downstream_targets(batch, encoded)
        sums = self._sums_in_chunks(hidden, batch, targets)
        sums |= self._sums(hidden, batch, targets, labels)
        found |= zip(sums, means(*sums.values()), strict=True)
        for name, user in zip(self.user_names, self.users, strict=True):
            loss = user(hidden[name], batch)
            found[name] = Mean(loss, torch.full_like(loss, batch.events))
        ordered = [name for name in self.weighting.views if name in found]
        self.counts = {name: found[name].entries for name in ordered}
        losses = {name: found[name].loss for name in ordered}
        return losses | {name: factor * losses[name] for name, factor in self.scales.items()}

    def compile_parts(self, **options: Any) -> None:
        """Compile the heads: those of target events and of the label as one, CoLES's by itself.

        Out stay the node before them, losses of the user's, and classes too many for one product.

        Args:
            options: of `torch.compile`.
        """
        self._sums = torch.compile(self._sums, **options)  # type: ignore[method-assign]
        if self.coles is not None:
            self.coles.compile_parts(**options)

    def _sums_in_chunks(
        self, hidden: dict[str, Tensor], batch: Batch, targets: Mapping[str, Targets]
    ) -> dict[str, Sum]:
        """Of heads with many classes, whose pre-activations are taken out of `hidden`."""
        heads, sums = self.named_heads, {}
        for family, names in self.names_of.items():
            for name in names:
                head = heads[name]
                assert isinstance(head.output, nn.Linear)
                if in_chunks(hidden[name], head.output):
                    sums[name] = head(hidden.pop(name), batch, targets[family])
        return sums

    def _sums(
        self,
        hidden: Mapping[str, Tensor],
        batch: Batch,
        targets: Mapping[str, Targets],
        labels: Tensor | None,
    ) -> dict[str, Sum]:
        """Of the other heads of target events, and of the label."""
        heads, sums = iter(self.heads), {}
        for family, names in self.names_of.items():
            for name in names:
                head = next(heads)
                if name in hidden:
                    sums[name] = head(hidden[name], batch, targets[family])
        if labels is not None:
            assert self.downstream is not None
            sums[DOWNSTREAM] = self.downstream(hidden[DOWNSTREAM], labels)
        return sums


def _of_events(hidden: Tensor, batch: Batch) -> Tensor:
    """Rows (N, M) of events; behind them may stand tokens that have no next event."""
    # A slice of everything would still cost a copy on the way back.
    return hidden if len(hidden) == batch.events else hidden[: batch.events]


def downstream_targets(batch: Batch, encoded: Encoded) -> Tensor:
    """Label of every event and token, or the local labels."""
    if batch.label_events is not None:
        return batch.labels
    targets = batch.labels[batch.layout.row]
    if encoded.extra_row is None:
        return targets
    return torch.cat([targets, batch.labels[encoded.extra_row]])
