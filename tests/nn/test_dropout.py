"""Dropout: what a Bernoulli mask promises, and F.dropout where it is used."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.nn import dropout as module
from grap_seq.nn.dropout import Dropout, dropout

ELEMENTS = 400_000


def kept(p: float, elements: int = ELEMENTS, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return dropout(torch.ones(elements), p, True) != 0


@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.9])
def test_share_and_independence(p: float) -> None:
    mask = kept(p).double()
    # Each element, and each of the four lanes of a random integer, by the binomial distribution.
    for lane in (mask, *mask.view(-1, 4).unbind(1)):
        assert stats.binomtest(int(lane.sum()), len(lane), 1 - p).pvalue > 1e-4
    # Neighbours at any small distance, also within and between integers, are uncorrelated.
    centred = (mask - (1 - p)) / math.sqrt(p * (1 - p))
    for distance in (*range(1, 9), 64, 128):
        correlation = (centred[distance:] * centred[:-distance]).mean()
        assert abs(correlation) < 4.5 / math.sqrt(ELEMENTS)


def test_the_integers_aredrawn_in_each_lane_and_bit() -> None:
    torch.manual_seed(0)
    integers = module.drawn(torch.empty(ELEMENTS)).view(-1, 4).numpy()
    for lane in integers.T:
        counts = np.histogram(lane, bins=256, range=(-(1 << 15), 1 << 15))[0]
        assert stats.chisquare(counts).pvalue > 1e-4
        low = np.bincount(lane & 255, minlength=256)
        assert stats.chisquare(low).pvalue > 1e-4
    words = np.ascontiguousarray(integers).view(np.uint64)
    shares = [((words >> np.uint64(bit)) & np.uint64(1)).mean() for bit in range(64)]
    assert np.abs(np.array(shares) - 0.5).max() < 4.5 * 0.5 / math.sqrt(len(words))


@pytest.mark.parametrize("p", [0.1, 1 / 3, 0.7])
def test_the_expectation_is_exact(p: float) -> None:
    values = dropout(torch.ones(1000, dtype=torch.float64), p, True)
    share_kept = 1 - round(p * 65536) / 65536
    (scale,) = set(values.tolist()) - {0.0}
    assert scale * share_kept == pytest.approx(1, abs=1e-15)
    assert share_kept == pytest.approx(1 - p, abs=1 / 131072)


def test_one_seed_one_mask() -> None:
    assert torch.equal(kept(0.3, seed=1), kept(0.3, seed=1))
    assert not torch.equal(kept(0.3, seed=1), kept(0.3, seed=2))


def test_gradients_pass_through_the_same_mask() -> None:
    x = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)

    def seeded(x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return dropout(x, 0.4, True)

    assert torch.autograd.gradcheck(seeded, (x,))
    assert torch.autograd.gradgradcheck(seeded, (x,))


def test_one_byte_an_element_is_kept() -> None:
    saved: list[Tensor] = []
    x = torch.randn(1001, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda _: x):
        dropout(x, 0.4, True)
    assert [(tensor.dtype, tensor.numel()) for tensor in saved] == [(torch.int8, 1001)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (5, 0, 2), (3, 5, 7)])
def test_any_dtype_and_shape(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x = torch.ones(shape, dtype=dtype)
    values = dropout(x, 0.5, True)
    assert (values.dtype, values.shape) == (dtype, x.shape)
    assert set(values.flatten().tolist()) <= {0.0, 2.0}
    assert (x == 1).all()


def test_a_transposed_input_under_autocast() -> None:
    x = torch.arange(1.0, 13).view(3, 4).t()
    with torch.autocast("cpu", torch.bfloat16):
        values = dropout(x, 0.5, True)
    assert values.dtype == torch.float32
    assert ((values == 0) | (values == 2 * x)).all()


def test_nothing_is_dropped_in_evaluation_or_at_zero() -> None:
    x = torch.randn(100)
    layer = Dropout(0.5)
    assert (layer(x) == 0).any()
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(dropout(x, 0.0, True), x)
    assert torch.equal(dropout(x, 1.0, True), torch.zeros(100))
    assert repr(Dropout(0.5)) == repr(nn.Dropout(0.5))


def test_no_probability() -> None:
    for p in (-0.1, 1.1):
        with pytest.raises(ValueError, match="probability"):
            dropout(torch.ones(3), p, True)
        with pytest.raises(ValueError, match="probability"):
            Dropout(p)


def test_elsewhere_than_on_a_cpu_torchs_dropout_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(F, "dropout", lambda *arguments: arguments)
    x = torch.empty(3, device="meta")
    assert dropout(x, 0.5, True) == (x, 0.5, True)
