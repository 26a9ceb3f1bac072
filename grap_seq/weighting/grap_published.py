"""GraP as the authors' released optimiser runs it, to compare with their tables.

Source: the public package aligned-hpo (algorithm "sgd") and its settings in pretpp, those of
revision 0a67e60b, from the time of the paper. An earlier one, a2eac744, averages C and p with decay
0.99 after the warm-up and has no regularization: smoothing=0.99, regularization=0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from grap_seq.weighting.base import Weighting
from grap_seq.weighting.grap import alignment_gradient
from grap_seq.weighting.rescale import composite_norm
from grap_seq.weighting.statistics import GradientStatistics


class GraPPublished(Weighting):
    """Gradient ascent on w.p / sqrt(w.C w) with C of correlations and p of cosines.

    A batch: every loss's gradient is divided by a running mean n_k of its norm, this batch
    included. C (unit diagonal) and p (cosines with d) are plain means over the first `warmup`
    batches with labels and moving averages after them. The backbone receives
    scale * transmission * sum_k w_k g_k / n_k / sqrt(w.C w), with w before its step; w descends
    -w.p / sqrt(w.C w) + regularization * (|w| - 1)^2, with C taken as constant, and is reflected
    at zero: w = abs(w).

    Other than in the authors' code, heads receive their plain gradient (theirs is multiplied by
    `scale`), a batch without labels leaves the averages of C and p alone instead of adding zeros,
    an absent loss keeps its own, and over several processes n_k is the norm of the mean gradient.
    Which |w| the regularization means is not recorded; taken is that before the normalization,
    whose size nothing else determines.

    Args:
        names: the K losses.
        warmup: batches of the plain means.
        smoothing: decay of the averages of C and p after them; 0 takes each batch's own.
        norm_decay: decay of the running norms, and of the transmission.
        regularization: how strongly |w| is drawn towards 1.
        scale: norm of the backbone's parameter gradient, where the transmission is known; else of
            the composite.

    Raises:
        ValueError: a decay outside [0, 1), a negative warmup or regularization, scale <= 0.
    """

    learned = True
    needs_labels = True
    running_norms: Tensor  # (K,)
    running_gram: Tensor  # (K, K)
    running_alignment: Tensor  # (K,)
    averaged: Tensor  # () batches in the averages
    transmission: Tensor  # () running |composite| / |backbone's gradient|; 0: not known

    def __init__(
        self,
        names: Sequence[str],
        *,
        warmup: int = 100,
        smoothing: float = 0.0,
        norm_decay: float = 0.99,
        regularization: float = 1.0,
        scale: float = 0.5,
    ) -> None:
        super().__init__(names)
        for option, decay in (("smoothing", smoothing), ("norm_decay", norm_decay)):
            if not 0 <= decay < 1:
                raise ValueError(f"{option}={decay}: a decay lies in [0, 1)")
        if warmup < 0 or regularization < 0 or scale <= 0:
            raise ValueError(
                f"warmup={warmup}, regularization={regularization}, scale={scale}: the first two"
                " must be at least 0, and scale positive"
            )
        self.warmup, self.smoothing, self.norm_decay = warmup, smoothing, norm_decay
        self.regularization, self.gradient_scale = regularization, scale
        size = len(self.names)
        self.register_buffer("running_norms", torch.zeros(size))
        self.register_buffer("running_gram", torch.zeros(size, size))
        self.register_buffer("running_alignment", torch.zeros(size))
        self.register_buffer("averaged", torch.zeros(()))
        self.register_buffer("transmission", torch.zeros(()))

    @torch.no_grad()
    def prepare(self) -> None:
        # Adam without momentum moves a weight and its mirror image alike.
        self.weights.abs_()

    @property
    def needs_gram_first(self) -> bool:
        return True

    @torch.no_grad()
    def coefficients(self, statistics: GradientStatistics | None) -> Tensor:
        assert statistics is not None
        norms, gram, _ = self._averages(statistics)
        length, resolved = composite_norm(self.weights, gram)
        share = torch.where(resolved, self.weights / length, 0.0)
        per_norm = torch.where(norms > 0, share / norms, 0.0)
        transmission = torch.where(self.transmission > 0, self.transmission, 1.0)
        return self.gradient_scale * transmission * per_norm

    @torch.no_grad()
    def update(self, statistics: GradientStatistics) -> Tensor | None:
        norms, gram, alignment = self._averages(statistics)
        self.running_norms.copy_(norms)
        labelled = statistics.labelled
        self.running_gram.copy_(torch.where(labelled, gram, self.running_gram))
        self.running_alignment.copy_(torch.where(labelled, alignment, self.running_alignment))
        self.averaged += labelled
        length = self.weights.norm()
        direction = self.weights / length.clamp(min=torch.finfo(length.dtype).tiny)
        pull: Tensor = 2 * self.regularization * (length - 1) * direction
        gradient = pull - alignment_gradient(self.weights, gram, alignment)
        return torch.where(labelled, gradient, 0.0)

    @torch.no_grad()
    def observe_backbone(self, parameters: Iterable[Tensor]) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.statistics is None or self.effective is None or not gradients:
            return
        received = torch.nn.utils.get_total_norm(gradients)
        composite, _ = composite_norm(self.effective, self.statistics.gram.to(self.effective))
        ratio = (composite / received).to(self.transmission)
        moved = torch.lerp(ratio, self.transmission, self.norm_decay)
        moved = torch.where(self.transmission > 0, moved, ratio)
        usable = ratio.isfinite() & (ratio > 0)
        self.transmission.copy_(torch.where(usable, moved, self.transmission))

    def _averages(self, statistics: GradientStatistics) -> tuple[Tensor, Tensor, Tensor]:
        """Running norms, C and p with this batch in them; what is absent keeps its own."""
        norms = statistics.norms.to(self.running_norms)
        moved = torch.lerp(norms, self.running_norms, self.norm_decay)
        moved = torch.where(self.running_norms > 0, moved, norms)
        moved = torch.where(norms > 0, moved, self.running_norms)
        unit = torch.where(statistics.norms > 0, 1 / statistics.norms, 0.0)
        correlations = unit[:, None] * statistics.gram * unit
        gram = self._average(self.running_gram, correlations)
        return moved, gram, self._average(self.running_alignment, statistics.cosines)

    def _average(self, running: Tensor, value: Tensor) -> Tensor:
        """Mean with this batch in it: plain at first, then moving; zeros are absent losses."""
        fresh, count = value.to(running), self.averaged
        keep = torch.where(count < self.warmup, count / (count + 1), self.smoothing)
        mean = torch.where(running == 0, fresh, keep * running + (1 - keep) * fresh)
        return torch.where(fresh == 0, running, mean)
