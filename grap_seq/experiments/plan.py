"""Which runs a table is made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grap_seq.experiments.methods import METHODS, NOISE, SCALES, method

WEIGHTINGS = ("equal", "gradnorm", "dwa", "mgda", "pcgrad", "grap")
# What each of the paper's tables compares.
TABLES: dict[str, tuple[str, ...]] = {
    "1": ("supervised", *WEIGHTINGS),
    "2": ("ntp_equal", "ntp_searched", "ntp_grap"),
    "4": ("grap_5", "grap_10", "grap_20", "grap_50", "grap"),
    "5": ("grap_none", "grap_sum", "grap"),
    "6": ("supervised", "auxiliary", "equal", "equal_tuned", "grap", "grap_tuned"),
    "7": ("equal", "grap"),
    # Not in the paper: losses of pure noise, and one loss on another scale.
    "redundancy": tuple(
        f"{name}{noise}"
        for name in ("equal", "grap")
        for noise in ("", *(f"_noise{count}" for count in NOISE))
    ),
    "scale": tuple(
        f"{name}{scale}"
        for name in ("equal", "gradnorm", "grap")
        for scale in ("", *(f"_coles{factor}" for factor in SCALES))
    ),
}
# Settings of `pretrain` and of LightGBM by the time that there is.
BUDGETS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "full": ((), ()),
    "small": (("min_steps=600", "max_epochs=30", "min_epochs=2"), ()),
    "smoke": (
        (
            *("epochs=1", "trainer.max_steps=2", "batch_size=4", "encoder.hidden=8"),
            *("dataset.crops.max_length=32", "select=last", "event_width=8"),
        ),
        tuple(
            f"boosting.{group}.{name}"
            for group in ("binary", "multiclass", "regression")
            for name in ("n_estimators=5", "min_data_in_leaf=2")
        ),
    ),
}


@dataclass(frozen=True)
class Experiment:
    """One run of a grid.

    Args:
        dataset, encoder, method, seed: the cell of a table, and which of its runs.
        budget: one of `BUDGETS`.
        settings: further settings of `pretrain`, the user's.
    """

    dataset: str
    encoder: str
    method: str
    seed: int
    budget: str = "full"
    settings: tuple[str, ...] = ()

    @property
    def base(self) -> Experiment | None:
        """The run that is fine-tuned, where the method does that."""
        base = METHODS[self.method].base
        if base is None:
            return None
        return Experiment(self.dataset, self.encoder, base, self.seed, self.budget, self.settings)

    @property
    def training(self) -> list[str]:
        """Settings of `pretrain`, without folders and threads."""
        return [
            f"dataset={self.dataset}",
            f"encoder={self.encoder}",
            *METHODS[self.method].settings,
            f"seed={self.seed}",
            *BUDGETS[self.budget][0],
            *self.settings,
        ]

    @property
    def evaluation(self) -> list[str]:
        """Settings of `evaluate`, without folders and threads.

        The dataset's own split for all: a run that has learned labels has no other test sequences.
        """
        return ["folds=0", *BUDGETS[self.budget][1]]

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.dataset}, {self.encoder}, {self.method}, seed {self.seed}"

    @property
    def name(self) -> str:
        """Of its folder: other settings have another one, so that runs of two are never mixed."""
        told = json.dumps([self.training, self.evaluation, METHODS[self.method].base])
        digest = hashlib.sha256(told.encode()).hexdigest()[:8]
        return f"{self.dataset}_{self.encoder}_{self.method}_{self.seed}_{digest}"


def plan(
    table: str,
    datasets: Sequence[str],
    encoders: Sequence[str],
    methods: Sequence[str] | None,
    seeds: int,
    budget: str,
    settings: Sequence[str] = (),
) -> list[Experiment]:
    """The runs of a table, those of the first seed first.

    Args:
        methods: some of the table's; None: all.

    Raises:
        ValueError: a method that there is not, or that the table does not compare.
    """
    for name in methods or ():
        method(name)
        if name not in TABLES[table]:
            raise ValueError(
                f"methods: table {table} does not compare {name}; it compares "
                f"{', '.join(TABLES[table])}"
            )
    chosen = [name for name in TABLES[table] if methods is None or name in methods]
    return [
        Experiment(dataset, encoder, name, seed, budget, tuple(settings))
        for seed in range(seeds)
        for dataset in datasets
        for encoder in encoders
        for name in chosen
    ]


def with_bases(experiments: Sequence[Experiment]) -> list[Experiment]:
    """The same, each behind the run that it fine-tunes."""
    found: dict[Experiment, None] = {}
    for experiment in experiments:
        if experiment.base is not None:
            found.setdefault(experiment.base)
        found.setdefault(experiment)
    return list(found)


def check_prepared(experiments: Sequence[Experiment], data: Path) -> None:
    """Raise FileNotFoundError for a dataset that is not prepared; it says how to prepare it."""
    for dataset in dict.fromkeys(experiment.dataset for experiment in experiments):
        if not (data / dataset / "manifest.json").is_file():
            source = "" if dataset == "flights" else " source=..."
            raise FileNotFoundError(
                f"{data / dataset} is not a prepared folder; make it with `grap-seq prepare "
                f"dataset={dataset}{source} output={data / dataset}`, or name the folder that "
                "holds it with data="
            )
