"""The out-of-core aggregates against the same definitions written with pandas, row by row."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grap_seq.evaluation import aggregates as module
from grap_seq.evaluation.aggregates import aggregates
from tests.evaluation.fake import SCHEMA, prepared_folder, write_part

numbers = st.one_of(st.just(math.nan), st.integers(-8, 8).map(lambda value: value / 4))
event = st.tuples(st.integers(0, 40).map(lambda t: t / 2), st.integers(1, 4), numbers, numbers)
sequences = st.lists(st.lists(event, max_size=6), min_size=2, max_size=10)


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


def describe(values: pd.Series[float]) -> dict[str, float]:
    observed = values.dropna()
    return {
        "mean": observed.mean(),
        "std": observed.std(ddof=0),
        "min": observed.min(),
        "max": observed.max(),
        "last": observed.iloc[-1] if len(observed) else math.nan,
    }


def reference(row: dict[str, Any], top: int) -> dict[str, float]:
    time = pd.Series(row["event_time"], dtype=float)
    shop = pd.Series(row["shop"], dtype=float).clip(upper=top + 1)
    amount = pd.Series(row["amount"], dtype=float)
    score = pd.Series(row["score"], dtype=float)
    gaps = time.diff().dropna()
    expected = {
        "event_time/count": len(time),
        "event_time/duration": time.iloc[-1] - time.iloc[0] if len(time) else math.nan,
        "event_time/gap_mean": gaps.mean(),
        "event_time/gap_std": gaps.std(ddof=0),
        "shop/last": row["shop"][-1] if row["shop"] else math.nan,
        "amount/missing": amount.isna().mean(),
        "score/missing": score.isna().mean(),
    }
    for name, values in (("amount", amount), ("score", score)):
        expected |= {f"{name}/{key}": value for key, value in describe(values).items()}
    for code in range(1, min(4, top + 1) + 1):
        expected[f"shop={code}/share"] = (shop == code).mean() if len(shop) else 0.0
        within = score[shop == code]
        expected |= {f"score[shop={code}]/{k}": v for k, v in describe(within).items()}
        expected[f"score[shop={code}]/count"] = within.count()
    return expected


@given(drawn=sequences, top=st.sampled_from([2, 100]))
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_same_as_pandas(
    drawn: list[list[tuple[float, int, float, float]]],
    top: int,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TOP_CODES", top)
    prepared = tmp_path_factory.mktemp("prepared")
    SCHEMA.save(prepared)
    rows = rows_of(drawn)
    half = len(rows) // 2
    write_part(prepared / "train", 0, rows[half:])
    write_part(prepared / "train", 1, rows[:half])

    frame = aggregates(prepared, "train")

    ordered = rows[half:] + rows[:half]
    assert list(frame.index) == [row["client"] for row in ordered]
    assert frame.index.name == "client"
    expected = pd.DataFrame([reference(row, top) for row in ordered], index=frame.index)
    assert set(frame.columns) == set(expected.columns)
    np.testing.assert_allclose(
        frame[expected.columns].to_numpy(), expected.to_numpy(dtype=float), rtol=1e-5, atol=1e-6
    )


def test_labelled_only(tmp_path: Path) -> None:
    prepared = prepared_folder(tmp_path, counts=(20, 1, 1), unlabelled=0.5)
    every, labelled = (aggregates(prepared, "train", labelled_by=by) for by in (None, "label"))
    known = pd.read_parquet(prepared / "train").dropna(subset="label").client
    assert 0 < len(known) < 20
    pd.testing.assert_frame_equal(labelled, every.loc[known])


def test_parts_and_splits_do_not_change_columns(tmp_path: Path) -> None:
    prepared = prepared_folder(tmp_path, counts=(40, 1, 4))
    names = [list(aggregates(prepared, split).columns) for split in ("train", "val", "test")]
    assert names[0] == names[1] == names[2]


def test_part_without_events(tmp_path: Path) -> None:
    SCHEMA.save(tmp_path)
    write_part(tmp_path / "train", 0, rows_of([[], []]))
    frame = aggregates(tmp_path, "train")
    assert frame.loc["c0", "event_time/count"] == 0
    assert frame.loc["c1", "shop=3/share"] == 0
    assert frame["amount/mean"].isna().all()


def test_missing_split_names_the_remedy(tmp_path: Path) -> None:
    SCHEMA.save(tmp_path)
    with pytest.raises(ValueError, match="grap-seq prepare dataset=toy"):
        aggregates(tmp_path, "test")
