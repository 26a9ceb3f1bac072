"""Preparation once more, slowly: plain Python and NumPy, written from the format's definition."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from grap_seq.prep.describe.spec import DatasetSpec


@dataclass
class Event:
    """One raw event; None is a missing value."""

    id: int | str
    time: float
    categories: dict[str, str | None]
    numbers: dict[str, float | None]


def split_of(sequence: int | str, spec: DatasetSpec) -> str:
    value = int(hashlib.md5(f"{spec.split.seed}:{sequence}".encode()).hexdigest(), 16) / 2**128
    if value < spec.split.test:
        return "test"
    return "val" if value < spec.split.test + spec.split.validation else "train"


def _scale_of(values: list[float], clip: tuple[float, float]) -> tuple[float, float, float, float]:
    if not values:
        return 0.0, 0.0, 0.0, 1.0
    low, high = np.quantile(values, clip)
    clipped = np.clip(values, low, high)
    return float(low), float(high), float(clipped.mean()), float(clipped.std()) or 1.0


def prepare(events: list[Event], spec: DatasetSpec) -> dict[str, list[dict[str, Any]]]:
    """Rows of each split, sorted by id."""
    train = [event for event in events if split_of(event.id, spec) == "train"]
    codes: dict[str, dict[str | None, int]] = {}
    for name in spec.categorical:
        counts = Counter(event.categories[name] for event in train)
        ordered = sorted(counts, key=lambda v: (-counts[v], v is None, v or ""))
        codes[name] = {value: number for number, value in enumerate(ordered, 1)}

    def number(name: str, raw: float) -> float:
        return math.copysign(math.log1p(abs(raw)), raw) if spec.numerical[name].log else raw

    scales: dict[str, dict[str | None, tuple[float, float, float, float]]] = {}
    others = {}
    for name, options in spec.numerical.items():
        groups = defaultdict(list)
        for event in train:
            raw = event.numbers[name]
            if raw is not None:
                key = None if options.by is None else event.categories[options.by]
                groups[key].append(number(name, raw))
        scales[name] = {key: _scale_of(v, options.clip) for key, v in groups.items()}
        others[name] = _scale_of([x for v in groups.values() for x in v], options.clip)

    sequences = defaultdict(list)
    for event in events:
        known = [codes[n].get(event.categories[n], len(codes[n]) + 1) for n in spec.categorical]
        row: list[float] = [event.time, *known]
        for name, options in spec.numerical.items():
            raw = event.numbers[name]
            key = None if options.by is None else event.categories[options.by]
            low, high, mean, std = scales[name].get(key, others[name])
            if raw is None:
                row.append(math.nan)
            else:
                row.append((min(max(number(name, raw), low), high) - mean) / std)
        sequences[event.id].append(row)

    splits: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    names = ["event_time", *spec.categorical, *spec.numerical]
    for sequence in sorted(sequences):
        rows = sorted(sequences[sequence], key=lambda row: [(math.isnan(x), x) for x in row])
        columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
        splits[split_of(sequence, spec)].append({spec.id: sequence, **columns})
    return splits
