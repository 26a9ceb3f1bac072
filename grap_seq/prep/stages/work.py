"""The stages of a preparation, each of which leaves a file and is skipped where that file exists.

Their files lie in one work folder: cleaned events (the only pass over the source), sequences with
split, label and bucket, events again by bucket. They are renamed into place when complete, so a
killed run continues where it stopped and ends with the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from grap_seq.files import write_json
from grap_seq.prep.describe.recipes import Recipe
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.folder.state import State
from grap_seq.prep.read.lists import explode
from grap_seq.prep.read.tables import require_columns
from grap_seq.prep.stages import fitting
from grap_seq.prep.stages.calendar import VALUES
from grap_seq.prep.stages.clean import clean, left_out, used
from grap_seq.prep.stages.facts import facts_of_ids, require_facts, with_facts
from grap_seq.prep.stages.label_codes import fit_labels
from grap_seq.prep.stages.labels import (
    any_label,
    check_late,
    label_file,
    label_of_ids,
    label_rows,
    no_labels,
    recipe_labels,
    with_limits,
    with_numbers,
    with_times,
)
from grap_seq.prep.stages.problems import Problems, check_events, without_problems
from grap_seq.prep.stages.splits import MAX_BUCKETS, bucket_of, split_of, without_test
from grap_seq.prep.stages.store import Store
from grap_seq.prep.stages.times import check_numbers, check_time_kind, time_kind
from grap_seq.prep.stages.until import check_observed, common_until, observed, with_until

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

# Cells of time and fields: what is coded, sorted and grouped at once fits in any memory limit.
VALUES_PER_BUCKET = 27_000_000
# Enough for quantiles, and what their sort needs fits in any memory limit.
FIT_EVENTS = 8_000_000


class Work:
    """The work folder of one preparation and the connection that fills it."""

    def __init__(
        self,
        folder: Path,
        connection: Connection,
        recipe: Recipe,
        strict: bool,
        files: Sequence[Path],
        stored: State | None = None,
    ) -> None:
        self.folder = folder
        self.connection = connection
        self.recipe = recipe
        self.spec: DatasetSpec = recipe.spec
        self.stored = stored
        self.problems = Problems(connection, strict)
        folder.mkdir(parents=True, exist_ok=True)
        self.store = Store(connection, folder, connection.holds(files))
        self._facts_of_reading: dict[str, Any] = {}

    def read(self, source: Path | None) -> dict[str, Any]:
        """Stage 1: the source, cleaned, in its own order, and the labels beside it."""
        path = self.folder / "facts.json"
        if path.exists():
            self._facts_of_reading = dict(json.loads(path.read_text("utf-8")))
        else:
            with self.connection.clear_errors(f"reading the {self.spec.name} events"):
                tables = self.recipe.read(self.connection, source)
                events = self.recipe.events(tables)
                if "__file" not in events.columns:
                    events = events.mutate(__file=ibis.literal(self.spec.name))
                where = str(source) if source is not None else self.spec.name
                events = explode(self.connection, events, self.spec.event_columns, where)
                require_columns(events, self.spec.columns, where)
                known = self.recipe.time_kind
                if self.stored is None:
                    kind = known or time_kind(self.connection, events, self.spec)
                    if known is None and kind == "number":
                        check_numbers(self.connection, events, self.spec, where)
                else:
                    kind = self.stored.time_kind
                    if known is None:
                        check_time_kind(self.connection, events, self.spec, kind, where)
                required = self.stored is None
                labels = label_file(self.connection, self.recipe, kind, required=required)
                # Those of a recipe follow from its events, which are read once.
                later = labels is None and self.spec.label and self.recipe.labelled(source)
                if labels is None and not later and required:
                    self._require_label(events)
                if not later:
                    beside = () if labels is None else labels.columns
                    require_facts(self.connection, events, beside, self.spec, kind, where)
                self.store.put("cleaned", clean(events, self.spec, kind))
                cleaned = self.store.in_order("cleaned")
                dropped = left_out(self.connection, cleaned)
                if later:
                    labels = recipe_labels(self.connection, self.recipe, tables, cleaned, kind)
                    require_facts(self.connection, events, labels.columns, self.spec, kind, where)
                if labels is not None:
                    self.store.put("labels", labels)
                    dropped |= left_out(self.connection, self.store.in_order("labels"))
            id_type = events[self.spec.id].type()
            countable = id_type.is_numeric() or (
                self.recipe.untyped(source) and id_type.is_string()
            )
            found = {"time": kind, "countable_id": countable, "dropped": dropped}
            self._facts_of_reading = found
            if not self.store.held:
                write_json(path, found)
        return self._facts_of_reading

    def sequences(self) -> ir.Table:
        """Stage 2: one row a sequence: `__key __id __number __events __split __bucket __label0`...

        Also `__label_time`, `__until` and static fields where there are any.
        """
        checked = self.folder / "checked.json"
        if self._buckets.exists():
            # What was checked is there no more.
            self.problems.counts = dict(json.loads(checked.read_text("utf-8")))
            return self.store.get("sequences")
        cleaned = self._cleaned
        check_events(self.connection, cleaned, self.spec, self.problems)
        labels, local = self._labels, self.spec.local_labels
        if labels is not None:
            labels = with_times(labels, self.spec, self.problems)
            labels = with_numbers(labels, self.spec, self.problems)
            if self.spec.label_time is not None and not local:
                limited = with_limits(without_problems(cleaned, self.spec), labels, self.spec)
                check_late(limited, self.spec, self.problems)
        ended = self.spec.until is not None
        if ended:
            check_observed(self._with_until, self.spec, self.problems)
        events = self._events
        if "ids" not in self.store:
            facts = {"__events": events.count()}
            if local or ended:
                facts["__first"] = events["event_time"].min()
            if ended:
                facts["__until"] = events["__until"].min()
            ids = events.group_by(__key=events[self.spec.id]).aggregate(**facts)
            self.store.put("ids", ids.mutate(__id=ids["__key"].cast("string")))
        ids = self.store.get("ids")
        self._check_size(ids)
        split = self.spec.split
        if labels is None:
            found = ids.mutate(__split=ibis.null("string"), **no_labels(self.spec))
        else:
            known = label_of_ids(
                self.connection,
                labels,
                ids,
                self.problems,
                self.spec,
                required=self.stored is None,
            )
            found = ids.left_join(known, "__id").drop("__id_right")
            given = labels.filter(labels["__split"] == "test").count()
            if self.connection.to_pyarrow(given).as_py():
                split = without_test(split)
        if ended and self.spec.relative_time:
            found = found.mutate(__until=found["__until"] - found["__first"])
        for facts in self._facts(self.spec.static.names):
            found = with_facts(found, "__id", facts)
        if self.stored is not None:
            # Without any label there is nothing to train or validate on.
            labelled = any_label(found, self.spec).sum().as_scalar() if self.spec.label else 0
            found = found.mutate(__split=ibis.ifelse(labelled == 0, "test", found["__split"]))
        total = self.connection.to_pyarrow(ids["__events"].sum()).as_py()
        values = total * (1 + len(self.spec.categories) + len(self.spec.numerical))
        buckets = min(MAX_BUCKETS, -(-values // VALUES_PER_BUCKET))
        if "sequences" not in self.store:
            as_integer = found["__id"].try_cast("int64")
            table = found.select(
                "__key",
                "__id",
                "__events",
                *self.spec.label_columns,
                *(["__label_time"] if local else []),
                *(["__until"] if ended else []),
                *self.spec.static.names,
                # Sorting by a number is cheaper than by text; the order is mostly the final one.
                __number=ibis.row_number().over(order_by=[as_integer, found["__id"]]),
                __split=split_of(found["__id"], split, found["__split"]),
                __bucket=bucket_of(found["__id"], buckets),
            )
            self.store.put("sequences", table)
        if not self.store.held:
            write_json(checked, self.problems.counts)
        return self.store.get("sequences")

    def partition(self, sequences: ir.Table) -> None:
        """Stage 3: the usable events with number and split, by bucket, and no more as cleaned."""
        if not self._buckets.exists():
            self._partition(sequences)
        for name in ("cleaned", "ids"):
            self.store.drop(name)

    def _partition(self, sequences: ir.Table) -> None:
        events = self._events
        joined = events.join(sequences, events[self.spec.id] == sequences["__key"])
        joined = joined.mutate(__train=joined["__split"] == "train")
        fields = [*self.spec.ties, *self.spec.categories, *self.spec.numerical]
        table = joined.select("__number", "event_time", *fields, "__train", "__bucket")
        with self.connection.clear_errors("sorting events into buckets"):
            if self.store.held:
                self.store.put("events", table)
            else:
                self.connection.partition(table, self._buckets, "__bucket")

    @property
    def _buckets(self) -> Path:
        return self.folder / "buckets"

    def bucket(self, number: int) -> pa.Table | None:
        """The events of a bucket; None where it is empty."""
        if self.store.held:
            events = self.store.arrow("events")
            return events.filter(pc.equal(events["__bucket"], number))
        events = self._read_buckets([number])
        return None if events is None else self.connection.to_pyarrow(events)

    def _read_buckets(self, numbers: Sequence[int]) -> ir.Table | None:
        folders = (self._buckets / f"__bucket={number}" for number in numbers)
        paths = [path for folder in folders for path in sorted(folder.glob("*.parquet"))]
        return self.connection.read_work(*paths) if paths else None

    def forget(self, bucket: int) -> None:
        """Remove the events of a bucket whose parts are complete."""
        if not self.store.held:
            shutil.rmtree(self._buckets / f"__bucket={bucket}", ignore_errors=True)

    def state(self, sequences: ir.Table) -> State:
        """Stage 4: what is fitted, or what was stored; found once, since buckets go."""
        path = self.folder / "state.json"
        if path.exists():
            return State.from_dict(json.loads(path.read_text("utf-8")))
        state = self._fit(sequences) if self.stored is None else self._reuse(sequences)
        if not self.store.held:
            write_json(path, state.to_dict())
        return state

    def _fit(self, sequences: ir.Table) -> State:
        """Vocabularies, scalers and classes from the training sequences."""
        train = sequences.filter(sequences["__split"] == "train")
        sizes = self.connection.to_pyarrow(
            train.group_by("__bucket").aggregate(n=train["__events"].sum()).order_by("__bucket")
        ).to_pylist()
        if not sizes:
            raise ValueError(
                f"{self.spec.name}: no sequence falls into the training split; add data or lower "
                "the validation and test shares in the YAML"
            )
        numbers = [row["__bucket"] for row in sizes]
        events = self._training(numbers)
        sample: list[int] = []
        size = 0
        for row in sizes:
            if not sample or size + row["n"] <= FIT_EVENTS:
                sample.append(row["__bucket"])
                size += row["n"]
        part = self._training(sample)
        with self.connection.clear_errors("fitting vocabularies and scalers"):
            categorical = fitting.fit_vocabularies(self.connection, events, self.spec.categorical)
            categorical |= {name: VALUES[name] for name in self.spec.calendar}
            if "hour" in self.spec.calendar:
                self._require_hours(events)
            numerical = fitting.fit_scalers(self.connection, part, self.spec.numerical, categorical)
            constant = self.spec.static
            static = fitting.fit_vocabularies(self.connection, train, constant.categorical)
            static_numbers = fitting.fit_scalers(self.connection, train, constant.numerical, static)
        facts = self._facts_of_reading
        integers = facts["countable_id"] and self._all_integers(sequences)
        return State(
            spec=self.spec,
            categorical=categorical,
            numerical=numerical,
            labels=fit_labels(self.connection, label_rows(sequences, self.spec), self.spec),
            id_type="int64" if integers else "string",
            time_kind=facts["time"],
            static_categorical=static,
            static_numerical=static_numbers,
        )

    def _reuse(self, sequences: ir.Table) -> State:
        """Stored vocabularies, scalers and classes, which new data have to fit.

        Raises:
            ValueError: an id that is no integer where all were, or an unknown class.
        """
        assert self.stored is not None
        if self.stored.id_type == "int64" and not self._all_integers(sequences):
            raise ValueError(
                f"{self.spec.name}: ids of '{self.spec.id}' were integers in preparation, these "
                "are not; write them the same way"
            )
        rows = label_rows(sequences, self.spec)
        for label, place in zip(self.stored.labels, self.spec.label_columns, strict=True):
            found = self.connection.to_pyarrow(rows.select(place).distinct())
            unknown = {*found[place].to_pylist()} - {None, *label.classes}
            if label.classes and unknown:
                raise ValueError(
                    f"{self.spec.name}: label '{label.name}' has the value "
                    f"{', '.join(map(repr, sorted(unknown)))}, in preparation it had "
                    f"{', '.join(map(repr, label.classes))}; correct or remove such labels, or "
                    "prepare without like="
                )
        return dataclasses.replace(self.stored, spec=self.spec)

    def _training(self, numbers: list[int]) -> ir.Table:
        if self.store.held:
            events = self.store.get("events")
            return events.filter(events["__train"] & events["__bucket"].isin(numbers))
        events = self._read_buckets(numbers)
        assert events is not None
        return events.filter(events["__train"])

    @cached_property
    def _cleaned(self) -> ir.Table:
        return used(self.store.in_order("cleaned"))

    @cached_property
    def _events(self) -> ir.Table:
        """The usable events: those before the label's time that were observed."""
        return self._before_label if self.spec.until is None else observed(self._with_until)

    @cached_property
    def _before_label(self) -> ir.Table:
        """Where a label says from when on events may not be seen, those before."""
        events, labels = without_problems(self._cleaned, self.spec), self._labels
        if self.spec.label_time is None or self.spec.local_labels or labels is None:
            return events
        limited = with_limits(events, labels, self.spec)
        return limited.filter(~limited["__late"]).drop("__late")

    @cached_property
    def _with_until(self) -> ir.Table:
        """Events before their label, with `__until`; its faults are counted once."""
        events = self._before_label
        if self.spec.until_column is None:
            kind = self._facts_of_reading["time"]
            until = common_until(self.spec, kind, events, self.connection)
            return with_until(events, until)
        (until,) = self._facts([self.spec.until_column])
        return with_facts(events, self.spec.id, until)

    @cached_property
    def _labels(self) -> ir.Table | None:
        if not self.spec.label:
            return None
        if "labels" in self.store:
            return used(self.store.in_order("labels"))
        events = without_problems(self._cleaned, self.spec)
        time = ["__label_time"] if self.spec.label_time is not None else []
        if not {*self.spec.label_columns, *time} <= set(events.columns):
            return None
        text = events[self.spec.id].cast("string")
        labels = events.mutate(__id=text, __split=ibis.null("string"))
        # Every query of the labels would repeat the names of all fields.
        labels = labels.drop(*self.spec.categories, *self.spec.numerical)
        return labels.filter(any_label(labels, self.spec))

    def _require_label(self, events: ir.Table) -> None:
        names = [*self.spec.label, *filter(None, [self.spec.label_time])]
        missing = [name for name in names if name not in events.columns]
        if not missing:
            return
        if self.recipe.remedy:
            raise ValueError(f"{self.spec.name}: the source has no labels; {self.recipe.remedy}")
        raise ValueError(
            f"{self.recipe.spec_path}: the events have no column '{missing[0]}'; name the "
            "label file with 'labels', or set label to null"
        )

    def _facts(self, names: Iterable[str]) -> Iterator[ir.Table]:
        """Tables of `facts_of_ids`, of those in the label file and of those in the events."""
        rest = {name: self.spec.facts[name] for name in names}
        labels = self._labels if "labels" in self.store else None
        if labels is not None:
            filed = {name: column for name, column in rest.items() if column in labels.columns}
            rest = {name: column for name, column in rest.items() if name not in filed}
            if filed:
                yield facts_of_ids(labels, labels, "__id", filed, self.problems)
        if rest:
            events = without_problems(self._cleaned, self.spec)
            yield facts_of_ids(self._cleaned, events, self.spec.id, rest, self.problems)

    def _require_hours(self, events: ir.Table) -> None:
        later = events.filter(events["hour"] != "0").limit(1).count()
        if not self.connection.to_pyarrow(later).as_py():
            raise ValueError(
                f"{self.spec.name}: the times in column '{self.spec.time}' are dates without a "
                "clock time; take hour out of calendar"
            )

    def _check_size(self, ids: ir.Table) -> None:
        count = self.connection.to_pyarrow(ids.count()).as_py()
        if count < (2 if self.stored is None else 1):
            raise ValueError(
                f"{self.spec.name}: {'one sequence only' if count else 'the table has no events'}; "
                f"training and evaluation need several values of '{self.spec.id}'"
            )

    def _all_integers(self, sequences: ir.Table) -> bool:
        column = sequences["__id"]
        back = column.try_cast("int64").cast("string")
        return bool(self.connection.to_pyarrow((back == column).fill_null(False).all()).as_py())
