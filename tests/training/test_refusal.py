"""Updates whose losses or gradients are not finite: nothing changes, and everybody is told."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from grap_seq import config as configs
from grap_seq import seal
from grap_seq.batch import Batch
from grap_seq.objectives.composite import CompositeObjective
from grap_seq.objectives.means import Mean
from grap_seq.training.module import PretrainModule
from grap_seq.training.refusal import Nonfinite, Part, Refusal, tensors_of
from tests.training.test_module import batch, fit, module

SMALL = ["dataset=table", "dataset.hidden=8", "event_width=8", "trainer.threads=1", "batch_size=8"]
# What a loss may become. The last one keeps its finite gradient.
Change = Callable[[Tensor], Tensor]
CHANGES: dict[str, Change] = {
    "nan": lambda loss: loss * torch.nan,
    "inf": lambda loss: loss * torch.inf,
    "value": lambda loss: loss + torch.inf,
}


class BatchNormLoss(nn.Module):
    """A user's own loss, with PyTorch's batch norm."""

    def __init__(self, schema: Any, width: int) -> None:
        super().__init__()
        del schema
        self.norm, self.output = nn.BatchNorm1d(width), nn.Linear(width, 1)

    def forward(self, hidden: Tensor, batch: Batch) -> Tensor:
        del batch
        loss: Tensor = self.output(self.norm(hidden)).square().mean()
        return loss


def changed(model: PretrainModule, changes: dict[int, Change], name: str = "amount") -> None:
    """Change the loss of a field in some batches, counted from 0."""
    assert isinstance(model.objective, CompositeObjective)
    head = model.objective.named_heads[name]
    forward, numbers = head.forward, iter(range(10**6))

    def changing(*arguments: Any) -> Mean:
        loss, count = forward(*arguments)
        return Mean(changes.get(next(numbers), lambda same: same)(loss), count)

    head.forward = changing  # type: ignore[method-assign]


class States(lightning.Callback):
    """All that belongs to an update, before every batch and at the end."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self.states.append(_state(trainer, pl_module))

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.states.append(_state(trainer, pl_module))


def _state(trainer: Any, model: PretrainModule) -> dict[str, Tensor]:
    found = {**model.state_dict(), **dict(model.named_buffers())}
    for number, state in trainer.optimizers[0].state_dict()["state"].items():
        found |= {f"optimizer/{number}/{key}": value for key, value in state.items()}
    return copy.deepcopy(found)


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> set[str]:
    """Names of what differs in any bit."""
    assert left.keys() == right.keys()
    return {
        name
        for name, value in left.items()
        if value.numpy().tobytes() != right[name].numpy().tobytes()
    }


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_refused_update_changes_no_bit(shop: Path, change: str, accumulate: int) -> None:
    own = f"objective.losses={{own: {{class: {__name__}.BatchNormLoss}}}}"
    model, states = module(shop, own), States()
    # The last batch of the third update.
    changed(model, {3 * accumulate - 1: CHANGES[change]})
    batches = [batch(shop, row, row + 1, row + 2) for row in range(0, 15, 3)] * 2
    fit(model, batches[: 5 * accumulate], callbacks=[states], accumulate_grad_batches=accumulate)
    before = states.states[::accumulate]
    assert same(before[2], before[3]) == set()
    # Every other update changes all that there is: without that, nothing would be shown.
    moves = same(before[1], before[2])
    assert moves == same(before[3], before[4])
    for part in ("running_mean", "num_batches_tracked", "rnn.weight", "_extra_state", "cosines"):
        assert any(part in name for name in moves), part
    assert "objective.bank.weighting.weights" in moves
    assert any(name.startswith("objective.users.0.norm.running_var") for name in moves)
    assert any(name.endswith("exp_avg_sq") for name in moves)
    assert (model.refused, model.skipped, model.refused_in_all) == (0, 1, 1)


@pytest.mark.parametrize(
    "weighting",
    ["gradnorm", "dwa", "grap_published", "grap weighting.smoothing=0.9", "mgda"],
)
@pytest.mark.parametrize("encoder", ["gru", "ht_transformer"])
def test_statistics_of_no_method_remember_it(shop: Path, weighting: str, encoder: str) -> None:
    layers = [] if encoder == "gru" else ["encoder.hidden=8", "encoder.heads=2"]
    chosen = f"weighting={weighting} encoder={encoder}".split()
    model, states = module(shop, *chosen, *layers), States()
    # Of two batches the second one is bad: the first has been through all statistics.
    changed(model, {3: CHANGES["nan"]})
    batches = [batch(shop, row, row + 1, row + 2) for row in range(0, 18, 3)]
    fit(model, batches, callbacks=[states], accumulate_grad_batches=2, precision="bf16-mixed")
    before = states.states[::2]
    assert same(before[1], before[2]) == set()
    assert {"objective.bank.weighting._extra_state"} < same(
        before[2], {**before[2], **model.state_dict()}
    )


