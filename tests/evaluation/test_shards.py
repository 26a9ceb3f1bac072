"""Embeddings made in shards, at the same time, are the files of one process, byte for byte."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from grap_seq import commands, seal
from grap_seq.evaluation import embed
from grap_seq.evaluation.output import Output
from grap_seq.evaluation.shards import Shard

SMALL = ["dataset.hidden=8", "event_width=8", "epochs=1", "batch_size=16", "trainer.threads=1"]
SHARDS = 3


@pytest.fixture(scope="module")
def trained(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("shards") / "run"
    commands.pretrain(["dataset=table", f"prepared={shop}", f"run={run}", "select=loss", *SMALL])
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, whose splits have several chunks, and the last ones fewer than shards."""
    monkeypatch.setattr(embed, "CHUNK_ROWS", 7)
    return Path(shutil.copytree(trained, tmp_path / "run"))


def content(folder: Path) -> dict[str, bytes]:
    files = folder.rglob("*.parquet")
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def make(run: Path, *extra: str) -> None:
    commands.embed([f"run={run}", f"shards={SHARDS}", "threads=1", "device=cpu", *extra])


def test_shards_are_joined_to_what_one_process_makes(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(run, alone)
    commands.embed([f"run={alone}", "threads=1", "device=cpu"])
    for number in (1, 0, 2):
        make(run, f"shard={number}")
    assert "without shard= joins all of them" in capsys.readouterr().out
    assert not content(run / "embeddings").keys() & content(alone / "embeddings").keys()
    make(run)
    expected = content(alone / "embeddings")
    assert {"train.parquet", "untrained/test.parquet"} <= expected.keys()
    assert content(run / "embeddings") == expected
    assert not list((run / "embeddings" / "shards").iterdir())
    assert not seal.problems(run)
    commands.evaluate([f"run={run}", "folds=0", "threads=1"])


def test_shards_are_made_at_the_same_time(run: Path) -> None:
    """In the folder of the run, which one process alone holds otherwise."""
    first = Output(run, Shard(0, SHARDS).folder(run / "embeddings"), alone=True)
    with first.held([]):
        make(run, "shard=1")
        with pytest.raises(FileExistsError, match=r"another process is at work in .*0-of-3"):
            make(run, "shard=0")
        with pytest.raises(FileExistsError, match="another process is at work"):
            make(run)


def damage(folder: Path) -> None:
    with (folder / "train.parquet").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff\x00\xff")


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (shutil.rmtree, FileNotFoundError, "shard 1-of-3 is missing or not complete"),
        (lambda folder: (folder / "shard.json").unlink(), FileNotFoundError, "not complete"),
        (damage, ValueError, "train.parquet is damaged"),
        (lambda folder: (folder / "val.parquet").unlink(), FileNotFoundError, "is missing"),
    ],
)
def test_a_shard_that_is_missing_or_damaged_is_named(
    run: Path, change: Callable[[Path], None], kind: type[Exception], said: str
) -> None:
    for number in range(SHARDS):
        make(run, f"shard={number}")
    with pytest.raises(FileNotFoundError, match=r"embed run=\S+ shards=N, with their number`"):
        commands.evaluate([f"run={run}", "folds=0"])
    change(run / "embeddings" / "shards" / "1-of-3")
    with pytest.raises(kind, match=rf"{said}.*make it with `grap-seq embed run=\S+ .*shard=1`"):
        make(run)
    assert not (run / "embeddings" / "train.parquet").exists()
    make(run, "shard=1")
    make(run)
    assert (run / "embeddings" / "train.parquet").exists()


def test_a_shard_that_was_made_otherwise_is_named(run: Path) -> None:
    for number in range(SHARDS):
        make(run, f"shard={number}", f"batch_events={100 + number // 2}")
    with pytest.raises(ValueError, match=r"shard 2-of-3 .* another batch_events \(101, .* 100\)"):
        make(run, "batch_events=100")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["shards=3", "shard=3"], "numbered from 0 to 2"),
        (["shard=0"], "name their number with shards="),
        (["shards=0"], "shards=0"),
        (["shards=2", "shard=0", "engine=spark"], "leave out engine="),
    ],
)
def test_numbers_of_shards(run: Path, words: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        commands.embed([f"run={run}", *words])
