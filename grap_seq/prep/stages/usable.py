"""The events that count: without problems, before their label's time, observed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

import ibis
import ibis.expr.types as ir

from grap_seq.prep.stages.clean import used
from grap_seq.prep.stages.facts import facts_of_ids, with_facts
from grap_seq.prep.stages.label_checks import check_late, with_limits, with_numbers, with_times
from grap_seq.prep.stages.labels import any_label
from grap_seq.prep.stages.problems import check_events, without_problems
from grap_seq.prep.stages.times import TimeKind
from grap_seq.prep.stages.until import (
    check_observed,
    common_until,
    moment_table,
    observed,
    with_until,
)
from grap_seq.prep.stages.work import Work


class Usable:
    """Cleaned events and their labels.

    Args:
        work: where they were kept.
        kind: how times are written.
    """

    def __init__(self, work: Work, kind: TimeKind) -> None:
        self.work, self.kind = work, kind

    def check(self) -> ir.Table | None:
        """Count or raise for all that is wrong with the events; their labels, checked likewise."""
        work, spec, problems = self.work, self.work.spec, self.work.problems
        check_events(work.connection, self._cleaned, spec, problems)
        labels = self._labels
        if labels is not None:
            labels = with_times(labels, spec, problems)
            labels = with_numbers(labels, spec, problems)
            if spec.label_time is not None and not spec.local_labels:
                check_late(with_limits(self._without_problems, labels, spec), spec, problems)
        if spec.until is not None:
            check_observed(self._with_until, spec, problems)
        return labels

    @cached_property
    def events(self) -> ir.Table:
        """With `__until`, where the description has any."""
        return self._before_label if self.work.spec.until is None else observed(self._with_until)

    def facts(self, names: Iterable[str]) -> Iterator[ir.Table]:
        """Tables of `facts_of_ids`, of those in the label file and of those in the events."""
        spec, problems = self.work.spec, self.work.problems
        rest = {name: spec.facts[name] for name in names}
        labels = self._labels if "labels" in self.work.store else None
        if labels is not None:
            filed = {name: column for name, column in rest.items() if column in labels.columns}
            rest = {name: column for name, column in rest.items() if name not in filed}
            if filed:
                yield facts_of_ids(labels, labels, "__id", filed, problems)
        if rest:
            yield facts_of_ids(self._cleaned, self._without_problems, spec.id, rest, problems)

    @cached_property
    def _cleaned(self) -> ir.Table:
        return used(self.work.store.in_order("cleaned"))

    @cached_property
    def _without_problems(self) -> ir.Table:
        return without_problems(self._cleaned, self.work.spec)

    @cached_property
    def _before_label(self) -> ir.Table:
        """Where a label says from when on events may not be seen, those before."""
        events, labels, spec = self._without_problems, self._labels, self.work.spec
        if spec.label_time is None or spec.local_labels or labels is None:
            return events
        limited = with_limits(events, labels, spec)
        return limited.filter(~limited["__late"]).drop("__late")

    @cached_property
    def _with_until(self) -> ir.Table:
        """Events before their label, with `__until`; its faults are counted once."""
        events, spec = self._before_label, self.work.spec
        if spec.until_column is None:
            last = events["event_time"].max()
            until = common_until(
                spec, self.kind, lambda: self.work.connection.to_pyarrow(last).as_py()
            )
            return with_until(events, ibis.memtable(moment_table(until)))
        (until,) = self.facts([spec.until_column])
        return with_facts(events, spec.id, until)

    @cached_property
    def _labels(self) -> ir.Table | None:
        spec = self.work.spec
        if not spec.label:
            return None
        if "labels" in self.work.store:
            return used(self.work.store.in_order("labels"))
        events = self._without_problems
        time = ["__label_time"] if spec.label_time is not None else []
        if not {*spec.label_columns, *time} <= set(events.columns):
            return None
        text = events[spec.id].cast("string")
        labels = events.mutate(__id=text, __split=ibis.null("string"))
        # Every query of the labels would repeat the names of all fields.
        labels = labels.drop(*spec.categories, *spec.numerical)
        return labels.filter(any_label(labels, spec))
