"""Plain aggregates per sequence: the features a user would build without any pretraining.

They are the baseline that an embedding has to beat, so nothing is left out that one afternoon of
SQL would give: counts, rates, recency, the share of every code, and mean, deviation, extremes and
last value of every number, also within every code of the field that the number is standardised by.

DuckDB computes them part by part. A part of a prepared folder holds whole sequences, so memory
depends on the size of a part and of the result, not on the number of events. One thread, because
the order in which threads add floating-point numbers would change the last digits between runs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
from ibis import _

from grap_seq.schema import LABEL_UNTIL, UNTIL, Field, Schema

TOP_CODES = 100
"""Codes are numbered by falling frequency; those above this one are counted together."""

_STATISTICS = ("mean", "std", "min", "max", "last")


def aggregates(prepared: Path, split: str, *, labelled_by: str | None = None) -> pd.DataFrame:
    """Aggregates of every sequence of a split.

    Args:
        prepared: Prepared folder.
        split: "train", "val" or "test".
        labelled_by: Column of a label, without which sequences are left out.

    Returns:
        float32 frame (sequences, features) indexed by the sequence id, in the order of the parts;
        NaN where there is nothing to aggregate (the mean of a number that was never measured).
        The columns depend on the schema only, so every split has the same.

    Raises:
        ValueError: The folder has no such split.
    """

    def choose(sequences: ibis.Table, schema: Schema) -> ibis.Table:
        return sequences if labelled_by is None else sequences.filter(_[labelled_by].notnull())

    return _aggregates(prepared, split, choose)


def label_aggregates(prepared: Path, split: str) -> pd.DataFrame:
    """Aggregates of what each of several labels a sequence may see: the events up to its position.

    As `aggregates`, indexed by the sequence id, "/" and the number of the label in its sequence.
    """
    return _aggregates(prepared, split, _prefixes)


def _prefixes(sequences: ibis.Table, schema: Schema) -> ibis.Table:
    number = ibis.range(sequences.label_position.length()).unnest()
    rows = sequences.mutate(__number=number)
    stop = rows.label_position[rows["__number"]] + 1
    names = ("event_time", *(field.name for field in schema.fields))
    key = rows[schema.id].cast("string") + "/" + rows["__number"].cast("string")
    until = {UNTIL: rows[LABEL_UNTIL][rows["__number"]]} if schema.until else {}
    prefixes = {name: rows[name][:stop] for name in names}
    static = (field.name for field in schema.static)
    return rows.select(*static, **{schema.id: key}, **prefixes, **until)


def _aggregates(
    prepared: Path, split: str, choose: Callable[[ibis.Table, Schema], ibis.Table]
) -> pd.DataFrame:
    schema = Schema.load(prepared)
    parts = sorted((prepared / split).glob("part-*.parquet"))
    if not parts:
        raise ValueError(
            f"{prepared / split} holds no part-*.parquet; prepare the data again: "
            f"`grap-seq prepare dataset={schema.name} overwrite=true`."
        )
    connection = ibis.duckdb.connect(threads=1)
    try:
        frames = []
        for part in parts:
            sequences = choose(connection.read_parquet(part), schema)
            frames.append(_aggregates_of_part(sequences, schema))
    finally:
        connection.disconnect()
    return pd.concat(frames)


def _aggregates_of_part(sequences: ibis.Table, schema: Schema) -> pd.DataFrame:
    categorical = {field.name: field for field in schema.categorical}
    key = sequences[schema.id].name("key")  # the name of a column of the table could clash
    times = _times(sequences, key, schema.until)
    frames = [_codes(sequences, key, field) for field in schema.categorical]
    for field in schema.numerical:
        frames.append(_numbers(sequences, key, field))
        if field.by is not None:
            frames.append(_numbers_by(sequences, key, field, categorical[field.by]))
    if schema.static:
        facts = sequences.select(key, *(field.name for field in schema.static))
        frames.append(_fetch(facts, "key").add_suffix("/value"))
    # A sequence without events appears in `times` only.
    joined = pd.concat([times, *(frame.reindex(times.index) for frame in frames)], axis=1)
    zero = [name for name in joined.columns if name.endswith(("/count", "/share"))]
    joined[zero] = joined[zero].fillna(0)
    return joined.astype("float32").rename_axis(schema.id)


def _times(sequences: ibis.Table, key: ibis.Column, ended: bool) -> pd.DataFrame:
    """Number of events, first to last event, mean and deviation of the time between events.

    Also the time since the first and since the last event, where it is known up to when there could
    have been more.
    """
    time = sequences.event_time
    length = time.length()
    first, last = time[0], time[length - 1]
    since = {}
    if ended:
        since = {"since_first": sequences[UNTIL] - first, "since_last": sequences[UNTIL] - last}
    times = sequences.select(key, count=length, duration=last - first, **since)
    events = sequences.select(key, time=time.unnest(), position=ibis.range(length).unnest())
    previous = _.time.lag().over(group_by="key", order_by="position")
    gaps = events.mutate(gap=_.time - previous).group_by("key")
    gaps = gaps.agg(gap_mean=_.gap.mean(), gap_std=_.gap.std(how="pop"))
    return _fetch(times, "key").join(_fetch(gaps, "key")).add_prefix("event_time/")


def _codes(sequences: ibis.Table, key: ibis.Column, field: Field) -> pd.DataFrame:
    """Share of each code among the events of the sequence, and the last code."""
    column = sequences[field.name]
    events = sequences.select(key, code=column.unnest(), events=column.length())
    shares = events.group_by("key", code=_.code.clip(upper=TOP_CODES + 1))
    long = _fetch(shares.agg(share=_.count() / _.events.max()), ["key", "code"])
    frame = _spread(long, field, lambda code, name: f"{field.name}={code}/{name}")
    last = sequences.select(key, last=column[column.length() - 1])
    frame[f"{field.name}/last"] = _fetch(last, "key")["last"]
    return frame


def _numbers(sequences: ibis.Table, key: ibis.Column, field: Field) -> pd.DataFrame:
    """Mean, deviation, extremes and last of the observed values, and the share missing."""
    values = _values(sequences, key, field).group_by("key")
    frame = _fetch(values.agg(**_statistics(), missing=_.value.isnull().mean()), "key")
    return frame.add_prefix(f"{field.name}/")


def _numbers_by(sequences: ibis.Table, key: ibis.Column, field: Field, by: Field) -> pd.DataFrame:
    """The same within each code of the field `by`, with the number of observed values."""
    values = _values(sequences, key, field, code=sequences[by.name].unnest())
    groups = values.group_by("key", code=_.code.clip(upper=TOP_CODES + 1))
    long = _fetch(groups.agg(**_statistics(), count=_.value.count()), ["key", "code"])
    return _spread(long, by, lambda code, name: f"{field.name}[{by.name}={code}]/{name}")


def _values(
    sequences: ibis.Table, key: ibis.Column, field: Field, **more: ibis.Value
) -> ibis.Table:
    """One row an event: key, value (null where missing), position in the sequence."""
    column = sequences[field.name]
    position = ibis.range(column.length()).unnest()
    events = sequences.select(key, value=column.unnest(), position=position, **more)
    # NaN is the missing value of a prepared folder; in SQL a mean of NaN would be NaN.
    return events.mutate(value=ibis.ifelse(_.value.isnan(), None, _.value.cast("float64")))


def _statistics() -> dict[str, ibis.Deferred]:
    value = _.value
    last = value.argmax(_.position, where=value.notnull())
    statistics = (value.mean(), value.std(how="pop"), value.min(), value.max(), last)
    return dict(zip(_STATISTICS, statistics, strict=True))


def _spread(long: pd.DataFrame, field: Field, title: Callable[[Any, Any], str]) -> pd.DataFrame:
    """From a row per (key, code) to a row per key, with columns for every code of the field.

    Codes that do not occur in this part have their columns too.
    """
    assert field.size is not None
    codes = range(1, min(field.size - 1, TOP_CODES + 1) + 1)
    wide = {
        title(code, name): series
        for name in long
        for code, series in long[name].unstack("code").reindex(columns=codes).items()
    }
    return pd.DataFrame(wide)


def _fetch(table: ibis.Table, index: str | list[str]) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame.set_index(index)
