"""CoLES by itself: no head, the L2-normalised state is what is contrasted (protocol, section 3)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.batch import Batch
from grap_seq.nn.encoder import Encoded
from grap_seq.objectives.coles import ContrastiveLoss, Reduction
from grap_seq.objectives.composite import COLES, Losses, downstream_targets
from grap_seq.objectives.downstream import DownstreamHead
from grap_seq.objectives.means import means
from grap_seq.schema import Schema
from grap_seq.weighting.base import DOWNSTREAM, Weighting


class ColesAlone(nn.Module):
    """The contrastive loss on every sub-sequence's last state, and the downstream head.

    Args:
        schema: the data's schema.
        weighting: weighting of the one loss, "coles".
        features: H, width of the encoder's states.
        width: M, hidden width of the downstream head.
        margin: margin of the contrastive loss.
        negatives: hard negatives per sub-sequence.
        reduction: "mean" per pair, or "sum" as published.
        label: which of the schema's labels is the downstream task; None: the first.

    Attributes:
        counts: this process's entries of the last forward pass's means, shape () each.
    """

    def __init__(
        self,
        schema: Schema,
        weighting: Weighting,
        features: int,
        *,
        width: int = 128,
        margin: float = 0.5,
        negatives: int = 5,
        reduction: Reduction = "mean",
        label: str | None = None,
    ) -> None:
        super().__init__()
        assert weighting.names == (COLES,)
        self.weighting = weighting
        self.contrast = ContrastiveLoss(margin, negatives, reduction)
        downstream = schema.label(label)
        self.hidden = None if downstream is None else nn.Linear(features, width)
        self.downstream = None if downstream is None else DownstreamHead(width, downstream)
        self.counts: Losses = {}

    def forward(self, batch: Batch, encoded: Encoded) -> Losses:
        """Losses, shape () each, by name; see `CompositeObjective`."""
        views: dict[str, Tensor] = self.weighting(encoded.all)
        ends, owners = encoded.ends[batch.views], batch.owners[batch.views]
        embeddings = F.normalize(views[COLES][ends].float(), dim=1)
        found = {COLES: self.contrast(embeddings, owners, batch.view_owners)}
        if self.downstream is not None:
            assert self.hidden is not None
            hidden = self.hidden(views[DOWNSTREAM])
            if batch.label_events is not None:
                hidden = hidden[batch.label_events]
            labels = downstream_targets(batch, encoded)
            (found[DOWNSTREAM],) = means(self.downstream(hidden, labels))
        self.counts = {name: mean.entries for name, mean in found.items()}
        return {name: mean.loss for name, mean in found.items()}

    def compile_parts(self, **options: Any) -> None:
        """Compile the contrastive loss; options of `torch.compile`."""
        self.contrast.compile_parts(**options)
