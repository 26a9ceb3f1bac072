"""Can the losses' gradients be told to help the label, in a batch or over many of them?

Trains with equal weights for some steps, then takes the gradient of every loss and of the label's
loss in many batches, with respect to the embedding, as GraP does, and to the encoder's parameters,
where gradients of different batches can be added up.

- "batch": cosine with the label's gradient within a batch, mean over batches and its distance from
  zero in standard errors, in both spaces.
- "mean": cosine of the mean gradients of disjoint groups of batches, in parameter space: what the
  cosine is without a batch's noise. Its standard error is a jackknife's over groups.
- "signal": share of a gradient's mean square that its mean over all batches has.
- "weight": where Algorithm 1 moves the weight from equal ones (gradient of f), in standard errors:
  by the statistics of single batches in embedding space, and by those of the mean gradients.

    python benchmarks/alignment.py data/physionet2012 --steps 1000 --batches 850 objective=ntp
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from grap_seq import config as configs
from grap_seq.batch import Batch
from grap_seq.data.loader import loader
from grap_seq.files import write_json
from grap_seq.prepared_settings import with_dataset
from grap_seq.schema import Schema
from grap_seq.training.data import PretrainData
from grap_seq.training.module import PretrainModule
from grap_seq.training.pretrain import (
    build_module,
    crop_policy,
    numbers_of,
    recency_of,
    time_edges,
)
from grap_seq.training.time_settings import with_times
from grap_seq.weighting.grap import alignment_gradient

RESULTS = Path(__file__).parent / "results"
Array = npt.NDArray[np.float64]
COLUMNS = (
    *("batch_embedding", "batch_parameters", "mean_parameters"),
    *("weight_embedding", "weight_parameters"),
)


class Gradients:
    """Gradients of J = K + 1 losses over batches, the label's last.

    Args:
        groups: disjoint groups of batches.

    Attributes:
        embedding, parameters: Gram matrices (J, J) of the batches, in either space.
        sums: sums of the gradients of a group with respect to P parameters, (J, P) each.
        counts: batches of the groups.
    """

    def __init__(self, groups: int) -> None:
        self.embedding: list[Array] = []
        self.parameters: list[Array] = []
        self.sums: list[Tensor | None] = [None] * groups
        self.counts = [0] * groups

    def add(self, of_embedding: Tensor, of_parameters: Tensor) -> None:
        """Those of a batch, (J, N * H) and (J, P); one without a label is left out."""
        if not of_embedding[-1].any():
            return
        group = len(self.embedding) % len(self.sums)
        for found, rows in ((self.embedding, of_embedding), (self.parameters, of_parameters)):
            rows = rows.double()
            found.append((rows @ rows.T).numpy())
        known = self.sums[group]
        self.sums[group] = of_parameters if known is None else known + of_parameters
        self.counts[group] += 1

    def products(self) -> Array:
        """Inner products of the groups' mean gradients, (groups, groups, J, J)."""
        pairs = zip(self.sums, self.counts, strict=True)
        means = [rows.double() / count for rows, count in pairs if rows is not None]
        return np.array([[(a @ b.T).numpy() for b in means] for a in means])


def between(products: Array, left_out: int | None = None) -> Array:
    """Gram matrix (J, J) of the mean gradients; pairs of different groups have no common noise."""
    groups = [g for g in range(len(products)) if g != left_out]
    pairs = [products[a, b] for a in groups for b in groups if a != b]
    return np.asarray(np.mean(pairs, axis=0))


def jackknife(products: Array, statistic: Callable[[Array], Array]) -> tuple[Array, Array]:
    """A statistic of the mean gradients' Gram matrix, and its standard error."""
    groups = len(products)
    values = np.array([statistic(between(products, g)) for g in range(groups)])
    error = np.sqrt((groups - 1) / groups * np.square(values - values.mean(0)).sum(0))
    return statistic(between(products)), error


