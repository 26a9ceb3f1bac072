"""Training computes what it computed when the golden runs were written."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests import golden
from tests.golden import __main__ as command


@pytest.fixture(scope="module")
def prepared_golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden.prepare(tmp_path_factory.mktemp("golden") / "prepared")


@pytest.mark.parametrize(("encoder", "weighting"), golden.PAIRS)
def test_fifty_steps_are_the_golden_ones(
    prepared_golden: Path, encoder: str, weighting: str
) -> None:
    about = golden.about()
    columns, found = golden.run(prepared_golden, encoder, weighting)
    assert columns == about["columns"]
    assert found.shape == (golden.STEPS, len(columns))
    wanted = np.load(golden.RUNS)[f"{encoder}-{weighting}"]
    # Every loss has learned something, or the run would show nothing.
    assert (wanted.std(0)[: columns.index("weight/coles")] > 0).all()
    if about["versions"] == golden.versions():
        np.testing.assert_array_equal(found, wanted, command.ASKED)
    else:
        steps, near = golden.STEPS_ELSEWHERE, golden.TOLERANCE
        np.testing.assert_allclose(found[:steps], wanted[:steps], rtol=near, atol=near)


def test_methods_and_encoders_differ() -> None:
    runs = np.load(golden.RUNS)
    assert set(runs) == {f"{encoder}-{weighting}" for encoder, weighting in golden.PAIRS}
    assert len({runs[name].tobytes() for name in runs}) == len(golden.PAIRS)


def test_new_ones_need_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    before = golden.RUNS.read_bytes(), golden.ABOUT.read_bytes()
    for given in ([], ["because"], ["a reason that", "is two"]):
        monkeypatch.setattr(sys, "argv", ["golden", *given])
        with pytest.raises(SystemExit, match="A reviewer"):
            command.main()
    assert (golden.RUNS.read_bytes(), golden.ABOUT.read_bytes()) == before
    assert len(golden.about()["reason"].split()) > 2
