"""Every weighting method, for tests of what all of them promise; and a small model to train."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from grap_seq.weighting import (
    DWA,
    MGDA,
    Auxiliary,
    Equal,
    Fixed,
    GradNorm,
    GraP,
    GraPPublished,
    HeadBank,
    PCGrad,
    Supervised,
    TorchJD,
    Weighting,
)

Make = Callable[[Sequence[str]], Weighting]


def _fixed(names: Sequence[str]) -> Weighting:
    return Fixed(names, {name: 0.5 + place for place, name in enumerate(names)})


def _remembering(names: Sequence[str]) -> Weighting:
    weighting = GraP(names, memory=0.9)
    assert weighting.across is not None
    # Tests have few batches.
    weighting.across.enough = 2
    return weighting


METHODS: dict[str, Make] = {
    "equal": Equal,
    "fixed": _fixed,
    "grap": GraP,
    "grap-sum": lambda names: GraP(names, normalization="sum"),
    "grap-none": lambda names: GraP(names, normalization="none"),
    "grap-unit": lambda names: GraP(names, rescale="unit"),
    "grap-gradient": lambda names: GraP(names, units="gradient", smoothing=0.9),
    "grap-cautious": lambda names: GraP(names, caution=2.0),
    "grap-memory": _remembering,
    "grap-every": lambda names: GraP(names, every=3),
    "grap-published": lambda names: GraPPublished(names, warmup=3, smoothing=0.9),
    "gradnorm": GradNorm,
    "dwa": DWA,
    "mgda": MGDA,
    "mgda-norm": lambda names: MGDA(names, normalization="norm"),
    "pcgrad": PCGrad,
    "auxiliary": Auxiliary,
    "supervised": Supervised,
    "aligned_mtl": lambda names: TorchJD(names, "aligned_mtl"),
    "upgrad": lambda names: TorchJD(names, "upgrad"),
}
every_method = pytest.mark.parametrize("method", list(METHODS))
# Those that do not look at the downstream gradient to form the composite.
UNSUPERVISED = [name for name in METHODS if name not in ("auxiliary", "supervised")]
NAMES = ("a", "b", "c")
Batch = tuple[Tensor, Tensor]  # inputs (N, 6), targets (4, N, 2)


class Net(nn.Module):
    """Encoder, first and second layers of three losses and the downstream loss, in float64."""

    def __init__(self, make: Make, fused: bool = True) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.encoder = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 16))
        self.weighting = make(NAMES)
        self.bank = HeadBank(self.weighting, 16, 8)
        self.seconds = nn.ModuleList(nn.Linear(8, 2) for _ in range(4))
        self.fused = fused
        self.double()

    def losses(self, batch: Batch, labelled: Tensor | None = None) -> dict[str, Tensor]:
        x, targets = batch
        z = self.encoder(x)
        if self.fused:
            hidden = self.bank(z)
        else:
            views = self.weighting(z).items()
            first = zip(views, self.bank.weight, self.bank.bias, strict=True)
            hidden = {name: nn.functional.linear(view, w, b) for (name, view), w, b in first}
        parts = zip(hidden.items(), self.seconds, targets, strict=True)
        errors = {n: (second(torch.tanh(h)) - t).square() for (n, h), second, t in parts}
        if labelled is not None:
            errors["downstream"] = errors["downstream"] * labelled[:, None]
        return {name: error.mean() for name, error in errors.items()}

    def forward(self, batch: Batch, labelled: Tensor | None = None) -> Tensor:
        """Total of a batch; `labelled` (N,) is 0 for rows without a downstream loss."""
        total: Tensor = self.weighting.total(self.losses(batch, labelled))
        return total

    def optimizer(self) -> torch.optim.Optimizer:
        groups = [{"params": self.parameters(), "lr": 0.01}]
        if self.weighting.learned:
            groups.append(self.weighting.parameter_group(0.05))
        return torch.optim.Adam(groups)


def batch(seed: int, positions: int = 40) -> Batch:
    """Random inputs; targets that depend on them."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(positions, 6, generator=generator, dtype=torch.float64)
    noise = torch.randn(4, positions, 2, generator=generator, dtype=torch.float64)
    return x, noise + torch.sin(x[:, :2] * torch.arange(1, 5)[:, None, None])
