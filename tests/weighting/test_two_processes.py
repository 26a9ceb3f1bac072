"""Two processes with half a batch each train as one process with the whole batch, every method."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from tests.processes import in_two_processes, together
from tests.weighting.methods import METHODS, Net, batch, every_method
from tests.weighting.oracle import backward

pytestmark = together
STEPS = 8
Found = dict[str, Tensor]


def train(name: str, rank: int, world: int) -> Found:
    """Steps with and without labels, over epochs of two; what is left of model and weighting."""
    method, _, node = name.partition("/")
    net = Net(METHODS[method], fused=node == "fused")
    model = DistributedDataParallel(net) if world > 1 else net
    optimizer = net.optimizer()
    logged: dict[str, list[float]] = {}
    for step in range(STEPS):
        if step % 2 == 0:
            net.weighting.start_epoch()
        net.weighting.watching = step == STEPS - 1
        optimizer.zero_grad()
        # Process 1 has no label at step 3; nobody has one at step 4.
        labelled = torch.ones(64).double()
        labelled[{3: 32, 4: 0}.get(step, 64) :] = 0
        x, targets = batch(step, 64)
        mine = x.chunk(world)[rank], targets.chunk(world, dim=1)[rank]
        backward(model(mine, labelled.chunk(world)[rank]))
        optimizer.step()
        for key, value in net.weighting.log().items():
            logged.setdefault(key, []).append(value)
    state = {k: v.clone() for k, v in net.state_dict().items() if isinstance(v, Tensor)}
    chosen = ("weight/", "cosine/", "norm/", "effective/", "composite_norm")
    return state | {k: torch.tensor(v) for k, v in logged.items() if k.startswith(chosen)}


def train_all(rank: int, names: list[str]) -> dict[str, Found]:
    return {name: train(name, rank, 2) for name in names}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Found]]:
    """What both processes found, by method."""
    names = [f"{method}/{node}" for method in METHODS for node in ("fused", "general")]
    return in_two_processes(train_all, tmp_path_factory.mktemp("processes"), names)


@every_method
@pytest.mark.parametrize("node", ["fused", "general"])
def test_two_processes_are_one(two: list[dict[str, Found]], method: str, node: str) -> None:
    name = f"{method}/{node}"
    first, second = two[0][name], two[1][name]
    assert first.keys() == second.keys()
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], rtol=0, atol=0, equal_nan=True, msg=key)
    alone = train(name, 0, 1)
    for key, value in alone.items():
        torch.testing.assert_close(first[key], value, rtol=1e-5, atol=1e-8, equal_nan=True, msg=key)


def test_the_weights_learned_something(two: list[dict[str, Found]]) -> None:
    for name in ("grap/fused", "gradnorm/general", "dwa/fused", "mgda/fused"):
        assert (two[0][name]["bank.weighting.weights"] - 1).abs().max() > 0.01, name
