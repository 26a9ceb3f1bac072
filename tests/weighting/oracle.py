"""What the nodes must equal: a small model whose every gradient is taken loss by loss.

The model is z = tanh(x E); head j is tanh(z W_j' + b_j) V_j; losses are scaled mean squared errors.
Gradients come from one `torch.autograd.grad` call a loss, the composite and the weights' gradient
from explicitly stacked vectors and `torch.autograd`: no Gram matrix, no chunks, no node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from grap_seq.weighting import HeadBank, Weighting
from grap_seq.weighting.base import DOWNSTREAM


@dataclass
class Problem:
    """A batch and a model in float64; J = K + 1 heads, the downstream one last.

    `absent` heads contribute no loss to the batch.
    """

    x: Tensor  # (N, F)
    encoder: Tensor  # (F, H)
    weight: Tensor  # (J, M, H)
    bias: Tensor  # (J, M)
    second: list[Tensor]  # J times (M, O)
    targets: Tensor  # (J, N, O)
    scales: list[float]  # J
    absent: set[int] = field(default_factory=set)

    @classmethod
    def random(
        cls,
        seed: int = 0,
        losses: int = 3,
        positions: int = 9,
        features: int = 5,
        width: int = 4,
        scales: Sequence[float] = (),
        absent: Sequence[int] = (),
    ) -> Problem:
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64, generator=generator)

        heads, inputs, outputs = losses + 1, 3, 2
        return cls(
            x=normal(positions, inputs),
            encoder=normal(inputs, features).requires_grad_(),
            weight=normal(heads, width, features).requires_grad_(),
            bias=normal(heads, width).requires_grad_(),
            second=[normal(width, outputs).requires_grad_() for _ in range(heads)],
            targets=normal(heads, positions, outputs),
            scales=list(scales) or [1.0] * heads,
            absent=set(absent),
        )

    @property
    def heads(self) -> int:
        return len(self.second)

    @property
    def names(self) -> list[str]:
        return [f"loss{k}" for k in range(self.heads - 1)]

    def encode(self) -> Tensor:
        return torch.tanh(self.x @ self.encoder)

    def loss(self, j: int, hidden: Tensor) -> Tensor:
        """Loss j from its head's pre-activations (N, M)."""
        prediction = torch.tanh(hidden) @ self.second[j]
        return self.scales[j] * (prediction - self.targets[j]).square().mean()

    def losses(self, hidden: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All losses that the batch has."""
        names = [*self.names, DOWNSTREAM]
        used = [j for j in range(self.heads) if j not in self.absent]
        return {names[j]: self.loss(j, hidden[names[j]]) for j in used}

    def total(self, hidden: Mapping[str, Tensor]) -> Tensor:
        """Their plain sum."""
        return torch.stack(list(self.losses(hidden).values())).sum()

    def gradient(self, j: int) -> dict[str, Tensor]:
        """Gradients of loss j alone: "z" (N, H), "weight", "bias", "second"; zeros if absent."""
        z = self.encode().detach().requires_grad_()
        weight = self.weight[j].detach().requires_grad_()
        bias = self.bias[j].detach().requires_grad_()
        places = [z, weight, bias, self.second[j]]
        names = ("z", "weight", "bias", "second")
        if j in self.absent:
            return {name: torch.zeros_like(p) for name, p in zip(names, places, strict=True)}
        loss = self.loss(j, z @ weight.T + bias)
        return dict(zip(names, torch.autograd.grad(loss, places), strict=True))

    def stacked(self) -> tuple[Tensor, Tensor]:
        """G (K, N*H) and d (N*H,)."""
        rows = [self.gradient(j)["z"].flatten() for j in range(self.heads)]
        return torch.stack(rows[:-1]), rows[-1]

    def layer(self) -> Tensor:
        """Gradients (J, H (H+1)) of a linear layer between encoder and heads, at the identity."""
        features = self.encoder.shape[1]
        matrix = torch.cat(
            [torch.eye(features, dtype=torch.float64), torch.zeros(features, 1).double()], dim=1
        ).requires_grad_()
        z = self.encode().detach()
        ones = torch.cat([z, z.new_ones(len(z), 1)], dim=1)
        rows = []
        for j in range(self.heads):
            loss = self.loss(j, ones @ matrix.T @ self.weight[j].T + self.bias[j])
            (found,) = torch.autograd.grad(loss, matrix)
            rows.append(torch.zeros_like(found) if j in self.absent else found)
        return torch.stack(rows).flatten(1)

    def encoder_gradient(self, composite: Tensor) -> Tensor:
        """What the encoder's parameter receives when z receives `composite` (N*H,)."""
        z = self.encode()
        (gradient,) = torch.autograd.grad(z, self.encoder, composite.view_as(z))
        return gradient

    def parameters(self) -> dict[str, Tensor]:
        seconds = {f"second{j}": tensor for j, tensor in enumerate(self.second)}
        return {"encoder": self.encoder, "weight": self.weight, "bias": self.bias, **seconds}

    def gradients(self) -> dict[str, Tensor]:
        """What the last backward pass left in the parameters, zeros where it left nothing."""
        found = {
            name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for name, p in self.parameters().items()
        }
        for parameter in self.parameters().values():
            parameter.grad = None
        return found


def says_nothing(weighting: Weighting) -> bool:
    """Whether the weights have no gradient, or one of zeros: a device is not asked which it is."""
    return weighting.weights.grad is None or not weighting.weights.grad.any()


def backward(loss: Tensor) -> None:
    """`loss.backward()`."""
    # torch declares it without types.
    loss.backward()  # type: ignore[no-untyped-call]


def through_bank(problem: Problem, weighting: Weighting) -> dict[str, Tensor]:
    """Every parameter gradient of the fused node."""
    bank = HeadBank(weighting, problem.weight.shape[2], problem.weight.shape[1]).double()
    bank.weight.data.copy_(problem.weight.data)
    bank.bias.data.copy_(problem.bias.data)
    backward(weighting.total(problem.losses(bank(problem.encode()))))
    found = problem.gradients()
    assert bank.weight.grad is not None
    assert bank.bias.grad is not None
    return {**found, "weight": bank.weight.grad, "bias": bank.bias.grad}


def through_split(problem: Problem, weighting: Weighting) -> dict[str, Tensor]:
    """Every parameter gradient of the general node, with ordinary linear layers behind it."""
    views = weighting(problem.encode())
    hidden = {
        name: nn.functional.linear(view, problem.weight[j], problem.bias[j])
        for j, (name, view) in enumerate(views.items())
    }
    backward(weighting.total(problem.losses(hidden)))
    return problem.gradients()


Node = Callable[[Problem, Weighting], dict[str, Tensor]]
both_nodes = pytest.mark.parametrize(
    "node", [pytest.param(through_split, id="general"), pytest.param(through_bank, id="fused")]
)


def expected(problem: Problem, composite: Tensor) -> dict[str, Tensor]:
    """Every parameter gradient by separate backward calls; `composite` (N*H,) goes to z."""
    single = [problem.gradient(j) for j in range(problem.heads)]
    return {
        "encoder": problem.encoder_gradient(composite),
        "weight": torch.stack([gradient["weight"] for gradient in single]),
        "bias": torch.stack([gradient["bias"] for gradient in single]),
        **{f"second{j}": gradient["second"] for j, gradient in enumerate(single)},
    }


def objective(weights: Tensor, gradients: Tensor, down: Tensor, normalization: str) -> Tensor:
    """f(w): equation 15 (gradnorm), or with the other divisors of the paper's Table 5."""
    composite = weights @ gradients
    divisors = {"gradnorm": composite.norm(), "sum": weights.sum(), "none": torch.tensor(1.0)}
    value: Tensor = composite @ down / divisors[normalization]
    return value


def ascent(weights: Tensor, gradients: Tensor, down: Tensor, normalization: str) -> Tensor:
    """Gradient of f with respect to w, shape (K,), by automatic differentiation."""
    weights = weights.detach().clone().requires_grad_()
    value = objective(weights, gradients, down, normalization)
    return torch.autograd.grad(value, weights)[0]


def rescaled(
    weights: Tensor,
    gradients: Tensor,
    normalization: str = "gradnorm",
    rescale: str = "equal",
    raw: Tensor | None = None,
) -> Tensor:
    """The composite (N*H,) from gradients (K, N*H) in the units that w multiplies.

    `raw` are the gradients themselves, where these units are others.
    """
    composite = weights @ gradients
    divisors = {"gradnorm": composite.norm(), "sum": weights.sum(), "none": torch.tensor(1.0)}
    length: Tensor = divisors[normalization]
    if rescale == "equal":
        length = composite.norm() / (gradients if raw is None else raw).sum(0).norm()
    return composite / length


def assert_same(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], bound: float) -> None:
    """Equal names, and each tensor equal up to `bound` relative to its largest entry."""
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        error = float((found[name] - tensor).abs().max())
        assert error <= bound * float(tensor.abs().max()) + 1e-300, (name, error)
