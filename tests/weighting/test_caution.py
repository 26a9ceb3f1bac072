"""GraP's `caution`: weights that move as far as the evidence goes, against plain NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from grap_seq.weighting import GraP
from tests.weighting.oracle import backward

NAMES = ["a", "b", "c"]


def gradients(batches: int, labelled: bool = True) -> Tensor:
    """Of three losses and the task in every batch, shape (batches, 4, 6): `a` is like the task,
    `b` unlike it, `c` noise."""
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(batches, 4, 6, generator=generator, dtype=torch.float64)
    found[:, 0] += 2 * found[:, 3]
    found[:, 1] -= found[:, 3]
    found[:, 3] *= labelled
    return found


def pull(weighting: GraP, directions: Tensor) -> Tensor:
    """Gradient of the embedding in a batch."""
    z = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    views = weighting(z)
    losses = {name: views[name] @ to for name, to in zip(weighting.views, directions, strict=True)}
    backward(weighting.total(losses))
    assert z.grad is not None
    return z.grad


def slopes(directions: Tensor) -> npt.NDArray[np.float64]:
    """Gradient of f at equal weights in every batch, by autograd."""
    found = []
    for batch in directions:
        weights = torch.ones(3, dtype=torch.float64, requires_grad=True)
        composite = weights @ batch[:3]
        (composite @ batch[3] / composite.norm()).backward()
        assert weights.grad is not None
        found.append(weights.grad.numpy())
    return np.stack(found)


@pytest.mark.parametrize("rescale", ["equal", "unit"])
def test_weights_are_trusted_as_far_as_the_evidence_goes(rescale: str) -> None:
    seen = gradients(60)
    weighting = GraP(NAMES, caution=1.5, rescale=rescale).double()  # type: ignore[arg-type]
    weighting.weights.data = torch.tensor([1.9, 0.2, 0.9], dtype=torch.float64)
    for batch in seen:
        pull(weighting, batch)
    known = slopes(seen)
    mean, error = known.mean(0), known.std(0) / np.sqrt(len(known))
    trust = np.maximum(0, 1 - (1.5 * error / mean) ** 2)
    wanted = 1 + trust * (np.array([1.9, 0.2, 0.9]) - 1)
    assert 0.5 < trust[0] < 1
    assert 0.5 < trust[1] < 1
    # Noise dilutes what helps.
    assert mean[2] < 0
    assert list(weighting.named_weights().values()) == pytest.approx(wanted.tolist())
    composite = wanted @ seen[-1, :3].numpy()
    length = np.linalg.norm(seen[-1, :3].sum(0).numpy()) if rescale == "equal" else 1.0
    expected = composite / np.linalg.norm(composite) * length
    # The weights of a composite come from the batches before it.
    before = GraP(NAMES, caution=1.5, rescale=rescale).double()  # type: ignore[arg-type]
    before.load_state_dict(weighting.state_dict())
    assert pull(before, seen[-1]).tolist() == pytest.approx(expected.tolist())


def test_noise_alone_is_no_evidence() -> None:
    weighting = GraP(NAMES, caution=3.0).double()
    weighting.weights.data = torch.tensor([2.0, 0.1, 0.9], dtype=torch.float64)
    for batch in torch.randn(200, 4, 6, generator=torch.Generator().manual_seed(1)).double():
        pull(weighting, batch)
    assert list(weighting.named_weights().values()) == [1.0, 1.0, 1.0]


def test_weights_are_equal_while_there_is_no_evidence() -> None:
    weighting = GraP(NAMES, caution=2.0).double()
    weighting.weights.data = torch.tensor([2.0, 0.1, 0.9], dtype=torch.float64)
    for batch in gradients(19):
        pull(weighting, batch)
    assert list(weighting.named_weights().values()) == [1.0, 1.0, 1.0]
    for batch in gradients(40, labelled=False):
        pull(weighting, batch)
    assert list(weighting.named_weights().values()) == [1.0, 1.0, 1.0]


def test_a_loss_that_is_absent_keeps_its_evidence() -> None:
    weighting = GraP(NAMES, caution=1.0).double()
    for batch in gradients(30):
        pull(weighting, batch)
    assert weighting.evidence is not None
    before = weighting.evidence.mean.clone()
    views = weighting(torch.zeros(6, dtype=torch.float64, requires_grad=True))
    ones = torch.ones(6, dtype=torch.float64)
    backward(weighting.total({name: views[name] @ ones for name in ("b", "c", "downstream")}))
    assert weighting.evidence.mean[0] == before[0]
    assert weighting.evidence.mean[1] != before[1]


def test_the_evidence_goes_with_the_weights_into_a_checkpoint() -> None:
    weighting, other = GraP(NAMES, caution=1.0).double(), GraP(NAMES, caution=1.0).double()
    weighting.weights.data = torch.tensor([1.9, 0.2, 0.9], dtype=torch.float64)
    for batch in gradients(30):
        pull(weighting, batch)
    other.load_state_dict(weighting.state_dict())
    assert other.named_weights() == weighting.named_weights()
    with pytest.raises(RuntimeError, match="evidence"):
        GraP(NAMES, caution=1.0).load_state_dict(GraP(NAMES).state_dict())


def test_caution_below_zero() -> None:
    with pytest.raises(ValueError, match="caution=-1: a number of standard errors is at least 0"):
        GraP(NAMES, caution=-1)
