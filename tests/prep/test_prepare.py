"""Prepared folders against a slow reference, and their independence of order, threads and kills."""

from __future__ import annotations

import dataclasses
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.engines.duckdb import DuckDB
from grap_seq.prep.folder.manifest import Manifest
from grap_seq.prep.prepare import prepare
from grap_seq.prep.stages import sequences as stages
from grap_seq.schema import Schema
from tests.prep import reference
from tests.prep.helpers import SPEC, content_of, rows_of, write_source

EVENT = st.builds(
    reference.Event,
    id=st.integers(1, 12),
    time=st.integers(-3, 3).map(lambda n: n / 2),
    categories=st.fixed_dictionaries(
        {"kind": st.sampled_from(["a", "b", "ä", None]), "place": st.sampled_from(["x", "y"])}
    ),
    numbers=st.fixed_dictionaries(
        {
            "amount": st.none() | st.integers(-4, 40).map(lambda n: n * 2.5),
            "size": st.none() | st.integers(0, 3).map(float),
        }
    ),
)
NUMERICAL = st.fixed_dictionaries(
    {
        "amount": st.fixed_dictionaries(
            {
                "by": st.sampled_from([None, "kind"]),
                "log": st.booleans(),
                "clip": st.sampled_from([[0, 1], [0.05, 0.9]]),
            }
        ),
        "size": st.just({}),
    }
)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],
)
@given(
    events=st.lists(EVENT, min_size=2, max_size=60),
    numerical=NUMERICAL,
    csv=st.booleans(),
    buckets=st.integers(1, 4),
    text_id=st.booleans(),
)
def test_same_as_the_slow_reference(
    events: list[reference.Event],
    numerical: dict[str, Any],
    csv: bool,
    buckets: int,
    text_id: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    if text_id:
        events = [dataclasses.replace(event, id=f"c{event.id}") for event in events]
    content = {
        **SPEC,
        "categorical": ["kind", "place"],
        "numerical": numerical,
        "split": {"validation": 0.25, "test": 0.25, "seed": 1},
    }
    spec = DatasetSpec.from_dict(content)
    splits = {event.id: reference.split_of(event.id, spec) for event in events}
    assume(len(splits) > 1 and "train" in splits.values())
    folder = tmp_path_factory.mktemp("property")
    rows = [{"client": e.id, "when": e.time, **e.categories, **e.numbers} for e in events]
    source = folder / ("events.csv" if csv else "events.parquet")
    if csv:
        pd.DataFrame(rows).to_csv(source, index=False)
    else:
        pq.write_table(pa.Table.from_pylist(rows, _types(text_id)), source)
    (folder / "events.yaml").write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            stages, "VALUES_PER_BUCKET", -(-len(events) * (3 + len(numerical)) // buckets)
        )
        prepare("table", folder / "out", source=source, threads=1)
    for split, expected in reference.prepare(events, spec).items():
        found = sorted(rows_of(folder / "out", split), key=lambda row: row["client"])
        assert [row["client"] for row in found] == [row["client"] for row in expected]
        for one, other in zip(found, expected, strict=True):
            for name in ("event_time", *spec.categorical, *spec.numerical):
                values = other[name]
                assert one[name] == pytest.approx(values, rel=1e-5, abs=1e-5, nan_ok=True), name


def _types(text_id: bool) -> pa.Schema:
    return pa.schema(
        [
            ("client", pa.string() if text_id else pa.int64()),
            ("when", pa.float64()),
            ("kind", pa.string()),
            ("place", pa.string()),
            ("amount", pa.float64()),
            ("size", pa.float64()),
        ]
    )


def _many(folder: Path, seed: int = 0, events: int = 600) -> Path:
    """A table with ties and missing values; `seed` only changes the order of its rows."""
    numbers = random.Random(7)
    rows = [
        (
            numbers.randrange(40),
            numbers.randrange(10),
            numbers.choice("abc") if numbers.random() < 0.9 else "",
            numbers.choice(["", "0", "-0.0", "1e3", str(numbers.random() * 10)]),
        )
        for _ in range(events)
    ]
    random.Random(seed).shuffle(rows)
    text = "client,when,kind,amount\n" + "".join(f"{a},{b},{c},{d}\n" for a, b, c, d in rows)
    return write_source(
        folder,
        text,
        numerical={"amount": {"by": "kind"}},
        split={"validation": 0.2, "test": 0.2, "seed": 3},
    )


def test_row_order_and_threads_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "VALUES_PER_BUCKET", 750)
    for seed, threads in ((0, 1), (1, 2), (2, 3)):
        source = _many(tmp_path / str(seed), seed)
        prepare("table", tmp_path / f"out{seed}", source=source, threads=threads)
    first = content_of(tmp_path / "out0")
    assert len([name for name in first if name.endswith(".parquet")]) == 9
    assert content_of(tmp_path / "out1") == first
    assert content_of(tmp_path / "out2") == first


