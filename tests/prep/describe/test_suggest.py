"""Suggested descriptions: what is guessed, and that it can be prepared as it stands."""

from __future__ import annotations

from datetime import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from grap_seq.prep.describe.guess import Known
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.describe.spec_parts import Numerical, Static
from grap_seq.prep.describe.suggest import suggest
from grap_seq.prep.prepare import prepare


def _bank(rows: int = 400) -> pd.DataFrame:
    random = np.random.default_rng(1)
    client = random.integers(0, 40, rows)
    days = pd.Timestamp("2023-01-01") + pd.to_timedelta(random.integers(0, 300, rows), unit="D")
    return pd.DataFrame(
        {
            "row_id": np.arange(rows),
            "client_id": client,
            "booked": days.strftime("%d.%m.%Y"),
            "mcc": random.integers(4000, 4100, rows),
            "channel": random.choice(np.array(["web", "shop", None]), rows),
            "amount": random.lognormal(3, 3, rows).round(2),
            "balance": random.normal(0, 1, rows),
            "region": np.array(["n", "s", "w"])[client % 3],
            "age": 20.5 + client,
            "churn_flag": client % 2,
            "empty": np.nan,
        }
    )


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_bank_table(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / f"bank.{kind}"
    table = _bank()
    table.to_csv(source, index=False) if kind == "csv" else table.to_parquet(source, index=False)
    path = suggest(source)
    assert path == tmp_path / "bank.yaml"
    spec = DatasetSpec.load(path)
    assert (spec.id, spec.time, spec.time_format) == ("client_id", "booked", "%d.%m.%Y")
    assert spec.categorical == ("mcc", "channel")
    assert spec.static == Static(("region",), {"age": Numerical()})
    assert {name: options.log for name, options in spec.numerical.items()} == {
        "amount": True,
        "balance": False,
    }
    assert spec.label == ("churn_flag",)
    text = path.read_text("utf-8")
    share = table["channel"].isna().mean()
    assert f"- channel   # 2 values, {share:.1%} missing" in text
    assert "# calendar: [hour, weekday, month]" in text
    assert (
        "Left out (empty, constant, another time, or different in every row): row_id, empty" in text
    )
    assert "churn_flag" in capsys.readouterr().out
    with pytest.raises(FileExistsError, match=r"bank\.yaml exists"):
        suggest(source)
    assert path.read_text("utf-8") == text


def test_suggestion_can_be_prepared_as_it_stands(tmp_path: Path) -> None:
    _bank().to_csv(tmp_path / "bank.csv", index=False)
    suggest(tmp_path / "bank.csv")
    manifest = prepare("table", tmp_path / "out", source=tmp_path / "bank.csv")
    assert sum(split["labelled"] for split in manifest.splits.values()) == 40


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        (pd.date_range("2024-01-01", periods=200, freq="D").astype(str), "day"),
        (pd.date_range("2024-01-01", periods=200, freq="h").astype(str), "hour"),
        (pd.date_range("2024-01-01", periods=200, freq="min").astype(str), "minute"),
        (np.arange(200), "day"),
    ],
)
def test_unit_of_time(tmp_path: Path, times: pd.Index, unit: str) -> None:
    table = pd.DataFrame({"user": np.arange(200) % 9, "time": times, "page": ["a", "b"] * 100})
    table.to_csv(tmp_path / "clicks.csv", index=False)
    path = suggest(tmp_path / "clicks.csv", tmp_path / "other.yaml")
    spec = DatasetSpec.load(path)
    assert (path.name, spec.id, spec.time, spec.time_unit) == ("other.yaml", "user", "time", unit)
    assert spec.label == ()


def test_odd_column_names_survive(tmp_path: Path) -> None:
    table = _bank().rename(
        columns={"region": "no: #1", "amount": "yes", "client_id": "client's id"}
    )
    table.to_csv(tmp_path / "odd.csv", index=False)
    content = yaml.safe_load(suggest(tmp_path / "odd.csv").read_text("utf-8"))
    assert content["id"] == "client's id"
    assert content["static"]["categorical"] == ["no: #1"]
    assert "yes" in content["numerical"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"a": [], "b": []}), "the table has no events"),
        (pd.DataFrame({"a": ["x", "y"], "b": ["z", "z"]}), "no column looks like a time"),
        (pd.DataFrame({"a": ["x", "y"], "day": [1, 2]}), "no column looks like an id"),
    ],
)
def test_tables_that_cannot_be_described(tmp_path: Path, table: pd.DataFrame, message: str) -> None:
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match=message):
        suggest(tmp_path / "t.csv")
    assert not (tmp_path / "t.yaml").exists()


def test_names_with_line_breaks_and_codes_make_a_description(tmp_path: Path) -> None:
    names = ["who\nlabel: x", "time\x1b[2J", "kind\n# ", "amount: {a: 1}", "row\nlabel: evil"]
    rows = range(60)
    table = {
        names[0]: [row % 6 for row in rows],
        names[1]: [f"2024-01-{row // 6 + 1:02d}" for row in rows],
        names[2]: [("a", "b")[row % 2] for row in rows],
        names[3]: [row * 1.5 for row in rows],
        names[4]: [f"key{row}" for row in rows],
    }
    source = tmp_path / "events\n.parquet"
    pd.DataFrame(table).to_parquet(source)
    spec = DatasetSpec.load(suggest(source))
    assert (spec.id, spec.time) == (names[0], names[1])
    assert {*spec.categorical, *spec.numerical, *spec.label} <= set(names[2:4])


