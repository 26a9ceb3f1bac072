"""How many values of coded events are rare, missing, or at an end of their range, by field.

| kind    | of              | what counts                                                         |
|---------|-----------------|---------------------------------------------------------------------|
| rare    | categories      | has the code of all values that are not in the vocabulary           |
| missing | all             | is missing (of a category: where training had missing values too;   |
|         |                 | otherwise it is a rare one)                                         |
| clipped | numbers         | lies at an end of the range of training's numbers, or beyond        |

What is counted are codes, so that training data and new events are looked at in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grap_seq.prep.folder.state import Scaler, State
from grap_seq.prep.stages.encoding import scaled
from grap_seq.schema import TIME

# Field and kind.
Name = tuple[str, str]
Array = NDArray[Any]
HUGE = 1e300


@dataclass(frozen=True)
class Count:
    """Sums over sequences with n events, k of which count: of n, n^2, k, k^2 / n, and sequences.

    Counts of disjoint sequences can be added.
    """

    events: int
    squares: float
    found: int
    found_squares: float
    sequences: int

    def __add__(self, other: Count) -> Count:
        return Count(
            self.events + other.events,
            self.squares + other.squares,
            self.found + other.found,
            self.found_squares + other.found_squares,
            self.sequences + other.sequences,
        )

    @property
    def share(self) -> float:
        """Part of the events that count."""
        return self.found / max(1, self.events)

    @property
    def variance(self) -> float:
        """Of the sequences' shares around `share`, each as heavy as its events."""
        return max(0.0, self.found_squares / max(1, self.events) - self.share**2)

    @property
    def effective(self) -> float:
        """As many equally long sequences tell as much."""
        return self.events**2 / max(1.0, self.squares)


class Counter:
    """Counts coded sequences.

    Args:
        state: vocabularies and scalers that they are coded by.
    """

    def __init__(self, state: State) -> None:
        self._tests: dict[Name, tuple[str | None, Callable[[Array, Array | None], Array]]] = {}
        for name, values in (state.categorical | state.static_categorical).items():
            self._tests[name, "rare"] = None, partial(_is, len(values) + 1)
            if None in values:
                self._tests[name, "missing"] = None, partial(_is, values.index(None) + 1)
        for name, scaler in (state.numerical | state.static_numerical).items():
            self._tests[name, "missing"] = None, _is_missing
            self._tests[name, "clipped"] = scaler.by, _at_an_end(scaler)

    def count(self, rows: Iterable[pa.RecordBatch]) -> dict[Name, Count]:
        """By field and kind; rows as in a prepared folder, a list of each event field."""
        total: dict[Name, Count] = {}
        for batch in rows:
            lengths = np.diff(batch.column(TIME).offsets.to_numpy())
            found = self._count(batch, lengths)
            total = {name: total[name] + one for name, one in found.items()} if total else found
        return total

    def _count(self, rows: pa.RecordBatch, lengths: Array) -> dict[Name, Count]:
        columns: dict[str, tuple[Array, Array]] = {}
        for name in dict.fromkeys(name for name, _ in self._tests):
            column = rows.column(name)
            listed = pa.types.is_list(column.type)
            values = (column.flatten() if listed else column).to_numpy(zero_copy_only=False)
            columns[name] = values, lengths if listed else np.ones(len(rows), np.int64)
        found = {}
        for (name, kind), (by, test) in self._tests.items():
            values, sizes = columns[name]
            found[name, kind] = _sums(test(values, columns[by][0] if by else None), sizes)
        return found


def _sums(hits: Array, sizes: Array) -> Count:
    total = np.concatenate([[0], np.cumsum(hits)])
    stops = np.cumsum(sizes)
    each = total[stops] - total[stops - sizes]
    return Count(
        int(sizes.sum()),
        float(np.square(sizes, dtype=np.float64).sum()),
        int(each.sum()),
        float((each / np.maximum(1, sizes) * each).sum()),
        len(sizes),
    )


def _is(code: int, codes: Array, by: Array | None) -> Array:
    del by
    found: Array = codes == code
    return found


def _is_missing(numbers: Array, by: Array | None) -> Array:
    del by
    found: Array = np.isnan(numbers)
    return found


def _at_an_end(scaler: Scaler) -> Callable[[Array, Array | None], Array]:
    places = np.arange(1, len(scaler.groups) + 2, dtype=np.int32)
    # The ends as coding makes them, for every code of the field that it is scaled by.
    low, high = (
        scaled(pa.array(np.full(len(places), end)), scaler, places if scaler.by else None)
        for end in (-HUGE, HUGE)
    )
    return partial(_is_one_of, low, high)


def _is_one_of(low: Array, high: Array, numbers: Array, by: Array | None) -> Array:
    place = 0 if by is None else by - 1
    found: Array = (numbers == low[place]) | (numbers == high[place])
    return found


def to_dict(counts: Mapping[Name, Count]) -> dict[str, dict[str, Sequence[float]]]:
    """For JSON."""
    found: dict[str, dict[str, Sequence[float]]] = {}
    for (field, kind), count in counts.items():
        found.setdefault(field, {})[kind] = list(vars(count).values())
    return found


def from_dict(content: Mapping[str, Mapping[str, Sequence[Any]]]) -> dict[Name, Count]:
    return {
        (field, kind): Count(*numbers)
        for field, kinds in content.items()
        for kind, numbers in kinds.items()
    }
