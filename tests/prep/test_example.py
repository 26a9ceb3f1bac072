"""What is asked of an example on loading is what is asked of a usual data frame."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from grap_seq.prep.coder import Coder
from grap_seq.prep.example import example
from grap_seq.prep.folder.state import State
from grap_seq.prep.prepare import prepare
from tests.prep.helpers import write_source


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(2)
    return pd.DataFrame(
        {
            "client": np.repeat(np.arange(30), 4),
            "when": pd.date_range("2020-01-01", periods=120, freq="h"),
            "code": random.choice([-3, 0, 7, 12], 120),
            "kind": random.choice(["a", "07"], 120),
            "amount": random.integers(0, 9, 120),
        }
    )


@pytest.fixture(scope="module")
def coder(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Coder:
    place = tmp_path_factory.mktemp("example")
    source = write_source(
        place, frame.to_csv(index=False), categorical=["code", "kind"], numerical=["amount"]
    )
    prepare("table", place / "out", source=source)
    return Coder(State.load(place / "out"))


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
@pytest.mark.parametrize("amount", ["int64", "float64", "uint8"])
def test_one_plan_for_all(
    coder: Coder, frame: pd.DataFrame, unit: str, zone: str | None, amount: str
) -> None:
    coder.close()
    wanted = coder.encode(frame.astype({"when": "datetime64[ns]", "code": str}))
    coder.close()
    coder.encode(example(coder.state).to_pandas())
    times = pd.Series(frame["when"].to_numpy().astype(f"datetime64[{unit}]"))
    if zone is not None:
        times = times.dt.tz_localize("UTC").dt.tz_convert(zone)
    found = coder.encode(frame.assign(when=times, amount=frame["amount"].to_numpy().astype(amount)))
    assert found.equals(wanted)
    assert len(coder._plans) == 1
