"""Vocabularies and scalers against NumPy, on more values than the property test has."""

from __future__ import annotations

import ibis
import numpy as np
import pyarrow as pa
import pytest

from grap_seq.prep.describe.spec_parts import Numerical
from grap_seq.prep.engines.connect import connect
from grap_seq.prep.stages import fitting

CONNECTION = connect(threads=2)


def test_vocabulary_is_cut_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "MAX_VALUES", 3)
    table = ibis.memtable(pa.table({"kind": ["b", "b", "a", "a", None, None, "c", "d"]}))
    assert fitting.fit_vocabularies(CONNECTION, table, ["kind"]) == {"kind": ("a", "b", None)}


@pytest.mark.parametrize("log", [False, True])
def test_statistics_of_skewed_values(log: bool) -> None:
    random = np.random.default_rng(5)
    values = random.lognormal(3, 3, 50_000) - 5
    kinds = random.choice(["x", "y"], 50_000, p=[0.99, 0.01])
    table = ibis.memtable(
        pa.table({"kind": kinds.tolist(), "amount": np.where(kinds == "y", 4.0, values)})
    )
    options = {"amount": Numerical(by="kind", log=log, clip=(0.01, 0.999))}
    known = {"kind": ("x", "y", None)}
    scaler = fitting.fit_scalers(CONNECTION, table, options, known)["amount"]
    chosen = values[kinds == "x"]
    if log:
        chosen = np.sign(chosen) * np.log1p(np.abs(chosen))
    low, high = np.quantile(chosen, [0.01, 0.999])
    clipped = chosen.clip(low, high)
    first, constant, absent = scaler.groups
    assert first is not None
    assert [first.low, first.high] == pytest.approx([low, high], rel=1e-12)
    assert first.mean == pytest.approx(clipped.mean(), rel=1e-7)
    assert first.std == pytest.approx(clipped.std(), rel=1e-7)
    assert first.count == len(chosen)
    assert constant is not None
    assert (constant.mean, constant.std) == (constant.low, 1.0)
    assert absent is None


def test_column_without_values() -> None:
    column = pa.array([None, None], pa.float64())
    table = ibis.memtable(pa.table({"kind": ["x", "x"], "amount": column}))
    scaler = fitting.fit_scalers(CONNECTION, table, {"amount": Numerical()}, {})["amount"]
    assert (scaler.other.count, scaler.other.std) == (0, 1.0)
