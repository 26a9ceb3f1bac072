"""The sum of the losses, and how it finds the passes that they belong to.

The losses of a batch are tied to the views that they were computed from by the graph that autograd
has recorded. Following it from a loss towards the embedding until a node appears that makes views
tells which pass the loss belongs to, also when several forward passes came before the first total.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from grap_seq.weighting.pass_state import PassState
from grap_seq.weighting.untraced import untraced

if TYPE_CHECKING:
    from grap_seq.weighting.base import Weighting

# A pass and the index of one of its views, in the order of `Weighting.views`.
View: TypeAlias = tuple[PassState, int]


class Total(torch.autograd.Function):
    """Sum of the losses; its backward pass tells their passes by what the total was multiplied.

    A gradient scaler multiplies it by its scale, gradient accumulation divides it by the number of
    batches. Knowing the factor, the weights' update and their running statistics are free of it.
    """

    @staticmethod
    def forward(ctx: Any, states: list[PassState], *losses: Tensor) -> Tensor:
        ctx.states, ctx.dtypes = states, [loss.dtype for loss in losses]
        return torch.stack(losses).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        for state in ctx.states:
            state.loss_scale = grad.detach()
        return None, *(grad.to(dtype) for dtype in ctx.dtypes)


def check_losses(weighting: Weighting, losses: Mapping[str, Tensor]) -> None:
    """Refuse what cannot be added up.

    Raises:
        ValueError: no loss, a loss with an unknown name, or one that is not a single number.
    """
    if unknown := sorted(set(losses) - set(weighting.views)):
        raise ValueError(
            f"losses {unknown} have no weight; their names are {list(weighting.views)}"
        )
    for name, loss in losses.items():
        if loss.dim() > 0:
            raise ValueError(
                f"the loss {name!r} has shape {tuple(loss.shape)}: take its mean or sum"
            )
    if not losses:
        raise ValueError(f"no loss is given; their names are {list(weighting.views)}")


@untraced
def connected_sum(weighting: Weighting, losses: Mapping[str, Tensor]) -> Tensor:
    """The sum of the losses, shape (), tied to the passes that they belong to.

    Raises:
        ValueError: a loss that is trained on and does not depend on its own view.
    """
    states = _tell_passes(weighting, losses)
    weighting.record({name: loss.detach() for name, loss in losses.items()})
    # torch declares Function.apply without types.
    total: Tensor = Total.apply(states, *losses.values())  # type: ignore[no-untyped-call]
    return total


def _tell_passes(weighting: Weighting, losses: Mapping[str, Tensor]) -> list[PassState]:
    """Give every pass behind the losses their values.

    A loss without a gradient, such as a zero that stands for "not in this batch", is told to all.

    Returns:
        The passes.

    Raises:
        ValueError: a loss that is trained on and does not depend on its own view.
    """
    views = views_behind(weighting, losses)
    places = {name: place for place, name in enumerate(weighting.views)}
    states: list[PassState] = []
    for name, behind in views.items():
        wanted = places[name]
        mine = [state for state, view in behind if view == wanted]
        if not mine:
            raise ValueError(
                f"the loss {name!r} does not depend on its view of the embedding: feed its head"
                f" with views[{name!r}], undetached"
            )
        for state in mine:
            state.losses[name] = losses[name].detach()
        states += [state for state in mine if state not in states]
    for name in losses.keys() - views.keys():
        for state in states:
            state.losses[name] = losses[name].detach()
    return states


def views_behind(weighting: Weighting, losses: Mapping[str, Tensor]) -> dict[str, frozenset[View]]:
    """The views that every loss with a gradient was computed from.

    Every node of the graph is visited once, however many losses share it, and none behind a node
    that makes views: what is walked through are the heads.
    """
    trained = {name: loss for name, loss in losses.items() if loss.requires_grad}
    # By node. Its keys hold the nodes, which stay the same Python objects for the whole walk.
    # None stands where a branch ends without a gradient; a leaf's gradient ends there too.
    known: dict[Any, frozenset[View]] = {None: frozenset()}

    def behind(node: Any, output: int) -> frozenset[View]:
        if getattr(node, "weighting", None) is weighting:
            return frozenset({(node.state, output // node.tensors_per_view)})
        return known[node]

    def is_open(node: Any) -> bool:
        return node not in known and getattr(node, "weighting", None) is not weighting

    # Depth first without recursion: a graph may be deeper than Python's stack.
    for loss in trained.values():
        stack: list[Any] = [loss.grad_fn]
        while stack:
            node = stack[-1]
            if is_open(node):
                edges = node.next_functions
                waiting = [child for child, _ in edges if is_open(child)]
                if waiting:
                    stack += waiting
                    continue
                known[node] = frozenset[View]().union(*(behind(*edge) for edge in edges))
            stack.pop()
    return {name: behind(loss.grad_fn, loss.output_nr) for name, loss in trained.items()}
