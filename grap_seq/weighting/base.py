"""What every weighting method shares: names, views, weights, their state and their log."""

from __future__ import annotations

import json
import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, overload

import torch
from torch import Tensor, nn

from grap_seq.weighting import watch
from grap_seq.weighting.collective import open_group
from grap_seq.weighting.engine import Total
from grap_seq.weighting.split import Split
from grap_seq.weighting.statistics import GradientStatistics

DOWNSTREAM = "downstream"
# Totals without a backward pass through the node after which something must be wrong.
UNANSWERED = 20


class Weighting(nn.Module):
    """Base of the weighting methods; itself the general node.

    The backbone receives s = scale * sum_k c_k g_k, with c_k the coefficients of the method and
    g_k the gradient of loss k with respect to the embedding. Every head receives the plain
    gradient of its own loss, so that a head whose weight is zero keeps learning; the gradient of
    the downstream loss does not reach the backbone (paper, Algorithm 1, lines 8-9). All methods
    treat the heads alike, so that comparing two of them compares the weights alone.

    A method says in `coefficients` how it combines the gradients; one that learns its weights
    gives their gradient in `update`, and whoever trains puts `parameter_group()` into an optimiser.

    Args:
        names: the K pretraining losses, in the order of the weights.

    Raises:
        ValueError: no name, a repeated one, or the reserved name "downstream".

    Example:
        >>> encoder, weighting = nn.Linear(4, 8), GraP(["next", "contrast"])
        >>> views = weighting(encoder(torch.randn(16, 4)))
        >>> losses = {name: view.square().mean() for name, view in views.items()}
        >>> weighting.total(losses).backward()
    """

    # Whether the method needs the Gram matrix C.
    needs_gram: bool = True
    # Whether an optimiser learns the weights, whether that takes labels, whether losses' values.
    learned: bool = False
    needs_labels: bool = False
    needs_losses: bool = False
    # Coefficient of the downstream gradient in the composite.
    downstream: float = 0.0
    weights: nn.Parameter  # (K,)

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        if not names or len(set(names)) < len(names) or DOWNSTREAM in names:
            raise ValueError(
                f"losses {list(names)}: give at least one name, each once, and not "
                f"{DOWNSTREAM!r}, which is the view of the downstream loss"
            )
        self.names = tuple(names)
        self.views = (*self.names, DOWNSTREAM)
        # The backward pass writes `weights.grad` itself, from statistics of the whole batch: to
        # DistributedDataParallel they are no parameter that it has to average.
        self.weights = nn.Parameter(torch.ones(len(names)), requires_grad=False)
        self.cosines = watch.RunningCosines(len(names))
        self.watching = False
        self.steps = 0
        self.losses: dict[str, Tensor] = {}
        self.declared: frozenset[str] = frozenset()
        self.unanswered = 0
        self.loss_scale = torch.ones(())
        self.statistics: GradientStatistics | None = None
        self.effective: Tensor | None = None

    @overload
    def forward(self, z: Tensor) -> dict[str, Tensor]: ...
    @overload
    def forward(self, z: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]: ...
    # torch declares this decorator without types; the node is not for compilers to trace.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, z: Tensor | Mapping[str, Tensor]) -> dict[str, Any]:
        """Views of the embedding, one for each loss and one named "downstream".

        Args:
            z: the backbone's output, any shape, or several tensors by name; only valid (not
                padded) positions should carry gradient.

        Returns:
            Views equal to z, by loss. Put each loss's head on its own view; a head that several
            losses share runs once on each of their views and learns from their plain sum. Views
            that no loss uses count as absent losses.
        """
        self.begin()
        anchor = torch.empty(0, requires_grad=True)
        tensors = [z] if isinstance(z, Tensor) else list(z.values())
        # torch declares Function.apply without types.
        outputs = Split.apply(self, anchor, *tensors)  # type: ignore[no-untyped-call]
        size = len(tensors)
        parts = [outputs[start : start + size] for start in range(0, len(outputs), size)]
        if isinstance(z, Tensor):
            return {name: part[0] for name, part in zip(self.views, parts, strict=True)}
        return {
            name: dict(zip(z, part, strict=True))
            for name, part in zip(self.views, parts, strict=True)
        }

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The sum of the losses, shape (), to call `backward` on.

        A plain sum trains the same, but only this one makes the values known to the methods and
        the log that need them, keeps a gradient scaler's factor out of the statistics, and notices
        a head that is not connected to its view.

        Args:
            losses: values, shape () each, by name, "downstream" among them; leave out what the
                batch does not have.

        Raises:
            ValueError: a loss with another name, or one that is not a single number.
        """
        if unknown := sorted(set(losses) - set(self.views)):
            raise ValueError(f"losses {unknown} have no weight; their names are {list(self.views)}")
        for name, loss in losses.items():
            if loss.dim() > 0:
                raise ValueError(
                    f"the loss {name!r} has shape {tuple(loss.shape)}: take its mean or sum"
                )
        if not losses:
            raise ValueError(f"no loss is given; their names are {list(self.views)}")
        self.losses = {name: loss.detach() for name, loss in losses.items()}
        self.declared = frozenset(name for name, loss in losses.items() if loss.requires_grad)
        if torch.is_grad_enabled():
            self.record()
            self.unanswered += 1
            if self.unanswered == UNANSWERED:
                warnings.warn(
                    f"{UNANSWERED} totals in a row and no gradient has come to a view: give every"
                    " loss's head views[name], and call backward on the total",
                    stacklevel=2,
                )
        # torch declares Function.apply without types.
        total: Tensor = Total.apply(self, *losses.values())  # type: ignore[no-untyped-call]
        return total

    def begin(self) -> None:
        """Called by both nodes before every forward pass."""
        if torch.is_grad_enabled():
            open_group()
        self.prepare()

    def prepare(self) -> None:
        """Methods keep their weights in range here."""

    @torch.no_grad()
    def normalize_weights(self) -> None:
        """Project the weights onto w >= 0 and bring them back to mean 1; all zero: all equal."""
        positive = self.weights.clamp(min=0)
        mean = positive.mean()
        self.weights.copy_(torch.where(mean > 0, positive / mean, torch.ones_like(positive)))

    def record(self) -> None:
        """Called with every new `losses` while training."""

    def start_epoch(self) -> None:
        """Call at the start of every epoch; only methods that work by epochs use it."""

    @property
    def uses_gram(self) -> bool:
        """Whether the next backward pass computes C and p: for the method, or to be watched."""
        return self.needs_gram or self.watching

    def loss_values(self, like: Tensor) -> Tensor:
        """Values given to `total`, shape (K+1,), NaN where there is none.

        Raises:
            ValueError: the method needs them and none were given.
        """
        if self.needs_losses and not self.losses:
            raise ValueError(
                f"{type(self).__name__} needs the values of the losses: call"
                " weighting.total(losses).backward() instead of adding them up yourself"
            )
        missing = torch.full((), torch.nan, dtype=like.dtype, device=like.device)
        return torch.stack([self.losses.get(name, missing).to(missing) for name in self.views])

    @abstractmethod
    def coefficients(self, statistics: GradientStatistics | None) -> Tensor | None:
        """Coefficients c, shape (K,), of the composite.

        Called first without statistics; a method that needs them answers None and is asked again
        with them.
        """

    def scale(self, coefficients: Tensor, statistics: GradientStatistics) -> Tensor | None:
        """Factor of the composite, shape (); None: as it is."""
        del coefficients, statistics
        return None

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
        """Numbers worth a curve, named as in Lightning's logs.

        Returns:
            loss/<name> where given to `total`; weight/<name>; effective/<name>, the factor of the
            loss's gradient on its way to the backbone; and where the last backward pass knew the
            Gram matrix (set `watching` before it): cosine/<name> with the downstream gradient,
            norm/<name> of the gradient, and composite_norm.
        """
        return watch.log(self)

    def summary(self) -> str:
        """In words: which losses are near zero, which help the task and which conflict with it.

        The cosines are moving averages over about the last 200 batches with labels; one that is
        less than four standard errors from zero counts as neutral: batches in a row are not
        independent of each other.
        """
        return watch.summary(self)

    def get_extra_state(self) -> Tensor:
        """Names of the losses and the number of backward passes, stored beside the weights.

        JSON in a tensor of bytes: formats such as safetensors hold nothing but tensors.
        """
        content = json.dumps({"names": self.names, "steps": self.steps})
        return torch.tensor(list(content.encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse weights that belong to other losses.

        Raises:
            ValueError: the stored names differ, or stand in another order.
        """
        content = json.loads(bytes(state.tolist()))
        if content["names"] != list(self.names):
            raise ValueError(
                f"the checkpoint weighs the losses {content['names']}, this model"
                f" {list(self.names)}; build the model with the same losses in the same order"
            )
        self.steps = content["steps"]