def test_a_constant_column_is_no_time_and_no_field(tmp_path: Path) -> None:
    """`t` differs within an id; `period` is one value, and `opened` one value an id."""
    rows = np.arange(400)
    table = pd.DataFrame(
        {
            "user": rows % 20,
            "period": "2024-01-01",
            "opened": pd.Timestamp("2020-01-01") + pd.to_timedelta(rows % 20, unit="D"),
            "t": rows // 2,
            "kind": np.array(["a", "b", "c"])[rows % 3],
        }
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    path = suggest(tmp_path / "t.csv")
    spec = DatasetSpec.load(path)
    assert (spec.id, spec.time, spec.categorical) == ("user", "t", ("kind",))
    assert "every row): period, opened" in path.read_text("utf-8")


def test_columns_of_every_kind(tmp_path: Path) -> None:
    rows = np.arange(600)
    measured = np.where(rows % 7 == 0, np.nan, rows / 8).astype("float32")
    table = pa.table(
        {
            "user": rows % 31,
            "when": pa.array(rows * 3_600_000_000, pa.timestamp("us")),
            "open": rows % 2 == 0,
            "price": pa.array([Decimal(int(row)) / 4 for row in rows], pa.decimal128(9, 2)),
            "place": pa.array([{"x": int(row) % 3} for row in rows]),
            "at": pa.array([time(int(row) % 24) for row in rows]),
            "nothing": pa.nulls(len(rows)),
            "measured": measured,
            "kind": pa.array([f" {row % 5}a " if row % 10 else " " for row in rows]),
            # Read as numbers by preparation, and too large for an integer or none at all.
            "limit": pa.array([("2.5", "1e30", "nan", "inf", "")[row % 5] for row in rows]),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    path = suggest(tmp_path / "t.parquet")
    spec = DatasetSpec.load(path)
    assert spec.categorical == ("open", "place", "at", "kind")
    assert set(spec.numerical) == {"price", "measured", "limit"}
    text = path.read_text("utf-8")
    assert "kind   # 5 values, 10.0% missing" in text
    known = measured[~np.isnan(measured)]
    median = f"{np.median(known):g}"
    assert f"{known.min():g} to {known.max():g}, median {median}" in text
    assert "limit: {}   # 4 values, 20.0% missing, 2.5 to 1e+30" in text
    manifest = prepare("table", tmp_path / "out", source=tmp_path / "t.parquet", strict=False)
    assert sum(split["events"] for split in manifest.splits.values()) == len(rows)


def test_what_is_known_need_not_be_guessed(tmp_path: Path) -> None:
    _bank().to_csv(tmp_path / "bank.csv", index=False)
    known = Known(id="region", time="age", label=("churn_flag", "channel"))
    path = suggest(tmp_path / "bank.csv", None, known)
    content = yaml.safe_load(path.read_text("utf-8"))
    assert (content["id"], content["time"]) == ("region", "age")
    assert content["label"] == ["churn_flag", "channel"]
    assert "channel" not in content["categorical"]
    text = path.read_text("utf-8")
    assert "id: region   # as you said: 3 values" in text
    assert "time_unit: day   # a guess: what does 1 mean" in text


def test_every_guess_is_called_one(tmp_path: Path) -> None:
    _bank().to_csv(tmp_path / "bank.csv", index=False)
    lines = suggest(tmp_path / "bank.csv").read_text("utf-8").splitlines()
    for key in ("id", "time", "time_format", "time_unit", "static", "label"):
        assert "# a guess" in next(line for line in lines if line.startswith(f"{key}:")), key
    assert "Guesses" in lines[lines.index("categorical:") - 1]


def test_labels_of_a_file_of_their_own(tmp_path: Path) -> None:
    bank = _bank()
    labels = bank.groupby("client_id", as_index=False)["churn_flag"].first()
    labels["spend"] = labels["client_id"] * 1.5
    bank.drop(columns="churn_flag").to_csv(tmp_path / "bank.csv", index=False)
    (tmp_path / "aside").mkdir()
    file = tmp_path / "aside" / "labels.csv"
    labels.to_csv(file, index=False)
    source = tmp_path / "bank.csv"
    with pytest.raises(ValueError, match=r"has churn_flag, spend; say which is the label"):
        suggest(source, None, Known(labels=file))
    with pytest.raises(ValueError, match=r"label=spent: .* did you mean 'spend'"):
        suggest(source, None, Known(labels=file, label=("spent",)))
    path = suggest(source, None, Known(labels=file, label=("churn_flag",)))
    content = yaml.safe_load(path.read_text("utf-8"))
    assert (content["label"], content["labels"]) == ("churn_flag", "aside/labels.csv")
    manifest = prepare("table", tmp_path / "out", source=source)
    assert sum(split["labelled"] for split in manifest.splits.values()) == 40


@pytest.mark.parametrize("known", [Known(id="clint_id"), Known(time="x"), Known(label=("y",))])
def test_a_known_column_has_to_be_there(tmp_path: Path, known: Known) -> None:
    _bank().to_csv(tmp_path / "bank.csv", index=False)
    with pytest.raises(ValueError, match=r"=\w+: .* has no such column"):
        suggest(tmp_path / "bank.csv", None, known)
