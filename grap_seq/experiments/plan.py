"""Which runs a table is made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grap_seq import config as configs
from grap_seq.experiments.job import Job
from grap_seq.experiments.methods import METHODS, method
from grap_seq.experiments.tables import BUDGETS, IMAGE_BUDGETS, IMAGES, TABLES
from grap_seq.prepared_settings import backbone_of

VISION = "vision"
# What a run is called after, or what goes on with it.
SET_HERE = (
    *(
        "dataset",
        "encoder",
        "data",
        "backbone",
        "source",
        "weighting",
        "mode",
        "seed",
        "labels.fraction",
    ),
    *("run", "prepared", "resume", "overwrite", "experiment", "configs", "trainer.threads"),
)


def training(
    dataset: str,
    encoder: str,
    method: Sequence[str],
    seed: int,
    budget: str,
    settings: Sequence[str],
) -> list[str]:
    """Settings of `pretrain`: those of a method between those of the data and the user's."""
    chosen = [f"dataset={dataset}", f"encoder={encoder}", *method, f"seed={seed}"]
    return [*chosen, *BUDGETS[budget][0], *settings]


def evaluation(budget: str, folds: int = 0) -> list[str]:
    """Settings of `evaluate`."""
    return [f"folds={folds}", *BUDGETS[budget][1]]


