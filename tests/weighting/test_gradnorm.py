"""GradNorm against its formula, and on the toy problem of its paper."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from grap_seq.weighting import Equal, GradNorm, Weighting
from grap_seq.weighting.statistics import GradientStatistics
from tests.weighting.oracle import backward


def statistics(norms: list[float], losses: list[float]) -> GradientStatistics:
    full = torch.diag(torch.tensor([*norms, 0.0]).double().square())
    return GradientStatistics(full, torch.tensor(losses).double())


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.5])
def test_update_is_the_gradient_of_its_objective(alpha: float) -> None:
    weighting = GradNorm(["a", "b", "c"], alpha=alpha).double()
    weighting.update(statistics([1.0, 1.0, 1.0], [2.0, 4.0, 1.0]))
    weighting.weights.data = torch.tensor([0.4, 0.8, 1.8]).double()
    norms, losses = [3.0, 0.5, 2.0], [1.0, 3.0, 0.9]
    found = weighting.update(statistics(norms, losses))

    # Algorithm 1, line by line, differentiated automatically.
    weights = weighting.weights.detach().clone().requires_grad_()
    weighted = weights * torch.tensor(norms).double()
    rates = torch.tensor([1.0 / 2.0, 3.0 / 4.0, 0.9 / 1.0]).double()
    target = (weighted.mean() * (rates / rates.mean()) ** alpha).detach()
    (wanted,) = torch.autograd.grad((weighted - target).abs().sum(), weights)
    torch.testing.assert_close(found, wanted)


def test_first_losses_are_the_reference_also_when_they_come_late() -> None:
    weighting = GradNorm(["a", "b"]).double()
    weighting.update(statistics([1.0, 0.0], [2.0, math.nan]))
    assert weighting.initial.tolist() == pytest.approx([2.0, math.nan], nan_ok=True)
    weighting.update(statistics([1.0, 1.0], [1.0, 8.0]))
    assert weighting.initial.tolist() == [2.0, 8.0]
    # The absent loss did not move.
    found = weighting.update(statistics([1.0, 0.0], [2.0, math.nan]))
    assert found is not None
    assert found[1] == 0


def test_a_loss_that_begins_at_zero_counts_as_average() -> None:
    weighting = GradNorm(["a", "b"]).double()
    weighting.update(statistics([1.0, 1.0], [0.0, 1.0]))
    found = weighting.update(statistics([2.0, 1.0], [3.0, 0.5]))
    assert found is not None
    assert found.tolist() == [2.0, -1.0]


def test_arguments() -> None:
    with pytest.raises(ValueError, match="alpha=-1"):
        GradNorm(["a"], alpha=-1)
    weighting = GradNorm(["a"])
    view = weighting(torch.ones(2, requires_grad=True))["a"]
    with pytest.raises(ValueError, match=r"GradNorm needs the values.*weighting\.total\(losses\)"):
        backward(view.sum())


def toy(weighting: Weighting, steps: int = 150) -> tuple[Tensor, Tensor]:
    """Section 4 of the paper: tanh((B + E_i) x) times 1 and 100, squared errors, shared trunk.

    Returns:
        The tasks' losses divided by the squares of their scales, and the weights.
    """
    generator = torch.Generator().manual_seed(0)
    scales = {"small": 1.0, "large": 100.0}
    base = 10**0.5 * torch.randn(20, 10, generator=generator)
    maps = {n: base + 3.5**0.5 * torch.randn(20, 10, generator=generator) for n in scales}
    torch.manual_seed(1)
    trunk = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
    heads = nn.ModuleDict({name: nn.Linear(32, 10) for name in scales})
    model = [*trunk.parameters(), *heads.parameters()]
    groups = [{"params": model}]
    if weighting.learned:
        groups.append(weighting.parameter_group(0.025))
    optimizer = torch.optim.Adam(groups, lr=0.003)
    recent = []
    for step in range(steps):
        x = torch.randn(100, 20, generator=generator) / 20**0.5
        views = weighting(trunk(x))
        losses = {
            name: (heads[name](views[name]) - scale * torch.tanh(x @ maps[name])).square().mean()
            for name, scale in scales.items()
        }
        optimizer.zero_grad()
        backward(weighting.total(losses))
        optimizer.step()
        if step >= steps - 20:
            recent.append([losses[name].item() / scale**2 for name, scale in scales.items()])
    return torch.tensor(recent).mean(0), torch.tensor(list(weighting.named_weights().values()))


def test_the_papers_toy_problem() -> None:
    """Two tasks that differ by a factor of 100: GradNorm finds it, equal weights do not."""
    names = ["small", "large"]
    equal, _ = toy(Equal(names))
    found, weights = toy(GradNorm(names, alpha=0.12))
    assert weights[0] > 1.9
    assert weights.sum().item() == pytest.approx(2)
    assert found[0] < 0.9 * equal[0]
