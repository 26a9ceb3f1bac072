"""Stage 3: the events by bucket of their sequence, some of which fit into memory at once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from grap_seq.prep.stages.usable import Usable
from grap_seq.prep.stages.work import Work


class Buckets:
    """Events with `__number` of their sequence, `event_time`, fields and `__train`.

    Args:
        work: where they are kept: as the table `events`, or in files that go bucket by bucket.
        count: of buckets, some of which may be empty.
    """

    def __init__(self, work: Work, count: int) -> None:
        self.work, self.count = work, count
        self.folder = work.folder / "buckets"

    def fill(self, usable: Usable, sequences: ir.Table) -> None:
        """Sort usable events into buckets, and give up the cleaned ones."""
        # On a second try the cleaned events may be there no more.
        if not self.folder.exists():
            with self.work.connection.clear_errors("sorting events into buckets"):
                self._fill(usable.events, sequences)
        for name in ("cleaned", "ids"):
            self.work.store.drop(name)

    def _fill(self, events: ir.Table, sequences: ir.Table) -> None:
        spec = self.work.spec
        joined = events.join(sequences, events[spec.id] == sequences["__key"])
        joined = joined.mutate(__train=joined["__split"] == "train")
        fields = [*spec.ties, *spec.categories, *spec.numerical]
        table = joined.select("__number", "event_time", *fields, "__train", "__bucket")
        if self.work.store.held:
            self.work.store.put("events", table)
        else:
            self.work.connection.partition(table, self.folder, "__bucket", self.count)

    def table(self, bucket: int) -> pa.Table | None:
        """All events of a bucket; None where it is empty."""
        if self.work.store.held:
            events = self.work.store.arrow("events")
            return events.filter(pc.equal(events["__bucket"], bucket))
        found = self._files([bucket])
        return None if found is None else self.work.connection.to_pyarrow(found)

    def training(self, buckets: Sequence[int]) -> ir.Table:
        """The events of training sequences in some buckets, none of which is empty."""
        if self.work.store.held:
            events = self.work.store.get("events")
            return events.filter(events["__train"] & events["__bucket"].isin(buckets))
        found = self._files(buckets)
        assert found is not None
        return found.filter(found["__train"])

    def forget(self, bucket: int) -> None:
        """Remove the events of a bucket whose parts are complete."""
        if not self.work.store.held:
            shutil.rmtree(self.folder / f"__bucket={bucket}", ignore_errors=True)

    def _files(self, buckets: Sequence[int]) -> ir.Table | None:
        folders = (self.folder / f"__bucket={bucket}" for bucket in buckets)
        paths = [path for folder in folders for path in sorted(folder.glob("*.parquet"))]
        return self.work.connection.read_work(*paths) if paths else None
