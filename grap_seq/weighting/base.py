"""What every weighting method shares: names, weights, the composite, and what is logged."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from grap_seq.weighting.split import Split
from grap_seq.weighting.statistics import GradientStatistics

DOWNSTREAM = "downstream"
Rescale = Literal["equal", "unit"]


class Weighting(nn.Module):
    """Base of the weighting methods; itself the general node.

    The backbone receives s = scale * sum_k c_k g_k, with c_k the coefficients of the method and
    g_k the gradient of loss k with respect to the embedding. Every head receives the plain
    gradient of its own loss, so that a head whose weight is zero keeps learning; the gradient of
    the downstream loss never reaches the backbone (paper, Algorithm 1, lines 8-9).

    Args:
        names: the K pretraining losses, in the order of the weights.

    Raises:
        ValueError: no name, a repeated one, or the reserved name "downstream".

    Example:
        >>> encoder, weighting = nn.Linear(4, 8), GraP(["next", "contrast"])
        >>> views = weighting(encoder(torch.randn(16, 4)))
        >>> loss = sum(view.square().mean() for view in views.values())
        >>> loss.backward()
    """

    # Whether the composite can only be formed, or scaled, once the Gram matrix is known.
    needs_gram: bool = True
    weights: nn.Parameter  # (K,)

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        if not names or len(set(names)) < len(names) or DOWNSTREAM in names:
            raise ValueError(
                f"losses {list(names)}: give at least one name, each once, and not "
                f"{DOWNSTREAM!r}, which is the view of the downstream loss"
            )
        self.names = tuple(names)
        self.weights = nn.Parameter(torch.ones(len(names)))
        self.statistics: GradientStatistics | None = None

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        """Views of the embedding, one for each loss and one named "downstream".

        Args:
            z: the backbone's output, any shape; only valid (not padded) positions should carry
                gradient.

        Returns:
            Tensors equal to z. Put each loss's head on its own view; views that no loss uses
            count as absent losses.
        """
        self.prepare()
        # torch declares Function.apply without types.
        views = Split.apply(z, self.weights, self)  # type: ignore[no-untyped-call]
        return dict(zip((*self.names, DOWNSTREAM), views, strict=True))

    def prepare(self) -> None:
        """Called before every forward pass; methods keep their weights in range here."""

    @abstractmethod
    def coefficients(self, statistics: GradientStatistics | None) -> Tensor | None:
        """Coefficients c, shape (K,), of the composite.

        Called first without statistics; a method that needs them answers None and is asked again
        with them.
        """

    def scale(self, coefficients: Tensor, statistics: GradientStatistics) -> Tensor:
        """Factor of the composite, shape ()."""
        del coefficients
        return torch.ones_like(statistics.downstream_norm)

    def update(self, statistics: GradientStatistics) -> Tensor | None:
        """Gradient for the weights' optimiser (to be minimised), shape (K,); None: no update."""
        del statistics
        return None

    def parameter_group(self, lr: float = 0.01) -> dict[str, Any]:
        """The weights as a group of their own for a `torch.optim` optimiser (Adam's keys)."""
        return {"params": [self.weights], "lr": lr, "betas": (0.0, 0.99), "weight_decay": 0.0}

    @torch.no_grad()
    def named_weights(self) -> dict[str, float]:
        """Current weight of every loss."""
        self.prepare()
        return dict(zip(self.names, self.weights.tolist(), strict=True))

    def not_finite(self) -> list[str]:
        """Losses whose gradient was not finite in the last backward pass."""
        if self.statistics is None:
            return []
        norms = torch.cat([self.statistics.norms, self.statistics.downstream_norm[None]])
        names = (*self.names, DOWNSTREAM)
        finite = norms.isfinite().tolist()
        return [name for name, good in zip(names, finite, strict=True) if not good]

    def log(self) -> dict[str, float]:
        """Numbers worth a curve: weight/<loss>, and cosine/<loss>, norm/<loss> where known."""
        record = {f"weight/{name}": value for name, value in self.named_weights().items()}
        if self.statistics is not None:
            cosines, norms = self.statistics.cosines.tolist(), self.statistics.norms.tolist()
            for name, cosine, norm in zip(self.names, cosines, norms, strict=True):
                record |= {f"cosine/{name}": cosine, f"norm/{name}": norm}
        return record

    def get_extra_state(self) -> dict[str, list[str]]:
        """Names of the losses, stored beside the weights."""
        return {"names": list(self.names)}

    def set_extra_state(self, state: Mapping[str, list[str]]) -> None:
        """Refuse weights that belong to other losses.

        Raises:
            ValueError: the stored names differ, or stand in another order.
        """
        if list(state["names"]) != list(self.names):
            raise ValueError(
                f"the checkpoint weighs the losses {state['names']}, this model {list(self.names)};"
                " build the model with the same losses in the same order"
            )


def composite_norm(coefficients: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
    """|sum_k c_k g_k|, shape (), and whether it is more than rounding error.

    Opposite losses can cancel exactly; their Gram matrix then leaves a tiny number of either sign.
    """
    square = coefficients @ gram @ coefficients
    largest = (coefficients.abs() @ gram.diagonal().sqrt()).square()
    resolved = square > 8 * torch.finfo(gram.dtype).eps * largest
    return square.clamp(min=0).sqrt(), resolved


def equal_scale(coefficients: Tensor, reference: Tensor, gram: Tensor) -> Tensor:
    """Factor that gives the composite the norm of sum_k reference_k g_k; zero if it vanishes."""
    norm, resolved = composite_norm(coefficients, gram)
    target, _ = composite_norm(reference, gram)
    return torch.where(resolved, target / norm, 0.0)