def flat(settings: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Settings as they are typed: {"encoder": {"hidden": 64}} is "encoder.hidden=64"."""
    typed: list[str] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            typed += flat(value, f"{prefix}{key}.")
        else:
            text = json.dumps(value) if isinstance(value, bool | None) else str(value)
            typed.append(f"{prefix}{key}={text}")
    return typed


@dataclass(frozen=True)
class Experiment:
    """One run of a grid.

    Args:
        dataset, encoder, method, seed: the cell of a table, and which of its runs.
        budget: one of `BUDGETS`.
        settings: further settings of `pretrain`, the user's.
        options: those of the method that differ from `METHODS`, such as what a search has found.
        folds: of the evaluation; 0: the dataset's own split.
        command: what trains: pretrain, or vision, whose encoders are backbones.
    """

    dataset: str
    encoder: str
    method: str
    seed: int
    budget: str = "full"
    settings: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    folds: int = 0
    command: str = "pretrain"

    @property
    def base(self) -> Experiment | None:
        """The run that the method goes out from, where it does."""
        base = METHODS[self.method].base
        if base is None:
            return None
        return replace(self, method=base, options=())

    @property
    def training(self) -> list[str]:
        """Settings of the command, without folders and threads."""
        more = [*METHODS[self.method].settings, *self.options]
        if self.command == VISION:
            chosen = [f"data={self.dataset}", f"backbone={self.encoder}", *more]
            return [*chosen, f"seed={self.seed}", *IMAGE_BUDGETS[self.budget], *self.settings]
        return training(self.dataset, self.encoder, more, self.seed, self.budget, self.settings)

    @property
    def evaluation(self) -> list[str]:
        """Settings of `evaluate`, without folders and threads."""
        # The paper's Table 4 is about the labels that weights learn from, not a classifier's.
        fewer = any(word.startswith("labels.fraction=") for word in METHODS[self.method].settings)
        return [*evaluation(self.budget, self.folds), *(["all_labels=true"] if fewer else [])]

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.dataset}, {self.encoder}, {self.method}, seed {self.seed}"

    @property
    def name(self) -> str:
        """Of its folder: what is trained otherwise has another one, so that runs never mix."""
        told = json.dumps([self.training, METHODS[self.method].base])
        digest = hashlib.sha256(told.encode()).hexdigest()[:8]
        return f"{self.dataset}_{self.encoder}_{self.method}_{self.seed}_{digest}"

    def job(self, data: Path, threads: int) -> Job:
        """What is done; `data` is the folder of prepared folders, or of images."""
        goes_on = METHODS[self.method].fine_tunes
        place = data / self.dataset
        with_package = self.command == VISION and not place.exists()
        return Job(
            name=self.name,
            title=self.title,
            alike=f"{self.dataset}, {self.encoder}",
            settings=(f"seed={self.seed}",) if goes_on else tuple(self.training),
            command="finetune" if goes_on else self.command,
            prepared=None if goes_on or with_package else place,
            threads=threads,
            evaluation=None if self.command == VISION else tuple(self.evaluation),
            base=None if self.base is None else self.base.job(data, threads),
        )


def plan(
    table: str,
    datasets: Sequence[str],
    encoders: Sequence[str],
    methods: Sequence[str] | None,
    seeds: int,
    budget: str,
    settings: Sequence[str] = (),
    folds: int = 0,
) -> list[Experiment]:
    """The runs of a table, those of the first seed first.

    Methods that leave out what another one drops are not among them: `dropped.without` plans their
    runs when it is known.

    Args:
        encoders: none: of images, the backbone of each dataset's config.
        methods: some of the table's; None: all.
        folds: of the evaluation; 0: the dataset's own split.

    Raises:
        ValueError: a method that there is not, that the table does not compare, or one whose
            encoder labels train, with folds: it has no other test sequences than the split's.
    """
    for name in methods or ():
        method(name)
        if name not in TABLES[table]:
            raise ValueError(
                f"methods: table {table} does not compare {name}; it compares "
                f"{', '.join(TABLES[table])}"
            )
    if table == "7" and methods is not None and "equal" not in methods:
        raise ValueError("table 7 compares with equal weights: leave equal in methods=")
    chosen = [name for name in TABLES[table] if methods is None or name in methods]
    for name in chosen:
        if METHODS[name].drops_of not in (None, *chosen):
            raise ValueError(
                f"{name} leaves out what {METHODS[name].drops_of} drops: leave "
                f"{METHODS[name].drops_of} in methods="
            )
    trained = [name for name in chosen if METHODS[name].learns_labels]
    if folds and trained:
        raise ValueError(
            f"folds={folds}: labels of the training split train the encoder of "
            f"{', '.join(trained)}, which folds would score on them; use folds=0, or leave "
            f"{'it' if len(trained) == 1 else 'them'} out of methods="
        )
    command = VISION if table == IMAGES else "pretrain"
    return [
        Experiment(dataset, encoder, name, seed, budget, tuple(settings), (), folds, command)
        for seed in range(seeds)
        for dataset in datasets
        for encoder in encoders or [backbone_of(dataset)]
        for name in chosen
        if METHODS[name].drops_of is None
    ]


def with_bases(experiments: Sequence[Experiment]) -> list[Experiment]:
    """The same, each behind the run that it fine-tunes."""
    found: dict[Experiment, None] = {}
    for experiment in experiments:
        if experiment.base is not None:
            found.setdefault(experiment.base)
        found.setdefault(experiment)
    return list(found)


def check_settings(experiments: Sequence[Experiment]) -> None:
    """Refuse what `pretrain` would refuse, before any run.

    Raises:
        ValueError: a dataset, encoder or setting that there is not, one that the grid sets itself,
            or searched weights of a dataset that has none, which would be equal ones.
    """
    for experiment in experiments:
        check_free(experiment.settings, METHODS[experiment.method].settings)
        if experiment.seed or experiment.base is not None:
            continue
        weighting = configs.compose(experiment.command, experiment.training).weighting
        if weighting.name == "searched" and not weighting.weights:
            name = experiment.dataset
            raise ValueError(
                f"methods: {name} has no searched weights; search them with `grap-seq tune "
                f"dataset={name} with.objective=ntp` and write them into its searched_weights, or "
                f"leave {experiment.method} out"
            )


def check_free(settings: Sequence[str], method: Sequence[str]) -> None:
    """Raise ValueError for a setting of the user's that would change what a run is called after."""
    taken = {*SET_HERE, *(word.partition("=")[0] for word in method)}
    for word in settings:
        name = word.partition("=")[0]
        if name in taken:
            raise ValueError(f"with.{name}: the runs set it themselves; leave it out")


def check_prepared(dataset: str, folder: Path) -> None:
    """Raise FileNotFoundError for a folder that is not prepared; it says how to prepare it."""
    if not (folder / "manifest.json").is_file():
        source = "" if dataset == "flights" else " source=..."
        raise FileNotFoundError(
            f"{folder} is not a prepared folder; make it with `grap-seq prepare "
            f"dataset={dataset}{source} output={folder}`, or name the folder that holds it with "
            "data= (of -m: prepared=)"
        )
