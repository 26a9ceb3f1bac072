"""New events beside training's: shares of rare, missing and clipped values, and what is unlike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from grap_seq.prep.folder.state import State
from grap_seq.prep.shares import Count, Name
from grap_seq.terminal import visible

if TYPE_CHECKING:
    import pandas as pd

# Fewer events are no sign of anything.
MIN_EVENTS = 20
# A share is outside of training's range where it differs by more than so many standard errors, and
# by more than a hundredth of the events.
ERRORS, LEAST = 4.0, 0.01
SAYS = {
    "rare": "of '{name}' are values that did not occur in the training data, or were rare there",
    "missing": "of '{name}' are missing",
    "clipped": "of '{name}' are at an end of the range of the training data, or beyond",
}


class DriftWarning(UserWarning):
    """New events are unlike those of training."""


@dataclass(frozen=True)
class Drift:
    """How new events differ from those that a model was trained on.

    Attributes:
        counts: of the new events, by field and kind (see `grap_seq.prep.shares`).
        training: of the training data (`rare`: of the validation data, where there are some, for
            training data made the vocabulary); None: the run was made by a version of grap_seq that
            did not count them.
        state: vocabularies and scalers.
    """

    counts: Mapping[Name, Count]
    training: Mapping[Name, Count] | None
    state: State

    def range(self, name: Name) -> tuple[float, float]:
        """Between which the share of as many events is expected; all, where nothing is known."""
        if self.training is None:
            return 0.0, 1.0
        new, old = self.counts[name], self.training[name]
        # Sequences differ, and of few events a share is rough.
        apart = old.variance * (1 / new.effective + 1 / old.effective)
        rough = (new.found + 1) / (new.events + 2)
        error = math.sqrt(apart + rough * (1 - rough) / new.events)
        wide = max(ERRORS * error, LEAST)
        return max(0.0, old.share - wide), min(1.0, old.share + wide)

    @property
    def outside(self) -> list[Name]:
        """What has left training's range."""
        return [name for name, count in self.counts.items() if self._is_outside(name, count)]

    def _is_outside(self, name: Name, count: Count) -> bool:
        if count.events < MIN_EVENTS:
            return False
        if self.training is None:
            # Of a field of which nothing is known, no range is needed.
            return name[1] == "rare" and count.found == count.events
        low, high = self.range(name)
        return not low <= count.share <= high

    def sentences(self) -> Iterator[str]:
        """One for each that is `outside`."""
        known = self.state.categorical | self.state.static_categorical
        for name, kind in self.outside:
            count = self.counts[name, kind]
            if kind == "rare" and count.found == count.events:
                examples = ", ".join(map(repr, known[name][:3]))
                yield (
                    f"no value of '{name}' occurred in the training data; is it written "
                    f"differently there ({examples}, ...)?"
                )
                continue
            assert self.training is not None
            usual = self.training[name, kind].share
            yield f"{count.share:.1%} {SAYS[kind].format(name=name)}; there it was {usual:.1%}"

    @property
    def table(self) -> pd.DataFrame:
        """A row for each field and kind: events, share, training, low, high, outside."""
        import pandas as pd

        outside = set(self.outside)
        rows = []
        for name, count in self.counts.items():
            usual = math.nan if self.training is None else self.training[name].share
            low, high = self.range(name)
            rows.append((*name, count.events, count.share, usual, low, high, name in outside))
        columns = ["field", "kind", "events", "share", "training", "low", "high", "outside"]
        return pd.DataFrame(rows, columns=pd.Index(columns))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(title=Text("shares of values", "table.title"), title_justify="left")
        for name in ("field", "kind", "here", "training", ""):
            table.add_column(name, justify="right" if name in ("here", "training") else "left")
        outside = set(self.outside)
        for name, count in self.counts.items():
            usual = "not known" if self.training is None else f"{self.training[name].share:.2%}"
            mark = "outside its range" if name in outside else ""
            field, kind = name
            table.add_row(Text(visible(field)), kind, f"{count.share:.2%}", usual, mark)
        yield table
        for sentence in self.sentences():
            yield Text(visible(f"warning: {sentence}"), "yellow")
