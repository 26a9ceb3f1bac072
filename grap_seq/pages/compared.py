"""Runs side by side: which are of one dataset, and which differ in their seed alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from grap_seq import config as configs
from grap_seq.experiments.methods import METHODS
from grap_seq.experiments.plan import flat
from grap_seq.pages.read import RunFiles

# Settings that say where a run is, on what machine and by which chance, and those that have a place
# of their own in a comparison.
FREE = (
    *("run", "prepared", "pretrained", "output", "resume", "overwrite", "seed", "weighting.seed"),
    *("checkpoint_every", "log_every", "trainer.name", "trainer.threads", "trainer.workers"),
    *("dataset.name", "encoder.name", "encoder.class", "weighting.name", "weighting.class"),
)
# Settings that a method is called after; with more of them it gets a number.
MOST_SETTINGS = 2


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        path: its folder.
        files: what is in it.
    """

    path: Path
    files: RunFiles

    @cached_property
    def config(self) -> dict[str, Any]:
        """Its config; that of the run it goes out from, where it fine-tunes one that is there."""
        own = self.files.config or {}
        base = Path(str(own.get("pretrained", ""))) / "config.yaml"
        return {**configs.load(base), **own} if "pretrained" in own and base.is_file() else own

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return str(self.config["dataset"]["name"])

    @property
    def data(self) -> str | None:
        """Hash of the data that it is scored on; None: it has no score."""
        evaluation = self.files.evaluation
        return None if evaluation is None else str(evaluation["made_of"]["data"])

    @property
    def encoder(self) -> str:
        """Name of the encoder."""
        return str(self.config.get("encoder", {}).get("name", "encoder"))

    @property
    def weighting(self) -> str:
        """Name of the weighting, which is "supervised" where the label alone was learned."""
        return str(self.config.get("weighting", {}).get("name", "unknown"))

    @property
    def title(self) -> str:
        """The weighting, for people."""
        known = METHODS.get(self.weighting)
        title = known.title if known is not None else f"{self.weighting} weights"
        return f"{title}, fine-tuned" if "pretrained" in self.config else title

    @property
    def seed(self) -> int:
        """Of everything random."""
        return int(self.config["seed"])

    @cached_property
    def settings(self) -> dict[str, str]:
        """What may tell it from another run of its weighting, by dotted key."""
        typed = (word.partition("=") for word in flat(self.config))
        return {key: value for key, _, value in typed if key not in FREE}

    @property
    def origin(self) -> str:
        """What else a score depends on: the versions of all code, and how it was evaluated."""
        environment, result = self.files.environment or {}, self.files.evaluation or {}
        parts = (environment.get("packages"), environment.get("commit"))
        how = (result.get("protocol"), result.get("classifier"), result.get("n_labelled"))
        return json.dumps([*parts, *how], sort_keys=True)

    @property
    def cost(self) -> dict[str, float]:
        """Of training: seconds, steps_per_second and peak_memory_mib; NaN where it is not known."""
        metrics = self.files.metrics
        if metrics is None or "seconds" not in metrics:
            return dict.fromkeys(("seconds", "steps_per_second", "peak_memory_mib"), float("nan"))
        seconds = float(metrics["seconds"].sum())
        memory = metrics.get("peak_memory_mib", pd.Series([float("nan")]))
        return {
            "seconds": seconds,
            "steps_per_second": float(metrics["step"].iloc[-1]) / seconds,
            "peak_memory_mib": float(memory.max()),
        }


@dataclass(frozen=True)
class Method:
    """Runs that differ in their seed alone.

    Attributes:
        title: for people; no other method of the section has it.
        weighting: its name.
        runs: by seed.
    """

    title: str
    weighting: str
    runs: tuple[Run, ...]

    @property
    def mixed(self) -> bool:
        """Whether its scores come from several versions of the code, or ways to evaluate."""
        return len({run.origin for run in self.runs if run.data is not None}) > 1

    @property
    def repeated(self) -> list[int]:
        """Seeds that several of its runs have."""
        seeds = [run.seed for run in self.runs]
        return sorted({seed for seed in seeds if seeds.count(seed) > 1})


@dataclass(frozen=True)
class Section:
    """The runs of one dataset.

    Attributes:
        title: its name, with a hash where there are several versions of its data.
        methods: in the order of the paper's tables.
        differences: settings in which methods differ beyond their names, as sentences.
    """

    title: str
    methods: tuple[Method, ...]
    differences: tuple[str, ...]


def sections(runs: Sequence[Run]) -> list[Section]:
    """Runs by dataset, and in each by what they differ in."""
    of: dict[tuple[str, str | None], list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.data is None):
        # One without a score goes with the first data of that name.
        same = next((key for key in of if key[0] == run.dataset), (run.dataset, run.data))
        of.setdefault(same if run.data is None else (run.dataset, run.data), []).append(run)
    names = [dataset for dataset, _ in of]
    return [
        _section(f"{name}, data {data[:8]}" if data and names.count(name) > 1 else name, part)
        for (name, data), part in of.items()
    ]


def _section(title: str, runs: Sequence[Run]) -> Section:
    several = len({run.encoder for run in runs}) > 1
    of: dict[tuple[str, str], list[Run]] = {}
    for run in sorted(runs, key=_order):
        of.setdefault((run.encoder, run.title), []).append(run)
    methods = []
    for (encoder, name), part in of.items():
        beginning = f"{name}, {encoder}" if several else name
        differing = varying(part)
        settled: dict[tuple[str, ...], list[Run]] = {}
        for run in part:
            told = [f"{short(key)}={run.settings[key]}" for key in differing if key in run.settings]
            settled.setdefault(tuple(told), []).append(run)
        for number, (told_of, same) in enumerate(settled.items(), start=1):
            more = told_of if len(differing) <= MOST_SETTINGS else (f"settings {number}",)
            methods.append(
                Method(
                    ", ".join((beginning, *more)),
                    part[0].weighting,
                    tuple(sorted(same, key=lambda run: run.seed)),
                )
            )
    return Section(title, tuple(methods), tuple(_differences(methods)))


def _order(run: Run) -> tuple[str, int, str]:
    names = list(METHODS)
    place = names.index(run.weighting) if run.weighting in names else len(names)
    return run.encoder, place, run.title


def short(key: str) -> str:
    """The end of a setting's key, which says enough in a title."""
    return ".".join(key.split(".")[-2:])


def varying(runs: Sequence[Run]) -> list[str]:
    """Keys of settings that are not the same in all runs; of those that move together, one."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    found: dict[tuple[str | None, ...], str] = {}
    for key in sorted(keys, key=lambda key: (key.count("."), len(key))):
        values = tuple(run.settings.get(key) for run in runs)
        if len(set(values)) > 1:
            found.setdefault(values, key)
    return sorted(found.values())


def _differences(methods: Sequence[Method]) -> list[str]:
    """What a reader must know before methods are compared: settings that no title tells of."""
    firsts = [method.runs[0] for method in methods]
    found = []
    for key in varying(firsts):
        told = any(f"{short(key)}=" in method.title for method in methods)
        if told or key == "mode" or key.startswith(("weighting.", "encoder.")):
            continue
        of: dict[str, list[str]] = {}
        # A method without such a setting, as one that learns the label alone, is not spoken of.
        for method, run in zip(methods, firsts, strict=True):
            if key in run.settings:
                of.setdefault(run.settings[key], []).append(method.title)
        if len(of) > 1:
            values = (f"{value} ({', '.join(titles)})" for value, titles in of.items())
            found.append(f"{key} is {', '.join(values)}")
    return found