def cosines(gram: Array) -> Array:
    """Of every loss with the label, (K,), from a Gram matrix (J, J)."""
    lengths = np.sqrt(np.maximum(np.diagonal(gram), 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(gram[:-1, -1] / (lengths[:-1] * lengths[-1]))


def moves(gram: Array) -> Array:
    """Where Algorithm 1 moves equal weights, (K,): the gradient of f (paper, equation 15)."""
    full = torch.from_numpy(gram)
    equal = torch.ones(len(gram) - 1, dtype=full.dtype)
    return alignment_gradient(equal, full[:-1, :-1], full[:-1, -1]).numpy()


def over_batches(values: Array) -> tuple[Array, Array]:
    """Mean over batches, and its standard error."""
    return values.mean(0), values.std(0, ddof=1) / np.sqrt(len(values))


def batches_of(data: PretrainData, first: int) -> Iterator[Batch]:
    """Batches without end, from an epoch on."""
    epoch = first
    while True:
        yield from loader(data.batches(epoch), 0, pinned=False)
        epoch += 1


def prepared(folder: Path, settings: list[str]) -> tuple[PretrainModule, PretrainData, Any]:
    """What `pretrain` would train with equal weights, on what, and its settings."""
    words = with_dataset([*settings, f"prepared={folder}", "weighting=equal"])
    config = configs.compose("pretrain", words)
    schema = Schema.load(folder)
    data = PretrainData(
        folder,
        crop_policy(config),
        config.batch_size,
        seed=config.seed,
        max_padding=config.max_padding,
        label=config.labels.name,
    )
    config, times = with_times(config, data.train)
    known = numbers_of(folder), recency_of(config, schema, times), None
    module, _ = build_module(config, schema, *known, time_edges(config.objective.time, data.train))
    return module, data, config


def train(module: PretrainModule, data: PretrainData, steps: int, clip: float) -> None:
    """Some steps with equal weights."""
    optimizer = torch.optim.Adam(module.clipped_parameters(), lr=module.lr)
    batches = batches_of(data, 0)
    for _ in track(range(steps), "training"):
        optimizer.zero_grad()
        total = module.weighting.total(module.batch_losses(next(batches)))
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(module.clipped_parameters(), clip)
        optimizer.step()


def measure(module: PretrainModule, data: PretrainData, count: int, groups: int) -> Gradients:
    """Gradients of every loss in some batches, the encoder being as it is."""
    parameters = [p for p in module.model.parameters() if p.requires_grad]
    # So that the label's gradient reaches the embedding: nothing is trained here.
    module.weighting.downstream = 1.0
    # Crops that training has not drawn.
    found, batches = Gradients(groups), batches_of(data, 1_000_000)
    for _ in track(range(count), "gradients"):
        batch = next(batches)
        encoded = module.model(batch)
        losses = module.objective(batch, encoded)
        rows: list[tuple[Tensor, Tensor]] = []
        for name in module.weighting.views:
            inputs = [encoded.all, *parameters]
            some = torch.autograd.grad(
                losses[name], inputs, retain_graph=True, materialize_grads=True
            )
            rows.append((some[0].flatten(), torch.cat([g.flatten() for g in some[1:]])))
        found.add(*(torch.stack(of) for of in zip(*rows, strict=True)))
    return found


def summary(found: Gradients, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row a loss."""
    embedding, parameters = np.array(found.embedding), np.array(found.parameters)
    products = found.products()
    columns = (
        over_batches(np.array([cosines(gram) for gram in embedding])),
        over_batches(np.array([cosines(gram) for gram in parameters])),
        jackknife(products, cosines),
        over_batches(np.array([moves(gram) for gram in embedding])),
        jackknife(products, moves),
    )
    signal = np.diagonal(between(products)) / np.diagonal(parameters.mean(0))
    rows: list[dict[str, Any]] = [
        {"loss": name, "signal": float(share)} for name, share in zip(names, signal, strict=True)
    ]
    for key, (values, errors) in zip(COLUMNS, columns, strict=True):
        for row, value, error in zip(rows, values, errors, strict=False):
            row[key], row[f"{key}_error"] = float(value), float(error)
    return rows


def _told(row: dict[str, Any], key: str) -> str:
    """A value with its error, or its distance from zero in errors."""
    if key not in row:
        return ""
    value, error = row[key], row[f"{key}_error"]
    if key == "mean_parameters":
        return f"{value:+.2f} ± {error:.2f}"
    distance = f"{value / error:+.1f}"
    return distance if key.startswith("weight") else f"{value:+.4f} ({distance})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batches", type=int, default=800)
    parser.add_argument("--groups", type=int, default=8)
    parser.add_argument("--name", default="alignment")
    parser.add_argument("settings", nargs="*", help="of pretrain, such as objective=ntp")
    arguments = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    module, data, config = prepared(arguments.prepared, arguments.settings)
    train(module, data, arguments.steps, config.clip)
    found = measure(module, data, arguments.batches, arguments.groups)
    rows = summary(found, module.weighting.views)
    table = Table(
        *("loss", "batch, embedding", "batch, parameters", "mean, parameters", "signal"),
        *("weight, embedding", "weight, parameters"),
    )
    for row in rows:
        told = [_told(row, key) for key in COLUMNS]
        table.add_row(row["loss"], *told[:3], f"{row['signal']:.3f}", *told[3:])
    Console().print(table)
    content = {
        "settings": arguments.settings,
        "steps": arguments.steps,
        "batches": sum(found.counts),
        "groups": arguments.groups,
        "losses": rows,
    }
    write_json(RESULTS / f"{arguments.name}.json", content)


if __name__ == "__main__":
    main()
