"""`trainer.max_steps` inside an epoch: the run that goes on equals the uninterrupted one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from grap_seq import commands, seal
from grap_seq.training.trajectory import append
from tests.training.saved import assert_same_runs, best, last, saved

# Batches of an epoch.
BATCHES = 6
SMALL = ["batch_size=8", "log_every=1", "dataset.hidden=8", "event_width=8", "trainer.threads=1"]


def train(shop: Path, run: Path, *extra: str) -> None:
    names = ["dataset=table", f"prepared={shop}", f"run={run}", "epochs=3", "select=probe"]
    commands.pretrain([*names, *SMALL, *extra])


@pytest.mark.parametrize(
    ("extra", "stops"),
    [
        # In the first epoch, twice in the second, at the end of one, in the last.
        (
            ["weighting=dwa", "schedule=cosine", "warmup=0.2"],
            [3, BATCHES + 2, BATCHES + 5, 2 * BATCHES, 16],
        ),
        (["select=loss", "accumulate=2", "trainer.workers=1"], [2, 5]),
        (["mode=supervised"], [BATCHES + 3]),
    ],
)
def test_stopped_and_continued_is_bit_equal(
    shop: Path, tmp_path: Path, extra: list[str], stops: list[int]
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(shop, whole, *extra)
    for steps in stops:
        train(shop, broken, *extra, f"trainer.max_steps={steps}", "resume=true")
        assert int(pd.read_csv(broken / "metrics.csv")["step"].iloc[-1]) == steps
    # Nothing is left to do: nothing changes.
    before = saved(broken)[-1].read_bytes()
    train(shop, broken, *extra, f"trainer.max_steps={stops[-1]}", "resume=true")
    assert saved(broken)[-1].read_bytes() == before
    train(shop, broken, *extra, "resume=true")
    assert_same_runs(whole, broken)


def test_files_that_are_ahead_of_the_checkpoint_do_no_harm(shop: Path, tmp_path: Path) -> None:
    """As after a kill between the files of an epoch and its checkpoint."""
    whole, broken, ahead = (tmp_path / name for name in ("whole", "broken", "ahead"))
    train(shop, whole, "select=last")
    train(shop, broken, "select=last", f"trainer.max_steps={BATCHES + 1}")
    train(shop, ahead, "select=last", f"trainer.max_steps={BATCHES + 4}", "seed=1")
    for name in ("weights.parquet", "metrics.csv"):
        with seal.write(broken, name) as temporary:
            shutil.copy(ahead / name, temporary)
    # Up to the checkpoint's step the rows are those of the run.
    rows, late = (pd.read_parquet(run / "weights.parquet") for run in (whole, ahead))
    joined = pd.concat([rows[: BATCHES + 1], late[BATCHES + 1 :]])
    with seal.write(broken, "weights.parquet") as temporary:
        joined.to_parquet(temporary, index=False)
    assert len(pd.read_parquet(broken / "weights.parquet")) == BATCHES + 4
    train(shop, broken, "select=last", "resume=true")
    assert_same_runs(whole, broken)


def test_a_stopped_run_is_a_run(shop: Path, tmp_path: Path) -> None:
    train(shop, tmp_path / "run", f"trainer.max_steps={BATCHES + 2}", "select=probe")
    rows = pd.read_csv(tmp_path / "run" / "metrics.csv")
    assert rows["epoch"].tolist() == [0, 1]
    assert rows["step"].tolist() == [BATCHES, BATCHES + 2]
    assert rows["val_probe"].notna().all()
    assert best(tmp_path / "run")["epoch"] == 0


def test_one_row_for_every_logged_step(shop: Path, tmp_path: Path) -> None:
    train(shop, tmp_path / "run", "accumulate=3", "log_every=2", "select=last")
    # Six batches are two updates.
    steps = pd.read_parquet(tmp_path / "run" / "weights.parquet")["step"].tolist()
    assert steps == [1, 2, 4, 6]


def test_checkpoints_do_not_grow_with_the_steps(shop: Path, tmp_path: Path) -> None:
    sizes, rows = [], []
    for epochs in (1, 5):
        run = tmp_path / f"run{epochs}"
        train(shop, run, f"epochs={epochs}", "select=last")
        (kept,) = (v for k, v in last(run)["callbacks"].items() if k.startswith("Recorder"))
        sizes.append(saved(run)[-1].stat().st_size)
        rows.append(len(pd.read_parquet(run / "weights.parquet")))
        assert len(kept.pop("metrics")) == epochs
        assert len(str(kept)) < 200
    assert rows == [BATCHES, 5 * BATCHES]
    # Four more rows of metrics.csv.
    assert sizes[1] - sizes[0] < 4 * 1000


def test_rows_behind_a_checkpoint_are_cut(tmp_path: Path) -> None:
    rows = [{"step": float(step), "a": step / 8} for step in range(6)]
    append(tmp_path, rows[:3], after=0)
    append(tmp_path, rows[3:5], after=2)
    # Killed before the checkpoint of step 4: the one of step 2 goes on, with another column.
    append(tmp_path, [{"step": 3.0, "a": 1.0, "b": 2.0}], after=2)
    found = pd.read_parquet(tmp_path / "weights.parquet")
    expected = pd.DataFrame([*rows[:3], {"step": 3.0, "a": 1.0, "b": 2.0}])
    pd.testing.assert_frame_equal(found, expected)
    append(tmp_path, [], after=1)
    assert pd.read_parquet(tmp_path / "weights.parquet")["step"].tolist() == [0, 1]
    append(tmp_path, [], after=0)
    assert not (tmp_path / "weights.parquet").exists()
