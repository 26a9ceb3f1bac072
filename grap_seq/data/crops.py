"""Training crops and the sub-sequences of CoLES, a function of (seed, epoch, row).

A window of a sequence is drawn first, then sub-sequences ("views") of the window. Semantics of the
sub-sequences: `SampleSlices` of pytorch-lifestream (contiguous slices, uniform length, uniform
offset).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from grap_seq.data.order import generator


@dataclass(frozen=True)
class CropPolicy:
    """How a training sequence is cut.

    Attributes:
        max_length: longest window.
        views: sub-sequences of the window; each becomes a row of the batch.
        view_min: shortest sub-sequence: up to 1 a share of the window, above 1 a number of events.
        view_max: longest sub-sequence, likewise.
        min_length: shortest window of a sequence that is long enough; None: windows are as long as
            they can be.
        window: the window itself becomes a row too, behind its views.

    Raises:
        ValueError: bounds that are not positive or in the wrong order, or no row at all.
    """

    max_length: int = 1200
    views: int = 5
    view_min: float = 0.1
    view_max: float = 0.9
    min_length: int | None = None
    window: bool = False

    def __post_init__(self) -> None:
        if self.max_length < 2 or self.views < (0 if self.window else 1):
            raise ValueError(
                f"max_length={self.max_length}, views={self.views}: a crop needs at least 2 events"
                " and a sequence at least 1 view"
            )
        if self.min_length is not None and not 2 <= self.min_length <= self.max_length:
            raise ValueError(
                f"min_length={self.min_length}: give a number of events from 2 to"
                f" max_length={self.max_length}"
            )
        if not 0 < self.view_min <= self.view_max or (self.view_min > 1) != (self.view_max > 1):
            raise ValueError(
                f"view_min={self.view_min}, view_max={self.view_max}: give two shares in (0, 1]"
                " or two numbers of events above 1, the smaller first"
            )

    def draw(self, length: int, seed: int, epoch: int, row: int) -> list[tuple[int, int]]:
        """(start, stop) of every view of a sequence with `length` events; then of the window."""
        rng = generator(seed, epoch, row)
        *inner, outer = rng.random(self.views + 1)
        longest = min(length, self.max_length)
        shortest = longest if self.min_length is None else min(length, self.min_length)
        window = int(_between(outer, shortest, longest))
        first = int(rng.integers(0, length - window + 1))
        unit = window if self.view_max <= 1 else 1
        shortest = min(window, max(2, round(self.view_min * unit)))
        longest = min(window, max(shortest, round(self.view_max * unit)))
        sizes = _between(np.array(inner), shortest, longest).astype(np.int64)
        starts = first + rng.integers(0, window - sizes + 1)
        views = list(zip(starts.tolist(), (starts + sizes).tolist(), strict=True))
        return [*views, (first, first + window)] if self.window else views


def _between(share: Any, shortest: int, longest: int) -> Any:
    """Whole numbers from `shortest` to `longest`, as likely as each other, for shares in [0, 1)."""
    return shortest + np.floor(share * (longest - shortest + 1))
