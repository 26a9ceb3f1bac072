"""What every weighting method shares: names, views, weights, their state and their log."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, overload

import torch
from torch import Tensor, nn

from grap_seq.weighting import watch
from grap_seq.weighting.collective import open_group
from grap_seq.weighting.pass_state import PassState
from grap_seq.weighting.split import Split
from grap_seq.weighting.statistics import GradientStatistics
from grap_seq.weighting.total import check_losses, connected_sum
from grap_seq.weighting.untraced import untraced

DOWNSTREAM = "downstream"


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
    # Whether C and p are those of a linear layer in front of the heads, and its gradients are
    # wanted too.
    needs_layer: bool = False
    # Epochs at the start whose weights are equal whatever happens.
    equal_epochs: int = 0
    # Coefficient of the downstream gradient in the composite.
    downstream: float = 0.0
    weights: Tensor  # (K,)

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        if not names or len(set(names)) < len(names) or DOWNSTREAM in names:
            raise ValueError(
                f"losses {list(names)}: give at least one name, each once, and not "
                f"{DOWNSTREAM!r}, which is the view of the downstream loss"
            )
        self.names = tuple(names)
        self.views = (*self.names, DOWNSTREAM)
        # A buffer: `model.parameters()` would put it among the model's own, with their learning
        # rate and decay. The backward pass writes `weights.grad`, the same in all processes.
        self.register_buffer("weights", torch.ones(len(names)))
        self.cosines = watch.RunningCosines(len(names))
        # Whether the forward passes from now on form C and p for the log alone.
        self.watching = False
        # Backward passes so far, and the last of them.
        self.steps = 0
        self.last_pass: PassState | None = None
        # The weights at which `weights.grad` was taken, shape (K,).
        self.graded_at: Tensor | None = None

    @overload
    def forward(self, z: Tensor) -> dict[str, Tensor]: ...
    @overload
    def forward(self, z: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]: ...
    @untraced
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
        state = self.begin()
        anchor = torch.empty(0, requires_grad=True)
        tensors = {"": z} if isinstance(z, Tensor) else z
        # torch declares Function.apply without types.
        outputs = Split.apply(self, state, anchor, *tensors.values())  # type: ignore[no-untyped-call]
        size = len(tensors)
        rows = [outputs[start : start + size] for start in range(0, len(outputs), size)]
        views = {
            n: dict(zip(tensors, row, strict=True)) for n, row in zip(self.views, rows, strict=True)
        }
        return {name: view[""] for name, view in views.items()} if isinstance(z, Tensor) else views

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The sum of the losses, shape (), to call `backward` on.

        A plain sum trains the same, but only this one makes the values known to the methods and
        the log that need them, keeps a gradient scaler's factor out of the statistics, and notices
        a head that is not connected to its view. It may come after any number of forward passes:
        each loss belongs to those that it was computed from.

        Args:
            losses: values, shape () each, by name, "downstream" among them; leave out what the
                batch does not have.

        Raises:
            ValueError: a loss with another name, one that is not a single number, or one that has
                a gradient but does not depend on its view.
        """
        check_losses(self, losses)
        if not torch.is_grad_enabled():
            return torch.stack(list(losses.values())).sum()
        return connected_sum(self, losses)

    def begin(self) -> PassState:
        """Called by both nodes before every forward pass; its state."""
        if torch.is_grad_enabled():
            open_group()
        self.prepare()
        return PassState(computes_gram=self.needs_gram or self.watching)

    def prepare(self) -> None:
        """Methods keep their weights in range here."""

    @torch.no_grad()
    def normalize_weights(self) -> None:
        """Project the weights onto w >= 0 and bring them back to mean 1; all zero: all equal.

        Weights in range stay as they are, bit by bit: reading them more often changes nothing.
        """
        positive = self.weights.clamp(min=0)
        mean = positive.mean()
        in_range = (mean - 1).abs() <= 8 * torch.finfo(positive.dtype).eps
        scaled = torch.where(mean > 0, positive / mean, torch.ones_like(positive))
        self.weights.copy_(torch.where(in_range, positive, scaled))

    @torch.no_grad()
    def add_gradient(self, update: Tensor | None) -> None:
        """Add to `weights.grad`, shape (K,), what a backward pass has found; None: nothing.

        A gradient that an optimiser has stepped with is zeroed first: `optimizer.zero_grad()`
        would have dropped it, `model.zero_grad()` does not know the weights.
        """
        weights, previous = self.weights, self.weights.grad
        if previous is not None and self.graded_at is not None:
            stepped = (self.graded_at.to(weights) != weights).any()
            previous = torch.where(stepped, 0.0, previous)
        if update is not None:
            previous = update if previous is None else previous + update
        weights.grad = previous
        self.graded_at = None if previous is None else weights.clone()

    def record(self, losses: Mapping[str, Tensor]) -> None:
        """Called with the values of every total in training."""

    def start_epoch(self) -> None:
        """Call at the start of every epoch; only methods that work by epochs use it."""

    def observe_backbone(self, parameters: Iterable[Tensor]) -> None:
        """Call with the backbone's parameters after `backward`, before clipping or a step.

        Only GraPPublished uses it; with a gradient scaler, unscale first.
        """

    def losses_unknown(self) -> ValueError:
        """The error of a method that needs the values of the losses and was not given any."""
        return ValueError(
            f"{type(self).__name__} needs the values of the losses: call"
            " weighting.total(losses).backward() instead of adding them up yourself"
        )

    @property
    def needs_gram_first(self) -> bool:
        """Whether `coefficients` of the next backward pass depend on that batch's statistics."""
        return False

    @abstractmethod
    def coefficients(self, statistics: GradientStatistics | None) -> Tensor:
        """Coefficients c, shape (K,), of the composite.

        Args:
            statistics: those of the batch if the method `needs_gram_first`; else they may be None.
        """

    def scale(self, coefficients: Tensor, statistics: GradientStatistics) -> Tensor | None:
        """Factor of the composite, shape (); None: as it is."""
        del coefficients, statistics
        return None

    def update(self, statistics: GradientStatistics) -> Tensor | None:
        """Gradient for the weights' optimiser (to be minimised), shape (K,); None: no update.

        A gradient of zeros is what a batch has that says nothing about the weights. Asking the
        statistics for a number (`if statistics.labelled:`) makes the host wait for a GPU.
        """
        del statistics
        return None

    def parameter_group(self, lr: float = 0.01) -> dict[str, Any]:
        """The weights as a group of their own for a `torch.optim` optimiser (Adam's keys).

        `model.parameters()` does not list them: an optimiser without this group leaves them alone.
        """
        return {"params": [self.weights], "lr": lr, "betas": (0.0, 0.99), "weight_decay": 0.0}

    @torch.no_grad()
    def named_weights(self) -> dict[str, float]:
        """Current weight of every loss."""
        self.prepare()
        return dict(zip(self.names, self.in_use.tolist(), strict=True))

    @property
    def in_use(self) -> Tensor:
        """The weights that the next composite is made with, shape (K,)."""
        return self.weights

    def mean_cosines(self, errors: float) -> tuple[Tensor, Tensor]:
        """Cosines with the downstream gradient for `summary`, (K,); and whether each is more than
        so many standard errors from zero, (K,), bool.
        """
        return self.cosines.mean, self.cosines.clear(errors)

    @property
    def statistics(self) -> GradientStatistics | None:
        """C and p of the last backward pass; None where it had no use for them."""
        return None if self.last_pass is None else self.last_pass.statistics

    @property
    def effective(self) -> Tensor | None:
        """Factor of each loss's gradient in the last backward pass, scale included, shape (K,)."""
        return None if self.last_pass is None else self.last_pass.effective

    @property
    def losses(self) -> dict[str, Tensor]:
        """Values that `total` was given for the last backward pass, by name."""
        return {} if self.last_pass is None else self.last_pass.losses

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

        The cosines are moving averages over about the last 200 batches with labels, or what GraP
        with a memory knows; one that is less than four standard errors from zero counts as
        neutral: batches in a row are not independent of each other.
        """
        return watch.summary(self)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Weighting:
        """Keep `weights` one object on its way to another device or type: an optimiser holds it."""
        weights, gradient = self.weights, self.weights.grad
        # torch declares it without types.
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        moved = self.weights
        if not (weights.is_meta or moved.is_meta):
            weights.grad = None
            weights.data = moved
            weights.grad = None if gradient is None else fn(gradient)
            self.weights = weights
        return self

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
