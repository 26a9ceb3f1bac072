"""The aggregates of many sequences at once against definitions written with pandas, row by row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from grap_seq.data.labels import Examples
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation import aggregates as module
from grap_seq.evaluation import grouped
from grap_seq.evaluation.aggregates import aggregates
from tests.evaluation.fake import SCHEMA, TYPES

numbers = st.one_of(st.just(math.nan), st.integers(-8, 8).map(lambda value: value / 4))
event = st.tuples(st.integers(0, 40).map(lambda t: t / 2), st.integers(1, 4), numbers, numbers)
histories = st.lists(st.lists(event, max_size=8), min_size=1, max_size=8)
RECENT = 3


def rows_of(drawn: list[list[tuple[float, int, float, float]]]) -> list[dict[str, Any]]:
    rows = []
    for number, events in enumerate(drawn):
        ordered = sorted(events, key=lambda e: e[0])
        time, shop, amount, score = (
            (list(c) for c in zip(*ordered, strict=True)) if ordered else ([], [], [], [])
        )
        rows.append(
            {"client": f"c{number}", "event_time": time, "shop": shop, "amount": amount,
             "score": score, "label": None if number % 3 == 0 else number % 2}
        )  # fmt: skip
    return rows


def sequences(rows: list[dict[str, Any]]) -> Sequences:
    return Sequences.from_table(SCHEMA, pa.Table.from_pylist(rows, schema=pa.schema(TYPES)))


def examples(rows: Any, stops: Any) -> Examples:
    return Examples(rows, stops, np.zeros(len(rows), int), np.full(len(rows), math.nan))


def whole(rows: list[dict[str, Any]]) -> Examples:
    lengths = np.array([len(row["shop"]) for row in rows])
    return examples(np.arange(len(rows)), lengths)


def found(rows: list[dict[str, Any]], seen: Examples, eval_length: int = 100) -> pd.DataFrame:
    frames = aggregates(sequences(rows), seen, eval_length)
    return pd.concat(frames, ignore_index=True)


def describe(values: pd.Series[float]) -> dict[str, float]:
    seen = values.dropna()
    half = (len(seen) + 1) // 2
    return {
        "sum": seen.sum(),
        "mean": seen.mean(),
        "std": seen.std(ddof=0),
        "min": seen.min(),
        "max": seen.max(),
        "last": seen.iloc[-1] if len(seen) else math.nan,
        "recent": seen.tail(RECENT).mean(),
        "trend": seen.iloc[half:].mean() - seen.iloc[:half].mean(),
    }


def reference(row: dict[str, Any], top: int) -> dict[str, float]:
    time = pd.Series(row["event_time"], dtype=float)
    codes = pd.Series(row["shop"], dtype=float)
    shop = codes.clip(upper=top + 1)
    gaps = time.diff().dropna()
    expected = {
        "event_time/count": len(time),
        "event_time/duration": time.iloc[-1] - time.iloc[0] if len(time) else math.nan,
        "shop/last": row["shop"][-1] if row["shop"] else math.nan,
        "shop/n_unique": codes.nunique(),
        "shop/entropy": entropy(codes.value_counts()) if len(codes) else 0.0,
    }
    expected |= {f"event_time/gap_{k}": v for k, v in describe(gaps).items() if k != "sum"}
    expected |= {f"event_time/gap_q{q}": gaps.quantile(q / 100) for q in (10, 50, 90)}
    for name in ("amount", "score"):
        values = pd.Series(row[name], dtype=float)
        expected[f"{name}/missing"] = values.isna().mean()
        expected |= {f"{name}/{key}": value for key, value in describe(values).items()}
    score = pd.Series(row["score"], dtype=float)
    for code in range(1, min(4, top + 1) + 1):
        expected[f"shop={code}/share"] = (shop == code).mean() if len(shop) else 0.0
        within = score[shop == code]
        expected |= {f"score[shop={code}]/{k}": v for k, v in describe(within).items()}
        expected[f"score[shop={code}]/count"] = within.count()
    return expected


@given(drawn=histories, top=st.sampled_from([2, 100]), chunk=st.sampled_from([100, 100_000]))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_same_as_pandas(
    drawn: list[list[tuple[float, int, float, float]]],
    top: int,
    chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TOP_CODES", top)
    monkeypatch.setattr(module, "CHUNK_EVENTS", chunk)
    monkeypatch.setattr(grouped, "RECENT", RECENT)
    rows = rows_of(drawn)
    frame = found(rows, whole(rows))
    expected = pd.DataFrame([reference(row, top) for row in rows])
    assert set(frame.columns) == set(expected.columns)
    np.testing.assert_allclose(
        frame[expected.columns].to_numpy(), expected.to_numpy(dtype=float), rtol=1e-5, atol=1e-6
    )


@given(drawn=histories, eval_length=st.integers(1, 6), seed=st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_only_the_last_events_before_the_stop_are_seen(
    drawn: list[list[tuple[float, int, float, float]]], eval_length: int, seed: int
) -> None:
    rows = rows_of(drawn)
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(rows), size=5)
    stops = np.array([rng.integers(len(rows[row]["shop"]) + 1) for row in chosen])
    cut = []
    for row, stop in zip(chosen, stops, strict=True):
        seen = slice(max(0, stop - eval_length), stop)
        lists = {k: v[seen] for k, v in rows[row].items() if isinstance(v, list)}
        cut.append(rows[row] | lists)
    frame = found(rows, examples(chosen, stops), eval_length)
    pd.testing.assert_frame_equal(frame, found(cut, whole(cut)))


def test_columns_depend_on_the_schema_alone() -> None:
    some, none = rows_of([[(0.0, 3, 1.0, math.nan)] * 4, []]), rows_of([[]])
    assert list(found(some, whole(some)).columns) == list(found(none, whole(none)).columns)
    empty = found(none, whole(none)).iloc[0]
    assert empty["event_time/count"] == 0
    assert empty["shop=3/share"] == 0
    assert math.isnan(empty["amount/mean"])
