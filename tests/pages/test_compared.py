"""Which runs are one method, and what methods differ in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from grap_seq.pages.compared import Run, Section, sections
from grap_seq.pages.read import read
from tests.pages.runs import write_run
from tests.sealed import reseal


def compared(folder: Path, *runs: dict[str, Any]) -> list[Section]:
    paths = [write_run(folder / f"{place}", **options) for place, options in enumerate(runs)]
    return sections([Run(path, read(path)) for path in paths])


def titles(section: Section) -> dict[str, list[int]]:
    return {method.title: [run.seed for run in method.runs] for method in section.methods}


def test_seeds_are_one_method_and_methods_have_the_order_of_the_tables(tmp_path: Path) -> None:
    (found,) = compared(
        tmp_path,
        {"weighting": "grap", "seed": 1},
        {"weighting": "grap", "seed": 0},
        {"weighting": "mine", "seed": 0},
        {"weighting": "equal", "seed": 0},
    )
    assert titles(found) == {"equal weights": [0], "GraP": [0, 1], "mine weights": [0]}
    assert found.title == "toy"
    assert found.differences == ()


def test_another_setting_is_another_method(tmp_path: Path) -> None:
    scaled = {"objective": {"scales": {"coles": 100}}}
    (found,) = compared(
        tmp_path,
        {"weighting": "grap"},
        {"weighting": "grap", "settings": scaled},
        {"weighting": "grap", "settings": {"trainer": {"threads": 2}}, "seed": 1},
    )
    assert titles(found) == {"GraP": [0, 1], "GraP, scales.coles=100": [0]}
    assert found.differences == ()


def test_many_settings_are_numbered(tmp_path: Path) -> None:
    weights = [{"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 2.0, "b": 4.0, "c": 1.0}, {"c": 9.0}]
    runs = [
        {"weighting": "fixed", "settings": {"weighting": {"name": "fixed", "weights": one}}}
        for one in weights
    ]
    (found,) = compared(tmp_path, *runs)
    assert list(titles(found)) == [f"constant weights, settings {n}" for n in (1, 2, 3)]


def test_what_methods_differ_in_beside_their_weights_is_said(tmp_path: Path) -> None:
    (found,) = compared(
        tmp_path, {"weighting": "equal", "settings": {"lr": 0.1}}, {"weighting": "grap"}
    )
    assert found.differences == ("lr is 0.1 (equal weights), 0.002 (GraP)",)


def test_datasets_and_versions_of_one_have_sections(tmp_path: Path) -> None:
    found = compared(
        tmp_path,
        {"data": "a" * 64},
        {"data": "b" * 64},
        {"dataset": "other"},
        {"score": None, "seed": 5},
    )
    assert [section.title for section in found] == [
        "toy, data aaaaaaaa",
        "toy, data bbbbbbbb",
        "other",
    ]
    # One without a score goes with the first.
    assert titles(found[0]) == {"GraP": [0, 5]}


def test_encoders_are_named_where_there_are_several(tmp_path: Path) -> None:
    (found,) = compared(tmp_path, {}, {"settings": {"encoder": {"name": "transformer"}}})
    assert list(titles(found)) == ["GraP, gru", "GraP, transformer"]


def test_a_fine_tuned_run_is_called_after_the_one_it_goes_out_from(tmp_path: Path) -> None:
    base = write_run(tmp_path / "base")
    tuned = write_run(tmp_path / "tuned", settings={"pretrained": str(base), "lr": 0.1})
    config = (tuned / "config.yaml").read_text().splitlines()
    kept = [line for line in config if not line.startswith(("encoder:", "weighting:", "  name: g"))]
    (tuned / "config.yaml").write_text("\n".join(kept))
    reseal(tuned)
    (found,) = sections([Run(path, read(path)) for path in (base, tuned)])
    assert list(titles(found)) == ["GraP", "GraP, fine-tuned"]


def test_cost_is_that_of_all_epochs(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", seconds=20.0, seed=1)
    # Three epochs of 40 steps.
    assert Run(path, read(path)).cost == {
        "seconds": 60.0,
        "steps_per_second": pytest.approx(2.0),
        "peak_memory_mib": 600.0,
    }


def test_versions_of_the_code_and_repeated_seeds_are_told(tmp_path: Path) -> None:
    (found,) = compared(tmp_path, {"seed": 0}, {"seed": 0})
    assert found.methods[0].repeated == [0]
    assert not found.methods[0].mixed
    other = write_run(tmp_path / "other", seed=1)
    (other / "environment.json").write_text('{"commit": "another"}')
    reseal(other)
    paths = [tmp_path / "0", other]
    (found,) = sections([Run(path, read(path)) for path in paths])
    assert found.methods[0].mixed
