"""Cross-entropy in chunks: F.cross_entropy, in less memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.objectives import linear_cross_entropy as module
from grap_seq.objectives.linear_cross_entropy import cross_entropy_sum

IGNORED = -100


@pytest.fixture(autouse=True)
def in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", {"cpu": 0})


def example(
    events: int = 50, classes: int = 37, width: int = 6, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, nn.Linear, Tensor]:
    torch.manual_seed(0)
    hidden = torch.randn(events, width, dtype=dtype, requires_grad=True)
    targets = torch.randint(0, classes, (events,))
    targets[::7] = IGNORED
    return hidden, nn.Linear(width, classes, dtype=dtype), targets


def plain(hidden: Tensor, output: nn.Linear, targets: Tensor) -> Tensor:
    return F.cross_entropy(output(hidden), targets, ignore_index=IGNORED, reduction="sum")


@pytest.mark.parametrize(("events", "classes"), [(50, 37), (1, 3), (300, 2), (64, 200)])
def test_value_and_gradients(events: int, classes: int) -> None:
    hidden, output, targets = example(events, classes)
    leaves = (hidden, output.weight, output.bias)
    ours = cross_entropy_sum(hidden, output, targets, IGNORED)
    wanted = plain(hidden, output, targets)
    torch.testing.assert_close(ours, wanted, rtol=1e-13, atol=1e-13)
    # A loss is weighted before the backward pass.
    for a, b in zip(
        torch.autograd.grad(ours * 0.3, leaves),
        torch.autograd.grad(wanted * 0.3, leaves),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


def test_few_classes_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, output, targets = example()
    monkeypatch.setattr(module, "LARGEST", {"cpu": 50 * 37})
    monkeypatch.setattr(F, "linear_cross_entropy", None)
    assert torch.equal(
        cross_entropy_sum(hidden, output, targets, IGNORED), plain(hidden, output, targets)
    )


def test_no_target_at_all() -> None:
    hidden, output, targets = example()
    total = cross_entropy_sum(hidden, output, torch.full_like(targets, IGNORED), IGNORED)
    total.backward()  # type: ignore[no-untyped-call]
    assert total == 0
    assert hidden.grad is not None
    assert not hidden.grad.any()


def test_a_second_backward_pass_and_one_without_gradients() -> None:
    hidden, output, targets = example()
    total = cross_entropy_sum(hidden, output, targets, IGNORED)
    first, second = (torch.autograd.grad(total, hidden, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    with torch.inference_mode():
        assert torch.equal(total.detach(), cross_entropy_sum(hidden, output, targets, IGNORED))


@pytest.mark.parametrize("trained", ["hidden", "weight", "bias"])
def test_only_what_is_trained_gets_a_gradient(trained: str) -> None:
    hidden, output, targets = example()
    leaves = {"hidden": hidden, "weight": output.weight, "bias": output.bias}
    for name, leaf in leaves.items():
        leaf.requires_grad_(name == trained)
    cross_entropy_sum(hidden, output, targets, IGNORED).backward()  # type: ignore[no-untyped-call]
    assert [name for name, leaf in leaves.items() if leaf.grad is not None] == [trained]
    (wanted,) = torch.autograd.grad(plain(hidden, output, targets), leaves[trained])
    torch.testing.assert_close(leaves[trained].grad, wanted)


def test_autocast_does_not_round_the_sum() -> None:
    hidden, output, targets = example(2000, dtype=torch.float32)
    exact = plain(hidden, output, targets)
    with torch.autocast("cpu", torch.bfloat16):
        total = cross_entropy_sum(hidden, output, targets, IGNORED)
        rounded = cross_entropy_sum(hidden.bfloat16(), output, targets, IGNORED)
    torch.testing.assert_close(total, exact)
    torch.testing.assert_close(rounded, exact, rtol=1e-3, atol=0)
    assert (total.dtype, rounded.dtype) == (torch.float32, torch.float32)


MEMORY = """
from pathlib import Path
import torch
from grap_seq.objectives.linear_cross_entropy import cross_entropy_sum

def run(events):
    hidden = torch.randn(events, 16, requires_grad=True)
    targets = torch.randint(0, 10_000, (events,))
    cross_entropy_sum(hidden, output, targets, -100).backward()

def peak():
    # Not ru_maxrss, which starts with the maximum of the process that spawned this one.
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

torch.set_num_threads(1)
output = torch.nn.Linear(16, 10_000)
run(512)
before = peak()
run(4096)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_is_far_below_that_of_the_logits() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, check=True)
    assert int(done.stdout) < 4096 * 10_000 * 4 / 8
