"""Two processes with a part of a batch each against one process with the whole of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from grap_seq.batch import Batch
from grap_seq.data.collate import time_gaps
from grap_seq.distributed import gathered, summed
from grap_seq.layout import Layout
from grap_seq.nn.batch_norm import BatchNorm
from grap_seq.objectives.coles import ColesHead
from grap_seq.objectives.downstream import DownstreamHead
from grap_seq.objectives.means import means
from grap_seq.objectives.next_event import CategoryHead, NumberHead, TimeHead
from grap_seq.objectives.targets import draw
from grap_seq.schema import Field, Label
from tests.processes import in_two_processes, together

pytestmark = together
Found = dict[str, Tensor]
# Rows of both processes: unequal, one alone, none.
PARTS = {"unequal": (5, 2), "one": (6, 1), "none": (7, 0)}


def mine(values: Tensor, sizes: tuple[int, int], rank: int, world: int) -> Tensor:
    return values if world == 1 else torch.split(values, list(sizes))[rank]


def learn(
    module: nn.Module, loss: Tensor, inputs: Tensor, sizes: tuple[int, int], world: int
) -> Found:
    """The loss, its gradients, and the module afterwards, as DDP would leave them: means."""
    torch.autograd.backward(loss)
    assert inputs.grad is not None
    values = {"loss": loss.detach()}
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        values[f"grad/{name}"] = parameter.grad
    found = {name: summed(value) / world for name, value in values.items()}
    found["grad/inputs"] = gathered(inputs.grad, sizes) / world
    return found | {f"state/{name}": value.clone() for name, value in module.state_dict().items()}


def batch_norm(sizes: tuple[int, int], rank: int, world: int) -> Found:
    torch.manual_seed(0)
    norm: nn.Module = nn.BatchNorm1d(3) if world == 1 else BatchNorm(3)
    with torch.no_grad():
        norm.get_parameter("weight").normal_()
        norm.get_parameter("bias").normal_()
    # Far from zero: a variance from sums of squares would be noise.
    rows, factors = torch.randn(sum(sizes), 3) + 1000, torch.randn(sum(sizes), 3)
    inputs = mine(rows, sizes, rank, world).clone().requires_grad_()
    output = norm(inputs)
    # A sum over the whole batch, of which each process has its rows.
    loss = (output * mine(factors, sizes, rank, world)).square().sum() * world
    return {"output": gathered(output.detach(), sizes)} | learn(norm, loss, inputs, sizes, world)


def known_values(sizes: tuple[int, int], rank: int, world: int) -> Found:
    """Batch norm where values are missing; a column has one value, another none."""
    torch.manual_seed(0)
    norm = BatchNorm(4)
    rows, factors = torch.randn(sum(sizes), 4) + 3, torch.randn(sum(sizes), 4)
    missing = torch.rand(sum(sizes), 4) < 0.3
    missing[1:, 2], missing[0, 2], missing[:, 3] = True, False, True
    inputs = mine(rows, sizes, rank, world).clone().requires_grad_()
    output = norm(inputs, mine(missing, sizes, rank, world))
    loss = (output * mine(factors, sizes, rank, world)).square().sum() * world
    return {"output": gathered(output.detach(), sizes)} | learn(norm, loss, inputs, sizes, world)


def coles(sizes: tuple[int, int], rank: int, world: int, reduction: Any) -> Found:
    torch.manual_seed(0)
    head = ColesHead(4, size=3, margin=1.5, negatives=2, reduction=reduction)
    rows, owners = torch.randn(sum(sizes), 4), torch.tensor([4, 4, 2, 2, 4, 7, 7])
    inputs = mine(rows, sizes, rank, world).clone().requires_grad_()
    known = [mine(owners, sizes, other, world).numpy() for other in range(world)]
    loss = head(inputs, mine(owners, sizes, rank, world), known).loss
    return learn(head, loss, inputs, sizes, world)


def next_events(name: str, sizes: tuple[int, int], rank: int, world: int) -> Found:
    """Rows of 4 events; most values of the second process are missing."""
    torch.manual_seed(0)
    number = Field("amount", "numerical", by="kind")
    heads: dict[str, nn.Module] = {
        "kind": CategoryHead(Field("kind", "categorical", size=5), 6),
        "amount": NumberHead(number, 6, 5),
        "time": TimeHead(6, 8.0, 0.0),
        "downstream": DownstreamHead(6, Label("churn", "accuracy", ("a", "b", "c"))),
    }
    rows = sum(sizes)
    hidden, amount = torch.randn(rows, 4, 6), torch.randn(rows, 4)
    amount[sizes[0] :, 1:] = torch.nan
    amount[sizes[0] :, 2] = 1.0
    times, kind = torch.rand(rows, 4).double().cumsum(1), torch.randint(5, (rows, 4))
    labels = torch.tensor([0, 2, -1, 1, -1, -1, 0])
    times, kind, amount, labels = (
        mine(values, sizes, rank, world) for values in (times, kind, amount, labels)
    )
    inputs = mine(hidden, sizes, rank, world).clone().requires_grad_()
    layout = Layout([4] * len(inputs))
    if name == "downstream":
        found = heads[name](inputs.flatten(0, 1), labels[layout.row])
    else:
        has_next = torch.ones(4 * len(inputs), dtype=torch.bool)
        has_next[layout.ends] = False
        batch = Batch(
            layout,
            {"kind": kind.flatten(), "amount": amount.flatten()},
            times.flatten(),
            time_gaps(times.flatten(), layout),
            owners=layout.starts,
            views=torch.arange(len(inputs)),
            view_owners=(layout.starts.numpy(),),
            has_next=has_next,
            predicted=3 * len(inputs),
            labels=labels,
        )
        found = heads[name](inputs.flatten(0, 1), batch, draw(batch, ["next"])["next"])
    return learn(heads[name], means(found)[0].loss, inputs, sizes, world)


def everything(rank: int, world: int) -> dict[str, Found]:
    found = {}
    for name, sizes in PARTS.items():
        found[f"batch_norm/{name}"] = batch_norm(sizes, rank, world)
        found[f"known_values/{name}"] = known_values(sizes, rank, world)
        for reduction in ("mean", "sum"):
            found[f"coles_{reduction}/{name}"] = coles(sizes, rank, world, reduction)
    for name in ("unequal", "one"):
        for head in ("kind", "amount", "time", "downstream"):
            found[f"{head}/{name}"] = next_events(head, PARTS[name], rank, world)
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Found]]:
    """What both processes found."""
    return in_two_processes(everything, tmp_path_factory.mktemp("processes"), 2)


@pytest.fixture(scope="module")
def one() -> dict[str, Found]:
    return everything(0, 1)


WHOLE = ("batch_norm", "known_values", "coles_mean", "coles_sum")
NAMES = [f"{part}/{name}" for part in WHOLE for name in PARTS]
NAMES += [f"{p}/{n}" for p in ("kind", "amount", "time", "downstream") for n in ("unequal", "one")]


@pytest.mark.parametrize("name", NAMES)
def test_two_parts_are_the_whole_batch(
    one: dict[str, Found], two: list[dict[str, Found]], name: str
) -> None:
    # Values around 1000 are known to 1e-4, after normalisation too.
    rtol, atol = (1e-3, 1e-3) if name.startswith("batch_norm") else (1e-5, 1e-6)
    for found in two:
        assert found[name].keys() == one[name].keys()
        for key, value in one[name].items():
            torch.testing.assert_close(found[name][key], value, rtol=rtol, atol=atol, msg=key)
    assert one[name]["grad/inputs"].abs().sum() > 0


def test_one_process_has_the_ordinary_batch_norm() -> None:
    torch.manual_seed(0)
    ours, plain = BatchNorm(3), nn.BatchNorm1d(3)
    for _ in range(3):
        rows = torch.randn(9, 3) * 5 + 2
        assert torch.equal(ours(rows), plain(rows))
    assert ours.eval()(rows).equal(plain.eval()(rows))
    assert ours.state_dict().keys() == plain.state_dict().keys()
