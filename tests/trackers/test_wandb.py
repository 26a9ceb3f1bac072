"""Weights & Biases, offline: the file that `wandb sync` would send is read back."""

from __future__ import annotations

import importlib
import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grap_seq import commands
from tests.trackers.runs import Points, assert_whole, interrupted

pytest.importorskip("wandb")
# A log of LevelDB's: blocks, and records in parts, of which the last is of kind 1 or 4.
BLOCK, HEADER, WHOLE = 1 << 15, 7, (1, 4)


def records(data: bytes) -> Iterator[Any]:
    # What its own command reads has no types.
    pb2: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")

    at, part = HEADER, b""
    while at + HEADER <= len(data):
        left = BLOCK - at % BLOCK
        if left < HEADER:
            at += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        part += data[at + HEADER : at + HEADER + size]
        at += HEADER + size
        if kind in WHOLE:
            yield pb2.Record.FromString(part)
            part = b""


def _written(files: list[Path]) -> list[Any]:
    """All records, once wandb's own process has written the last one, the report's."""
    found: list[Any] = []
    for _ in range(600):
        found = [record for file in files for record in records(file.read_bytes())]
        if any(record.HasField("artifact") for record in found):
            break
        time.sleep(0.2)
    return found


@pytest.mark.slow
def test_what_is_synced_later(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    run = tmp_path / "run"
    interrupted(shop, run, "tracker=wandb")
    commands.report([f"run={run}"])
    assert "Warning" not in "".join(capfd.readouterr())

    files = sorted((tmp_path / "wandb").glob("offline-*/*.wandb"))
    found = _written(files)
    # Two parts of training and the report, under one id.
    assert len(files) == 3
    ids = {record.run.run_id for record in found if record.HasField("run")}
    assert ids == {json.loads((run / "environment.json").read_text("utf-8"))["id"]}
    told: dict[str, Points] = {}
    for record in found:
        if record.HasField("history"):
            row = {
                "/".join(item.nested_key) or item.key: json.loads(item.value_json)
                for item in record.history.item
            }
            for name in row.keys() - {"_step", "trainer/global_step"}:
                told.setdefault(name, []).append((row["trainer/global_step"], row[name]))
    assert_whole(run, told)
    settings = {u.key for r in found if r.HasField("config") for u in r.config.update}
    assert {"dataset.name", "weighting.name", "seed"} <= settings
    (report,) = [record.artifact for record in found if record.HasField("artifact")]
    (entry,) = report.manifest.contents
    assert (report.type, entry.path) == ("report", "report.html")
    assert entry.size == (run / "report.html").stat().st_size
