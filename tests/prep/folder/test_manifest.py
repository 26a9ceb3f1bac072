"""What a manifest shows of counts that are not the expected ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from grap_seq.prep.describe.recipes import load_recipe, module, names
from grap_seq.prep.folder.manifest import Manifest, differences
from grap_seq.resources import folder
from grap_seq.schema import SPLITS

SPLIT_COUNTS: dict[str, dict[str, Any]] = {
    "train": {"sequences": 9000, "events": 90_000, "labelled": 2, "classes": {"0": 1, "1": 1}},
    "val": {"sequences": 10, "events": 99, "labelled": 1, "classes": {"0": 1, "1": 0}},
    "test": {"sequences": 5, "events": 7, "labelled": 0, "classes": {"0": 0, "1": 0}},
}


def _differences(expected: dict[str, Any]) -> list[Any]:
    return differences(SPLIT_COUNTS, {"row without time": 3}, {"mcc": 385, "kind": 4}, expected)


def test_exact_counts_sums_and_ranges() -> None:
    same = {
        "splits": {"train": {"sequences": 9000, "classes": {"1": 1}}},
        "total": {"events": 90_106, "classes": {"0": 2}},
        "dropped": {"row without time": 3},
        "vocabularies": {"mcc": [385, 400], "kind": [1, 4]},
    }
    assert _differences(same) == []
    other = {
        "splits": {"train": {"sequences": 9001, "classes": {"2": 7}}},
        "total": {"events": 90_105},
        "dropped": {"row without time": 2, "row without id": 1},
        "vocabularies": {"mcc": [1, 384], "kind": [5, 6]},
    }
    assert _differences(other) == [
        ("splits.train.sequences", 9001, 9000),
        ("splits.train.classes.2", 7, None),
        ("total.events", 90_105, 90_106),
        ("dropped.row without time", 2, 3),
        ("dropped.row without id", 1, 0),
        ("vocabularies.mcc", [1, 384], 385),
        ("vocabularies.kind", [5, 6], 4),
    ]


def test_the_table_can_be_read(tmp_path: Path) -> None:
    expected = {
        "splits": {"train": {"sequences": 10_000, "classes": {"2": 7}}},
        "total": {"events": 100_000},
        "dropped": {"row without id": 0, "row without time": 1},
        "vocabularies": {"mcc": [1, 384], "kind": [5, 1000]},
    }
    counts: dict[str, Any] = {"dropped": {"row without time": 3}, "source": {}, "files": {}}
    manifest = Manifest(
        dataset="churn",
        splits=SPLIT_COUNTS,
        spec_hash="",
        schema_hash="",
        versions={},
        differences=_differences(expected),
        **counts,
    )
    manifest.save(tmp_path)
    for one in (manifest, Manifest.load(tmp_path)):
        console = Console(width=100)
        with console.capture() as capture:
            console.print(one)
        text = capture.get()
        cells = [re.split(r"\s*│\s*", line.strip("│ ")) for line in text.splitlines()]
        for row in (
            ["train", "sequences", "10,000", "9,000", "-10.0%"],
            ["train", "label 2", "7", "0"],
            ["all splits", "events", "100,000", "90,106", "-9.9%"],
            ["left out", "row without time", "1", "3", "+200.0%"],
            ["values in training", "mcc", "at most 384", "385"],
            ["values in training", "kind", "5 to 1,000", "4"],
        ):
            assert row in cells, row
        assert "row without id" not in text
        assert "data_prep/churn/expected.yaml" in " ".join(text.split())


@pytest.mark.parametrize("name", [name for name in names() if name != "table"])
def test_expected_counts_name_what_a_manifest_has(name: str) -> None:
    path = folder("data_prep") / name / "expected.yaml"
    content = yaml.safe_load(path.read_text("utf-8"))
    for expected in content.values() if hasattr(module(name), "edition") else [content]:
        assert set(expected) <= {"splits", "total", "dropped", "vocabularies"}
        assert set(expected.get("splits", {})) <= set(SPLITS)
        for counts in (*expected.get("splits", {}).values(), expected.get("total", {})):
            assert set(counts) <= {"sequences", "events", "labelled", "classes"}
        assert set(expected.get("vocabularies", {})) <= set(load_recipe(name).spec.categorical)
