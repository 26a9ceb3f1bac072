"""Models of `weighting_cost.py`: an encoder, a weighting on one of the nodes, and K + 1 heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchjd.aggregation import MGDA as JDMGDA
from torchjd.aggregation import PCGrad as JDPCGrad
from torchjd.autojac import jac_to_grad, mtl_backward

from grap_seq import weighting as methods
from grap_seq.weighting import HeadBank, TorchJD, Weighting

INPUT, WIDTH, CLASSES = 256, 128, 8
METHODS: dict[str, Callable[[Sequence[str]], Weighting]] = {
    "equal": methods.Equal,
    "fixed": lambda names: methods.Fixed(names, {n: 0.5 + i for i, n in enumerate(names)}),
    "grap": methods.GraP,
    "grap_memory": lambda names: methods.GraP(names, memory=0.998),
    "gradnorm": methods.GradNorm,
    "dwa": methods.DWA,
    "mgda": methods.MGDA,
    "pcgrad": methods.PCGrad,
    "aligned_mtl": lambda names: TorchJD(names, "aligned_mtl"),
    "upgrad": lambda names: TorchJD(names, "upgrad"),
    "auxiliary": methods.Auxiliary,
    "supervised": methods.Supervised,
}
ENGINE = {"mgda": JDMGDA, "pcgrad": JDPCGrad}
Run = tuple[str, str]  # method, node


@dataclass(frozen=True)
class Cell:
    """One encoder with K losses; `runs` are those that are compared."""

    encoder: str
    hidden: int
    losses: int
    runs: tuple[Run, ...]
    sequences: int = 16
    length: int = 100

    @property
    def width(self) -> int:
        """Of the inputs."""
        return min(INPUT, self.hidden)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Inputs (sequences, length, width) and classes (losses + 1, sequences * length)."""
        inputs = torch.randn(self.sequences, self.length, self.width)
        return inputs, torch.randint(CLASSES, (self.losses + 1, self.sequences * self.length))


class Encoder(nn.Module):
    """A GRU, or a causal pre-norm Transformer of four layers."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.layers: nn.Module
        if cell.encoder == "gru":
            self.layers = nn.GRU(cell.width, cell.hidden, batch_first=True)
            return
        layer = nn.TransformerEncoderLayer(
            cell.width, 8, 4 * cell.width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Embeddings of all positions, shape (N, H)."""
        if isinstance(self.layers, nn.GRU):
            states: Tensor = self.layers(inputs)[0]
        else:
            mask = nn.Transformer.generate_square_subsequent_mask(inputs.shape[1])
            states = self.layers(inputs, mask=mask, is_causal=True)
        return states.flatten(0, 1)


class Trainer:
    """Model and optimiser of one run."""

    def __init__(self, cell: Cell, run: Run) -> None:
        torch.manual_seed(0)
        self.method, self.node = run
        names = [f"loss{index}" for index in range(cell.losses)]
        self.encoder = Encoder(cell)
        self.weighting = METHODS[self.method](names)
        self.firsts: nn.Module
        if self.node == "fused":
            self.firsts = HeadBank(self.weighting, cell.hidden, WIDTH)
        else:
            self.firsts = nn.ModuleList(nn.Linear(cell.hidden, WIDTH) for _ in self.weighting.views)
        self.seconds = nn.ModuleList(nn.Linear(WIDTH, CLASSES) for _ in self.weighting.views)
        model = nn.ModuleList([self.encoder, self.firsts, self.seconds])
        self.model = list(model.parameters())
        groups: list[dict[str, Any]] = [{"params": self.model}]
        if self.weighting.learned:
            groups.append(self.weighting.parameter_group())
        self.optimizer = torch.optim.Adam(groups)

    def step(self, batch: tuple[Tensor, Tensor]) -> None:
        """One optimiser step, clipping included."""
        self.optimizer.zero_grad()
        inputs, targets = batch
        z = self.encoder(inputs)
        if self.node == "torchjd":
            self.engine(z, targets)
        else:
            hidden = self.firsts(z) if self.node == "fused" else self.separate(self.weighting(z))
            losses = self.losses(hidden, targets)
            self.weighting.total(losses).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model, 1.0)
        self.optimizer.step()

    def separate(self, views: dict[str, Tensor]) -> dict[str, Tensor]:
        """First layers of their own, on every loss's view."""
        assert isinstance(self.firsts, nn.ModuleList)
        parts = zip(views.items(), self.firsts, strict=True)
        return {name: first(view) for (name, view), first in parts}

    def losses(self, hidden: dict[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
        """Second layers and cross-entropies."""
        parts = zip(hidden.items(), self.seconds, targets, strict=True)
        return {
            name: nn.functional.cross_entropy(second(torch.relu(pre)), target)
            for (name, pre), second, target in parts
        }

    def engine(self, z: Tensor, targets: Tensor) -> None:
        """Backward pass of TorchJD; as with ours, the encoder learns nothing from downstream."""
        assert isinstance(self.firsts, nn.ModuleList)
        views = {name: z.detach() if name == "downstream" else z for name in self.weighting.views}
        losses = self.losses(self.separate(views), targets)
        losses.pop("downstream").backward()  # type: ignore[no-untyped-call]
        heads = [
            [*first.parameters(), *second.parameters()]
            for first, second in zip(self.firsts, self.seconds, strict=True)
        ]
        mtl_backward(
            list(losses.values()),
            features=z,
            tasks_params=heads[:-1],
            shared_params=self.encoder.parameters(),
            parallel_chunk_size=1,
        )
        jac_to_grad(self.encoder.parameters(), ENGINE[self.method]())