# Each ends the process with kill -9 at one point of the work.
KILLS = {
    "while reading": (
        "from grap_seq.prep.stages import work; work.write_json = die",
        set(),
    ),
    "while sorting into buckets": (
        "import pathlib; pathlib.Path.rename = die",
        {"work/cleaned.parquet", "work/facts.json", "work/sequences.parquet"},
    ),
    "in the middle of a part": (
        "write = parts.pq.write_table\n"
        "def half(table, path, **options):\n"
        "    write(table, path, **options)\n"
        "    if 'val/part-00001' in str(path): die()\n"
        "parts.pq.write_table = half",
        {"train/part-00000.parquet", "test/part-00000.parquet", "train/part-00001.parquet"},
    ),
}


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A table, and the folder that an undisturbed run makes of it, whose tables are held."""
    place = tmp_path_factory.mktemp("unkilled")
    source = _many(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "VALUES_PER_BUCKET", 600)
        prepare("table", place / "out", source=source, threads=1)
    return source, content_of(place / "out", manifest=True)


@pytest.mark.parametrize("point", KILLS)
def test_killed_run_continues_with_the_same_bytes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    unkilled: tuple[Path, dict[str, bytes]],
    point: str,
) -> None:
    patch, survivors = KILLS[point]
    source, expected = unkilled
    output = tmp_path / "out"
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from grap_seq.prep import prepare\nfrom grap_seq.prep.stages import parts\n"
        "from grap_seq.prep.stages import sequences as stages\n"
        "from grap_seq.prep.engines.duckdb import DuckDB\n"
        "DuckDB.holds = lambda *_: False\n"
        "def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"stages.VALUES_PER_BUCKET = 600\n{patch}\n"
        "prepare.prepare('table', Path(sys.argv[2]), source=Path(sys.argv[1]), threads=1)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(source), str(output)], check=False)
    assert killed.returncode == -9
    assert not output.exists()
    partial = tmp_path / "out.partial"
    times = {name: (partial / name).stat().st_mtime_ns for name in survivors}
    # Events that have become parts, or lie in their buckets, are there no more.
    cleaned = partial / "work" / "cleaned.parquet"
    assert cleaned.exists() == (point != "in the middle of a part")
    assert not (partial / "work" / "buckets" / "__bucket=0").exists()

    # With a memory limit that would have needed no files.
    monkeypatch.setattr(stages, "VALUES_PER_BUCKET", 600)
    written = []
    write = pq.write_table

    def record(table: pa.Table, path: Path, **options: Any) -> None:
        written.append(path)
        write(table, path, **options)

    monkeypatch.setattr(pq, "write_table", record)
    prepare("table", output, source=source, threads=2)
    assert not partial.exists()
    kept = {name for name in survivors if not name.startswith("work/")}
    for name in kept - {"train/part-00001.parquet"}:
        assert (output / name).stat().st_mtime_ns == times[name]
    assert len(written) == 9 - (3 if kept else 0)
    assert content_of(output, manifest=True) == expected


def test_work_of_another_input_is_not_continued(tmp_path: Path) -> None:
    source, output = _many(tmp_path), tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DuckDB, "holds", lambda *_: False)
        patch.setattr(pq, "write_table", _fail)
        with pytest.raises(RuntimeError):
            prepare("table", output, source=source)
    assert (tmp_path / "out.partial" / "work" / "facts.json").exists()
    source = write_source(tmp_path)
    manifest = prepare("table", output, source=source)
    assert manifest.splits["train"]["events"] == 4


def _fail(*_: Any, **__: Any) -> None:
    raise RuntimeError


def test_full_disk_leaves_the_earlier_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = write_source(tmp_path), tmp_path / "out"
    prepare("table", output, source=source)
    before = content_of(output, manifest=True)
    source = _many(tmp_path)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        with pytest.raises(OSError, match=r"earlier .*out is untouched.*it continues"):
            prepare("table", output, source=source, overwrite=True)
    assert content_of(output, manifest=True) == before
    manifest = prepare("table", output, source=source, overwrite=True)
    assert sum(split["events"] for split in manifest.splits.values()) == 600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.csv", "events.yaml", "out"]


def test_manifest_counts_and_checksums(tmp_path: Path) -> None:
    source = write_source(
        tmp_path, "client,when,kind,amount,y\n1,0,a,1,n\n1,1,b,3,n\n2,0,a,5,y\n", label="y"
    )
    manifest = prepare("table", tmp_path / "out", source=source)
    assert manifest == Manifest.load(tmp_path / "out")
    assert manifest.splits["train"] == {
        "sequences": 2,
        "events": 3,
        "labelled": 2,
        "classes": {"n": 1, "y": 1},
    }
    assert manifest.files["train/part-00000.parquet"]["rows"] == 2
    assert set(manifest.files) == set(content_of(tmp_path / "out"))
    schema = Schema.load(tmp_path / "out")
    assert manifest.schema_hash == schema.hash
    assert [label.metric for label in schema.labels] == ["auc"]
    assert [field.size for field in schema.categorical] == [4]


def test_unknown_dataset_and_engine(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'flights'"):
        prepare("fligths", tmp_path / "out")
    with pytest.raises(ValueError, match=r"engine 'spork'.*duckdb"):
        prepare("table", tmp_path / "out", source=write_source(tmp_path), engine="spork")
    with pytest.raises(ValueError, match=r"memory_limit=2 apples.*write for example"):
        prepare("table", tmp_path / "out", source=write_source(tmp_path), memory_limit="2 apples")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.csv", "events.yaml"]


def test_what_fits_into_memory_is_written_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _many(tmp_path)
    found: set[str] = set()
    end = shutil.rmtree

    def look(path: Path, *arguments: Any, **options: Any) -> None:
        found.update(p.name for p in Path(path).rglob("*") if p.is_file())
        end(path, *arguments, **options)

    monkeypatch.setattr(shutil, "rmtree", look)
    prepare("table", tmp_path / "out", source=source)
    assert found == {"fingerprint.json"}
    monkeypatch.setattr(DuckDB, "holds", lambda *_: False)
    prepare("table", tmp_path / "files", source=source)
    assert {"facts.json", "sequences.parquet", "state.json"} < found
    assert content_of(tmp_path / "out") == content_of(tmp_path / "files")
