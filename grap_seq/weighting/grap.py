"""GraP: weights that turn the composite gradient towards the downstream task's gradient.

Source: "When Losses Align: Gradient-Based Composite Loss Weighting for Efficient Pretraining",
Algorithm 1, equation 15, Table 5 (normalizations).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from grap_seq.weighting.across import AcrossBatches
from grap_seq.weighting.base import Weighting
from grap_seq.weighting.rescale import Rescale, composite_norm, equal_scale
from grap_seq.weighting.running import RunningMean
from grap_seq.weighting.statistics import GradientStatistics

Normalization = Literal["gradnorm", "sum", "none"]
Units = Literal["loss", "gradient"]
DownstreamNorm = Literal["none", "batch"]
# Evidence is slow to come by: a mean of a thousand batches.
EVIDENCE_DECAY = 0.998


class GraP(Weighting):
    """Gradient ascent on f(w) = w.p / |sum_k w_k g_k| over w >= 0, one step a batch.

    A batch without labels (d = 0) leaves the weights alone. f does not depend on the scale of w,
    so after each step w is projected onto w >= 0 and brought back to mean 1.

    The defaults are Algorithm 1's. Measured on flights (accuracy of the embeddings over 5 folds,
    mean of two seeds; batches were still sorted by length): 0.710; units="gradient" 0.709,
    smoothing=0.9 0.710, normalization="sum" 0.715, all within one standard error of about 0.008
    (benchmarks/results/grap_options.json). With random batches: 0.713, downstream_norm="batch"
    0.708 (downstream_norm.json). On PhysioNet, short runs of two seeds: AUC 0.843, caution=2 with
    units="gradient" 0.834 (results/physionet_small_caution). Without CoLES memory=0.998 has
    0.842, equal weights 0.841 (results/physionet_memory). Nothing speaks for leaving the paper.

    Args:
        names: the K losses.
        normalization: what w is divided by in f: "gradnorm" the composite's norm (Algorithm 1),
            "sum" the sum of w, "none" nothing.
        rescale: "equal" gives the composite the norm of the plain sum of the gradients, whatever
            the units, so that learning rate, clipping and loss scaling keep their meaning; "unit"
            passes on the normalized composite of Algorithm 1 to the letter.
        units: what w multiplies: "loss" the gradient itself (Algorithm 1), "gradient" the
            gradient divided by the running mean of its norm, so that the start is balanced and
            neither the weights nor the composite's direction depend on how a loss is scaled. Its
            length does with rescale="equal", as the plain sum's; with "unit" nothing does.
        downstream_norm: "batch" divides d by its norm in every batch, as the authors' code does,
            so that batches in which it is long do not count more; "none" is Algorithm 1.
        smoothing: decay of a moving average over C and p that the weights' step sees; 0 is
            Algorithm 1. Theorem A.1 gives the hypergradient of a rollout of several steps: the
            product of the last downstream gradient with the sum of each loss's gradients along
            it. Embeddings of different batches have no common coordinates in which to add up
            gradients, so the average is taken over the products instead.
        every: batches between two updates of the weights; the average sees every batch.
        caution: lets GraP say "I cannot tell". The gradient of f at equal weights is averaged over
            about the last thousand batches; with mean m_k and standard error e_k, the composite is
            made with 1 + s_k (w_k - 1), s_k = max(0, 1 - (caution e_k / m_k)^2) (James and Stein's
            positive part). A weight whose evidence is below `caution` standard errors is 1. 0 is
            Algorithm 1. "Equal" is what `units` say: with "gradient", gradients of equal length.
            With `memory` it is p_k that is shrunk in this way, by its own standard error.
        memory: decay, such as 0.998, of moving averages of the gradients of a linear layer between
            backbone and heads, in whose space C and p are then: p of different batches, so that
            noise that losses and label share in a batch is no evidence, C within batches, so that
            a loss of nothing but noise costs length (`grap_seq.weighting.across`). Weights move
            from the hundredth labelled batch on. The averages take (K+1) H (H+1) numbers. 0 is
            Algorithm 1, whose products are those of one batch's gradients of the embedding.

    Raises:
        ValueError: an unknown option, smoothing or memory outside [0, 1), every < 1, caution < 0,
            or memory together with smoothing or downstream_norm.
    """

    learned = True
    needs_labels = True
    running_norms: Tensor  # (K,)
    running_gram: Tensor  # (K, K)
    running_alignment: Tensor  # (K,)

    def __init__(
        self,
        names: Sequence[str],
        *,
        normalization: Normalization = "gradnorm",
        rescale: Rescale = "equal",
        units: Units = "loss",
        downstream_norm: DownstreamNorm = "none",
        smoothing: float = 0.0,
        every: int = 1,
        caution: float = 0.0,
        memory: float = 0.0,
    ) -> None:
        super().__init__(names)
        for option, value, choices in (
            ("normalization", normalization, get_args(Normalization)),
            ("rescale", rescale, get_args(Rescale)),
            ("units", units, get_args(Units)),
            ("downstream_norm", downstream_norm, get_args(DownstreamNorm)),
        ):
            if value not in choices:
                raise ValueError(f"{option}={value}: choose one of {', '.join(choices)}")
        for option, decay in (("smoothing", smoothing), ("memory", memory)):
            if not 0 <= decay < 1:
                raise ValueError(f"{option}={decay}: a decay lies in [0, 1)")
        if memory and (smoothing or downstream_norm != "none"):
            raise ValueError(
                f"memory={memory}: it has averages of its own; leave out smoothing and"
                " downstream_norm"
            )
        if every < 1:
            raise ValueError(f"every={every}: it must be at least 1")
        if not 0 <= caution < float("inf"):
            raise ValueError(f"caution={caution}: a number of standard errors is at least 0")
        self.normalization, self.rescale = normalization, rescale
        self.units, self.downstream_norm = units, downstream_norm
        self.smoothing, self.every, self.caution = smoothing, every, caution
        size = len(self.names)
        # Of the gradient of f at equal weights.
        alone = caution > 0 and memory == 0
        self.evidence = RunningMean(size, EVIDENCE_DECAY) if alone else None
        self.across = AcrossBatches(size, memory) if memory > 0 else None
        self.needs_layer = memory > 0
        self.register_buffer("running_norms", torch.zeros(size))
        self.register_buffer("running_gram", torch.zeros(size, size))
        self.register_buffer("running_alignment", torch.zeros(size))

    def prepare(self) -> None:
        if self.normalization == "none":
            self.weights.clamp_(min=0)
        else:
            self.normalize_weights()

    @property
    def needs_gram_first(self) -> bool:
        # The first norm of a loss is its own unit. The host waits for the answer: making the
        # gradients twice in every step would cost more.
        return self.units == "gradient" and bool((self.running_norms == 0).any())

    def coefficients(self, statistics: GradientStatistics | None) -> Tensor:
        return self.in_use if self.units == "loss" else self.in_use * self._unit(statistics)

    @property
    def in_use(self) -> Tensor:
        if self.evidence is None:
            return self.weights
        mean, error = self.evidence.mean, self.evidence.error
        trust = (1 - (self.caution * error / mean).square()).clamp(min=0)
        clear = self.evidence.clear(self.caution)
        return torch.where(clear, 1 + trust * (self.weights - 1), 1.0)

    def mean_cosines(self, errors: float) -> tuple[Tensor, Tensor]:
        if self.across is None or self.across.mean is None:
            return super().mean_cosines(errors)
        clear = self.across.alignment.abs() > errors * self.across.error
        return self.across.cosines, clear & self.across.believed

    def _unit(self, statistics: GradientStatistics | None) -> Tensor:
        """What turns a gradient into units of its mean length, shape (K,)."""
        norms = self.running_norms
        if statistics is not None:
            norms = torch.where(norms == 0, statistics.norms.to(norms.dtype), norms)
        return torch.where(norms > 0, 1 / norms, 0.0)

    def scale(self, coefficients: Tensor, statistics: GradientStatistics) -> Tensor | None:
        gram, coefficients = statistics.gram, coefficients.to(statistics.gram.dtype)
        if self.rescale == "equal":
            return equal_scale(coefficients, torch.ones_like(coefficients), gram)
        if self.normalization == "sum":
            return 1 / self.in_use.sum().to(gram.dtype)
        if self.normalization == "none":
            return None
        norm, resolved = composite_norm(coefficients, gram)
        return torch.where(resolved, 1 / norm, 0.0)

    @torch.no_grad()
    def update(self, statistics: GradientStatistics) -> Tensor | None:
        labelled, gram, alignment = statistics.labelled, statistics.gram, statistics.alignment
        if self.across is not None:
            assert statistics.layer is not None
            self.across.add(statistics.layer, labelled)
            gram = self.across.gram[:-1, :-1].to(gram.dtype)
            alignment = self.across.shrunk(self.across.alignment, self.caution).to(alignment.dtype)
            labelled = labelled & self.across.believed
        if self.units == "gradient":
            unit = self._unit(statistics).to(gram.dtype)
            self._track_norms(statistics.norms.to(self.running_norms.dtype))
            gram, alignment = unit[:, None] * gram * unit, unit * alignment
        if self.downstream_norm == "batch":
            alignment = torch.where(labelled, alignment / statistics.downstream_norm, 0.0)
        if self.evidence is not None:
            equal = torch.ones_like(alignment)
            found = alignment_gradient(equal, gram, alignment, self.normalization)
            self.evidence.add(found, statistics.present & labelled)
        if self.smoothing > 0:
            gram = self._smooth(self.running_gram, torch.where(labelled, gram, 0.0))
            alignment = self._smooth(self.running_alignment, alignment)
        if self.steps % self.every:
            return None
        weights = self.weights.to(gram.dtype)
        gradient = alignment_gradient(weights, gram, alignment, self.normalization)
        return torch.where(labelled, -gradient, 0.0)

    def _track_norms(self, norms: Tensor, decay: float = 0.99) -> None:
        """Running mean of |g_k|; a loss absent from the batch keeps its own."""
        fresh = torch.where(
            self.running_norms == 0, norms, decay * self.running_norms + (1 - decay) * norms
        )
        self.running_norms.copy_(torch.where(norms > 0, fresh, self.running_norms))

    def _smooth(self, running: Tensor, value: Tensor) -> Tensor:
        """Moving average; the entries of a loss absent from the batch (zeros) keep their own."""
        fresh = value.to(running.dtype)
        blend = torch.where(running == 0, fresh, torch.lerp(fresh, running, self.smoothing))
        running.copy_(torch.where(fresh == 0, running, blend))
        return running.to(value.dtype)


def alignment_gradient(
    weights: Tensor, gram: Tensor, alignment: Tensor, normalization: Normalization = "gradnorm"
) -> Tensor:
    """Gradient of f with respect to w, shape (K,).

    gradnorm: f = w.p / n, n = sqrt(w.C w); gradient p / n - (w.p) C w / n^3 (equation 15).
    sum: f = w.p / sum(w). none: f = w.p. Zero where the composite vanishes.
    """
    if normalization == "none":
        return alignment
    product = weights @ alignment
    if normalization == "sum":
        total = weights.sum()
        return alignment / total - product / total.square()
    norm, resolved = composite_norm(weights, gram)
    # Divided one by one: the cube of a small norm would underflow.
    gradient = alignment / norm - (product / norm) * ((gram @ weights) / norm) / norm
    return torch.where(resolved, gradient, 0.0)