def test_what_a_setting_says(tmp_path: Path) -> None:
    assert Nonfinite.parse("stop") == Nonfinite(0)
    assert Nonfinite.parse("skip:12", tmp_path) == Nonfinite(12, tmp_path)
    assert Nonfinite.parse(configs.compose("pretrain", []).nonfinite) == Nonfinite()
    for wrong in ("skip", "skip:0", "skip:-1", "skip:two", "skip:2 ", "", None, 3, "Stop"):
        with pytest.raises(ValueError, match="choose stop, or skip:N"):
            Nonfinite.parse(wrong)


def part(losses: dict[str, float], *sequences: Any, place: str = "process0/batch0") -> Part:
    return Part(place, losses, list(sequences), {})


def test_who_is_to_blame() -> None:
    bad, good = {"a": torch.inf, "b": 1.0, "c": torch.nan}, {"a": 1.0, "b": 1.0, "c": 1.0}
    one = part(bad, "x", "y")
    # Values say more than gradients: these may be those of several batches and processes.
    assert (
        str(Refusal([one, part(good, "z")], ["a", "b"])) == "not finite: a, c (sequences 'x', 'y')"
    )
    gradient = Refusal([part(good, *range(7)), part(good, 7)], ["b"])
    assert str(gradient) == "not finite: gradients of b (sequences 0, 1, 2, 3, 4 and 3 more)"
    assert "all losses, because the embeddings" in str(
        Refusal([part(dict.fromkeys("abc", torch.nan))], [])
    )
    assert "gradients of all losses" in str(Refusal([part(good, 1)], "abc"))
    assert "not finite: label" in str(Refusal([part({"label": torch.nan}, 1)], []))
    assert "the encoder's own gradient is not" in str(Refusal([part(good, 1)], []))
    # An id is text from a file: on its way to a terminal it is one line without codes.
    assert "'a\\x1b[31m\\nb'" in str(Refusal([part(bad, "a\x1b[31m\nb")], []))


@pytest.mark.parametrize("weighting", ["equal", "grap", "mgda"])
def test_a_gradient_is_known_by_the_heads_own_rows(shop: Path, weighting: str) -> None:
    model = module(shop, f"weighting={weighting}")
    model.nonfinite = Nonfinite(0)

    def broken(loss: Tensor) -> Tensor:
        # Finite itself: the derivative of a square root at zero is not.
        return loss + (loss - loss.detach()).sqrt()

    changed(model, {1: broken})
    with pytest.raises(FloatingPointError, match="not finite: gradients of amount \\("):
        fit(model, [batch(shop, 0, 1, 2)] * 3)


def test_the_batch_can_be_read_without_pickle(shop: Path, tmp_path: Path) -> None:
    model, run = module(shop), tmp_path / "run"
    model.nonfinite = Nonfinite(0, run)
    changed(model, {1: CHANGES["nan"]})
    batches = [batch(shop, 0, 1), batch(shop, 2, 3, 4)]
    with pytest.raises(FloatingPointError) as error:
        fit(model, batches)
    path = run / "refused" / "step-000002.safetensors"
    assert str(error.value) == (
        "update 2 (epoch 1) was refused: not finite: amount (sequences 0, 1, 2); saved as"
        f" {path}. Lower lr, or look for extreme values in these sequences"
    )
    seal.check(run, "refused/step-000002.safetensors", "")
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["batches"])["process0/batch1"]
        assert file.metadata()["step"] == "2"
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert facts["sequences"] == [0, 1, 2]
    assert {name for name, loss in facts["losses"].items() if loss == "nan"} == {"amount"}
    expected = tensors_of(batches[1])
    assert found.keys() == {f"process0/batch1/{name}" for name in expected}
    assert {"sizes", "fields/amount", "fields/kind", "labels", "times"} < expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(
            found[f"process0/batch1/{name}"], tensor, rtol=0, atol=0, equal_nan=True
        )


class HostReads(TorchDispatchMode):
    """Counts the values that the host waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_the_host_waits_for_one_value_a_step(shop: Path) -> None:
    model = module(shop)
    total = model.objective.weighting.total(model._losses(batch(shop, 0, 1, 2)))
    with HostReads() as reads:
        model.keep()
        model.checked(total).backward()  # type: ignore[no-untyped-call]
    weighs = reads.count
    with reads:
        optimizer = torch.optim.Adam(model.clipped_parameters())
        model.configure_gradient_clipping(optimizer, 1.0)
    assert reads.count == weighs + 1
