"""`grap-seq pretrain -m`: ordinary runs, each once, whatever fails or is killed."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pandas as pd
import pytest

from grap_seq import commands
from grap_seq import config as configs
from grap_seq.experiments import runs
from tests.processes import command, together
from tests.terminal import Terminal

SMALL = ["dataset=table", "dataset.hidden=8", "event_width=8", "epochs=1", "trainer.max_steps=2"]


def asked(shop: Path, root: Path, *words: str) -> list[str]:
    return ["-m", *SMALL, f"prepared={shop}", f"run={root}", *words]


def ordinary(folder: Path) -> dict[str, str]:
    """The settings that a run was told, of its folder's name."""
    return dict(word.split("=", 1) for word in folder.name.split(","))


def test_a_run_for_every_combination_and_none_twice(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.pretrain(asked(shop, tmp_path, "seed=0,1", "weighting=equal"))
    first = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/run/model.safetensors")}
    assert len(first) == 2
    said = capsys.readouterr().out
    assert "2 of 2: " in said
    assert "0:00:00 left" in said
    # A larger grid takes what there is.
    commands.pretrain(asked(shop, tmp_path, "seed=range(2)", "weighting=grap,equal", "workers=2"))
    folders = [path.parents[1] for path in tmp_path.glob("*/run/model.safetensors")]
    found = sorted((ordinary(path)["weighting"], ordinary(path)["seed"]) for path in folders)
    assert found == [("equal", "0"), ("equal", "1"), ("grap", "0"), ("grap", "1")]
    assert all(path.stat().st_mtime_ns == then for path, then in first.items())
    for folder in folders:
        stored = configs.load(folder / "run" / "config.yaml")
        assert stored["seed"] == int(ordinary(folder)["seed"])
        assert stored["weighting"]["name"] == ordinary(folder)["weighting"]
    # Ordinary ones: the other commands take them.
    commands.embed([f"run={folders[0] / 'run'}"])


def test_the_same_run_as_without_it(shop: Path, tmp_path: Path) -> None:
    commands.pretrain(asked(shop, tmp_path, "seed=3"))
    alone = [*SMALL, f"prepared={shop}", f"run={tmp_path / 'alone'}", "seed=3", "trainer.threads=1"]
    commands.pretrain(alone)
    (swept,) = tmp_path.glob("*/run/model.safetensors")
    assert swept.read_bytes() == (tmp_path / "alone" / "model.safetensors").read_bytes()


def test_failing_runs_are_listed_at_the_end_and_the_others_are_done(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # CoLES needs a head beside other losses, which is known when the run begins.
    words = asked(shop, tmp_path, "objective.coles_head=false,true", "weighting=equal")
    with pytest.raises(ValueError, match="1 of 2 runs failed, see above"):
        commands.pretrain(words)
    (told,) = (line for line in capsys.readouterr().out.splitlines() if "failed: Value" in line)
    assert "objective.coles_head=false" in told.partition(" failed: ")[0]
    assert told.endswith("to try again)")
    found = {path.name: runs.outcome(path) for path in tmp_path.iterdir() if path.is_dir()}
    states = sorted(one.state for one in found.values() if one is not None)
    assert states == ["done", "failed"]
    # The same command tries none of them again, and ends as before.
    before = [path.read_bytes() for path in sorted(tmp_path.glob("*/outcome.json"))]
    assert Terminal(tmp_path, monkeypatch, capsys).run("pretrain", *words)[0] == 2
    assert [path.read_bytes() for path in sorted(tmp_path.glob("*/outcome.json"))] == before


@together
def test_a_killed_grid_goes_on(shop: Path, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    words = asked(shop, root, "seed=0,1", "weighting=equal")
    process = command(["pretrain", *words], tmp_path / "said")
    while not list(root.glob("*/run/config.yaml")):
        assert process.exitcode is None
        time.sleep(0.02)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    commands.pretrain(words)
    found = [runs.outcome(path) for path in sorted(root.iterdir())]
    assert [one.state for one in found if one is not None] == ["done", "done"]
    assert sum(one.attempts for one in found if one is not None) == 3
    assert [len(pd.read_csv(path)) for path in root.glob("*/run/metrics.csv")] == [1, 1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["weighting=grap,garp"], "weighting=garp: did you mean 'grap'"),
        (["seed=0,x"], "seed=x"),
        (["mode=supervised", "weighting=grap,equal"], "supervised training chooses its own"),
        (["trainer.threads=1"], "-m has threads=N for all runs"),
        (["resume=true"], "goes on with its runs by itself"),
        (["workers=0,1"], "give one value"),
    ],
)
def test_what_a_run_would_refuse_is_refused_before_any(
    shop: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        commands.pretrain(asked(shop, tmp_path, *words))
    assert not list(tmp_path.iterdir())


def test_data_that_are_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match="grap-seq prepare dataset=flights output="
    ) as error:
        commands.pretrain(
            ["-m", "seed=0,1", f"prepared={tmp_path / 'a'}", f"run={tmp_path / 'runs'}"]
        )
    assert f"output={tmp_path / 'a'}" in str(error.value)
    assert not list(tmp_path.iterdir())
