"""LARS: stochastic gradient descent whose steps are as long as the layers that they are made in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

# Of the norms in a divisor.
EPS = 1e-8


class LARS(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling (You et al., 2017), as solo-learn has it.

    A parameter p of two dimensions or more, with gradient g, moves by
    p <- p - lr v with v <- momentum v + r (g + weight_decay p) and the trust ratio
    r = min(trust |p| / (|g| + weight_decay |p|) / lr, 1); r = 1 where p is all zero, and nothing is
    added to v where g is. Others, biases and the parameters of norms, are neither scaled nor
    decayed: v <- momentum v + g.

    Groups with Adam's key `betas`, such as `Weighting.parameter_group()`, are `torch.optim.Adam`'s.

    Args:
        params: parameters, or groups of them with options of their own.
        lr: learning rate.
        momentum: share of the last step in the next one.
        weight_decay: added to the gradient, per p; Adam's groups have it too, unless they say so.
        trust: the trust coefficient, length of a step at lr = 1 relative to the parameter's norm.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.02,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move the parameters that have a gradient; the value of `closure`, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        adam = [group for group in self.param_groups if "betas" in group]
        for group in self.param_groups:
            if "betas" not in group:
                self._descend(group)
        if adam:
            # Made anew, since loading a state replaces both; it adds its options to the groups.
            inner = torch.optim.Adam(adam)
            inner.state = self.state
            inner.step()
        return loss

    def _descend(self, group: dict[str, Any]) -> None:
        with_gradient = [p for p in group["params"] if p.grad is not None]
        if not with_gradient:
            return
        scaled = [p for p in with_gradient if p.dim() > 1]
        others = [p for p in with_gradient if p.dim() <= 1]
        params = [*scaled, *others]
        for p in params:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        buffers = [self.state[p]["momentum_buffer"] for p in params]
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, [*_scaled(scaled, group), *_gradients(others)])
        torch._foreach_add_(params, buffers, alpha=-group["lr"])


def _gradients(params: list[Tensor]) -> list[Tensor]:
    return [p.grad for p in params if p.grad is not None]


def _scaled(params: list[Tensor], group: dict[str, Any]) -> Sequence[Tensor]:
    """r (g + weight_decay p) of every parameter, without a host that waits for a norm."""
    if not params:
        return ()
    gradients, decay = _gradients(params), group["weight_decay"]
    lengths = torch.stack(torch._foreach_norm(params))
    slopes = torch.stack(torch._foreach_norm(gradients))
    ratios = group["trust"] * lengths / (slopes + decay * lengths + EPS)
    # A learning rate of zero makes them infinite, which is as good as 1.
    ratios = (ratios / group["lr"]).clamp(max=1)
    ratios = torch.where(lengths > 0, torch.where(slopes > 0, ratios, 0.0), 1.0)
    steps = torch._foreach_add(gradients, params, alpha=decay)
    torch._foreach_mul_(steps, ratios.unbind())
    return steps
