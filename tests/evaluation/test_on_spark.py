"""`embed engine=spark` on a cluster of two workers: the files of one process, byte for byte."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from grap_seq import config as configs
from grap_seq import seal
from grap_seq.evaluation.embed_folder import embed_folder, join_shards
from grap_seq.evaluation.load import load
from grap_seq.evaluation.on_spark import embed_on_spark
from grap_seq.evaluation.save import save
from grap_seq.training.pretrain import build_module
from tests.data.toy import SCHEMA, random_rows, write_prepared
from tests.evaluation.test_shards import content
from tests.prep.engines.test_cluster import SETTINGS, Cluster, cluster

__all__ = ["cluster"]
pytestmark = pytest.mark.xdist_group("spark")
CHOSEN = ["dataset=table", "dataset.max_time_gap=8", "dataset.hidden=8", "event_width=8"]
SHARDS = 3


@pytest.mark.slow
def test_tasks_of_a_cluster_make_what_one_process_makes(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers are in folders of their own: paths are those of the driver, and relative ones."""
    # Three chunks.
    rows = {"train": random_rows([2, 3] * 4500), "test": random_rows([6, 12], 0, 90_000)}
    prepared, run = write_prepared(tmp_path / "data", rows), tmp_path / "run"
    module, description = build_module(configs.compose("pretrain", CHOSEN), SCHEMA)
    run.mkdir()
    for name in ("schema.yaml", "vocab.json"):
        seal.write_text(run, name, (prepared / name).read_text("utf-8"))
    save(module.model, description, run)
    embed_folder(load(run, device="cpu"), prepared)
    expected = content(run / "embeddings")
    assert expected.keys() == {
        f"{folder}{split}.parquet" for folder in ("", "untrained/") for split in rows
    }
    for name in expected:
        seal.remove(run, f"embeddings/{name}")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.chdir(tmp_path)
    model = load("run", device="cpu")
    # On a command line these have quotes of their own.
    settings = {name: value.strip("'") for name, value in SETTINGS.items()}
    made = embed_on_spark(
        model,
        Path("data"),
        SHARDS,
        device="cpu",
        spark={"master": cluster.address, **settings, "log.level": "ERROR"},
    )
    assert made == SHARDS
    # Which of them is up first, and takes them all, is chance.
    assert sum(map(cluster.tasks, cluster.workers)) >= SHARDS
    join_shards(model, prepared, SHARDS)
    assert content(run / "embeddings") == expected
