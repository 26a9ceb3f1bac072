"""`benchmarks/gpu.py` on a CPU: all its parts, and what it does about one that fails."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu, gpu_parts
from benchmarks.gpu_bench import Bench, Row


@pytest.mark.slow
def test_all_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "found.json"
    assert gpu.main(["--device", "cpu", "--quick", "--output", str(output)]) == 0
    found = json.loads(output.read_text("utf-8"))
    parts = found["parts"]
    assert list(parts) == list(gpu_parts.PARTS)
    for part in parts.values():
        assert part["rows"]
        assert not {"error", "skipped"} & part.keys()
    assert len(parts["a"]["rows"]) == 3 * 3 * 2
    assert (
        max(r["gradient_error"] for r in parts["a"]["rows"] if r["precision"] == "float32") < 1e-5
    )
    waits = found["synchronisations_per_step"]
    assert set(waits) == {"gru", "transformer", "ht_transformer"}
    for by_weighting in waits.values():
        assert by_weighting == {"equal": 1, "grap": 1, "mgda": 2}
    assert parts["f"]["rows"] == [{"steps": 12, "killed": True, "equal": True}]
    assert "(f) killed and resumed" in capsys.readouterr().out


def test_a_part_that_fails_leaves_its_error_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(bench: Bench) -> Iterator[Row]:
        yield {"kept": 1}
        raise RuntimeError("the card is on fire")

    def works(bench: Bench) -> Iterator[Row]:
        yield {"kept": 2}

    monkeypatch.setattr(gpu, "PARTS", {"a": ("fails", fails), "b": ("works", works)})
    output = tmp_path / "found.json"
    bench = Bench(torch.device("cpu"), True, tmp_path, tmp_path)
    gpu.measure(bench, ["a", "b"], 60, output, {"parts": {}})
    parts = json.loads(output.read_text("utf-8"))["parts"]
    assert parts["a"]["rows"] == [{"kept": 1}]
    assert parts["a"]["error"] == "RuntimeError: the card is on fire"
    assert "in fails" in parts["a"]["traceback"]
    assert parts["b"]["rows"] == [{"kept": 2}]


def test_what_does_not_fit_into_the_time_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(bench: Bench) -> Iterator[Row]:
        while True:
            yield {"row": 1}

    monkeypatch.setattr(gpu, "PARTS", {letter: ("endless", endless) for letter in "ab"})
    # A clock that goes on by a second each time that it is read: once before a part, once after
    # it and once before every row.
    clock = SimpleNamespace(monotonic=itertools.count().__next__)
    monkeypatch.setattr(gpu, "time", clock)
    output = tmp_path / "found.json"
    bench = Bench(torch.device("cpu"), True, tmp_path, tmp_path)
    gpu.measure(bench, ["a", "b"], 61, output, {"parts": {}})
    a, b = json.loads(output.read_text("utf-8"))["parts"].values()
    # Two thirds of the 60 s that are left, then the whole of what is left of them.
    assert (len(a["rows"]), len(b["rows"])) == (40, 17)
    assert a["skipped"] == "the rest, behind 40 rows: out of time"
    assert b["skipped"] == "the rest, behind 17 rows: out of time"
