"""The packed GRU: torch's own GRU on a PackedSequence, values and every gradient."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.flop_counter import FlopCounterMode

from grap_seq.nn import gru_recurrence
from grap_seq.nn.packed_gru import library_gru, packed_gru

LENGTHS = [4, 3, 3, 1]


def sizes_of(lengths: list[int]) -> list[int]:
    return [sum(length > step for length in lengths) for step in range(max(lengths))]


def torchs(x: Tensor, sizes: list[int], rnn: nn.GRU, initial: Tensor | None = None) -> Tensor:
    state = None if initial is None else initial[None]
    states: Tensor = rnn(PackedSequence(x, torch.tensor(sizes)), state)[0].data
    return states


class Example:
    """Events, a layer, an initial state, and weights that make the states a scalar loss."""

    def __init__(
        self, lengths: list[int], width: int, hidden: int, dtype: torch.dtype = torch.float64
    ) -> None:
        torch.manual_seed(sum(lengths))
        self.sizes, self.rnn = sizes_of(lengths), nn.GRU(width, hidden, dtype=dtype)
        self.x = torch.randn(sum(lengths), width, dtype=dtype, requires_grad=True)
        self.initial = torch.randn(len(lengths), hidden, dtype=dtype, requires_grad=True)
        self.loss_weights = torch.randn(sum(lengths), hidden, dtype=dtype)

    def leaves(self) -> list[Tensor]:
        tensors = [self.x, *self.rnn.parameters(), self.initial]
        return [tensor for tensor in tensors if tensor.requires_grad]

    def results(self, gru: Callable[..., Tensor], with_initial: bool = True) -> list[Tensor]:
        """States, then the gradient of each leaf."""
        states = gru(self.x, self.sizes, self.rnn, self.initial if with_initial else None)
        gradients = torch.autograd.grad(
            (states * self.loss_weights).sum(), self.leaves(), materialize_grads=True
        )
        return [states, *gradients]


def largest_difference(ours: list[Tensor], wanted: list[Tensor]) -> float:
    """Relative to the largest entry of each tensor."""
    return max(
        ((a - b).abs().max() / b.abs().max().clamp(min=1e-3)).item()
        for a, b in zip(ours, wanted, strict=True)
    )


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    block=st.integers(1, 20),
    with_initial=st.booleans(),
)
def test_any_lengths_in_any_blocks(lengths: list[int], block: int, with_initial: bool) -> None:
    example = Example(lengths, 5, 6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gru_recurrence, "BLOCK", block)
        ours = example.results(packed_gru, with_initial)
    assert largest_difference(ours, example.results(torchs, with_initial)) < 1e-12


def test_rounding_in_float32_is_that_of_torchs_gru() -> None:
    lengths = torch.randint(1, 120, (40,), generator=torch.Generator().manual_seed(1)).tolist()
    example = Example(lengths, 32, 64, torch.float32)
    ours, theirs = example.results(packed_gru), example.results(torchs)
    example.rnn = copy.deepcopy(example.rnn).double()
    for name in ("x", "initial", "loss_weights"):
        tensor = getattr(example, name)
        setattr(example, name, tensor.detach().double().requires_grad_(tensor.requires_grad))
    exact = example.results(torchs)
    assert largest_difference(ours, exact) < 1e-6
    assert largest_difference(ours, exact) < 4 * largest_difference(theirs, exact)


@pytest.mark.parametrize("trained", ["x", "initial", "weight_ih_l0", "weight_hh_l0", "bias_hh_l0"])
def test_only_what_is_trained_gets_a_gradient(trained: str) -> None:
    example = Example(LENGTHS, 5, 6)
    tensors = {"x": example.x, "initial": example.initial, **dict(example.rnn.named_parameters())}
    for name, tensor in tensors.items():
        tensor.requires_grad_(name == trained)
    ours, theirs = example.results(packed_gru), example.results(torchs)
    assert largest_difference(ours, theirs) < 1e-12
    states = packed_gru(example.x, example.sizes, example.rnn, example.initial)
    states.sum().backward()  # type: ignore[no-untyped-call]
    assert [name for name, tensor in tensors.items() if tensor.grad is not None] == [trained]


def test_an_initial_state_in_torchs_shape_and_a_gradient_of_one_number() -> None:
    example = Example(LENGTHS, 5, 6)
    example.loss_weights = torch.ones((), dtype=torch.float64)
    ours = example.results(lambda x, sizes, rnn, initial: packed_gru(x, sizes, rnn, initial[None]))
    assert largest_difference(ours, example.results(torchs)) < 1e-12


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_without_gradients(context: Callable[[], AbstractContextManager[None]]) -> None:
    example = Example([9, 4, 4, 2], 5, 6)
    arguments = example.x, example.sizes, example.rnn, example.initial
    with pytest.MonkeyPatch.context() as patch, context():
        patch.setattr(gru_recurrence, "BLOCK", 8)
        ours = packed_gru(*arguments)
    assert not ours.requires_grad
    torch.testing.assert_close(ours.clone(), torchs(*arguments).detach(), rtol=0, atol=1e-14)


def saved_bytes(gru: Callable[..., Tensor], example: Example) -> int:
    saved = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        states = gru(example.x, example.sizes, example.rnn)
    assert states.requires_grad
    return sum(saved.values())


def test_keeps_less_than_torchs_gru() -> None:
    example = Example(list(range(40, 0, -1)), 16, 32, torch.float32)
    events = len(example.x)
    parameters = sum(parameter.numel() for parameter in example.rnn.parameters())
    ours = saved_bytes(packed_gru, example)
    # Input, gates, states.
    assert ours <= 4 * (events * (16 + 4 * 32 + 32) + parameters)
    assert ours < saved_bytes(torchs, example)


def test_products_are_counted() -> None:
    example = Example(LENGTHS, 5, 6)
    with FlopCounterMode(display=False) as counter:
        example.results(packed_gru)
    events, width, hidden = sum(LENGTHS), 5, 6
    # Forward, and twice backward, 2 operations for each of a weight's entries.
    assert counter.get_total_flops() == 3 * 2 * events * 3 * hidden * (width + hidden)


def test_autocast_lowers_products_only() -> None:
    example = Example([60, 45, 44, 20, 3], 16, 32, torch.float32)
    exact = example.results(packed_gru)
    with torch.autocast("cpu", torch.bfloat16):
        ours = example.results(packed_gru)
        half = packed_gru(example.x.bfloat16(), example.sizes, example.rnn)
    assert {tensor.dtype for tensor in (*ours, half)} == {torch.float32}
    # bfloat16 has 8 bits; torch's own GRU is the yardstick of what they allow.
    assert 0 < largest_difference(ours, exact) < 0.03
    with torch.autocast("cpu", torch.bfloat16):
        assert largest_difference(ours[:1], exact[:1]) < largest_difference(
            [torchs(example.x, example.sizes, example.rnn)], exact[:1]
        )


def test_elsewhere_than_on_a_cpu_torchs_gru_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    example = Example(LENGTHS, 5, 6)
    calls = []
    module = sys.modules[packed_gru.__module__]
    monkeypatch.setattr(module, "library_gru", lambda *arguments: calls.append(arguments))
    # Autocast knows no meta tensors, so the GRU itself is called with others below.
    packed_gru(example.x.to("meta"), example.sizes, example.rnn, example.initial)
    ((x, sizes, rnn, state),) = calls
    assert (x.device.type, sizes, rnn) == ("meta", example.sizes, example.rnn)
    assert state.shape == (len(LENGTHS), 6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_librarys_gru_stays_in_float32_under_autocast(dtype: torch.dtype) -> None:
    """What runs on a GPU; autocast would give it float16, also where bfloat16 is asked for."""
    example = Example(LENGTHS, 3, 5, torch.float32)
    with torch.no_grad():
        lowered = example.x.to(dtype)
        wanted = torchs(lowered.float(), example.sizes, example.rnn, example.initial)
        with torch.autocast("cpu", dtype=dtype):
            states = library_gru(lowered, example.sizes, example.rnn, example.initial)
    assert states.dtype == torch.float32
    assert states.equal(wanted)
    assert largest_difference(example.results(library_gru), example.results(torchs)) == 0
