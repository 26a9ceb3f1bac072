"""TensorBoard: the event files are read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from grap_seq import commands, seal
from tests.processes import together
from tests.trackers.runs import (
    STEPS,
    Points,
    assert_whole,
    interrupted,
    of_epochs,
    of_steps,
    pretrain,
    same,
)

pytest.importorskip("tensorboard")
# Its values are 32 bits wide.
REL = 1e-6


def told(run: Path) -> dict[str, Points]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run / "tensorboard"), {"scalars": 0})
    found.Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def test_it_says_what_the_own_files_say_also_when_it_goes_on(shop: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    pretrain(shop, whole, "tracker=tensorboard")
    assert_whole(whole, told(whole), REL)
    assert "epochs" in (whole / "tensorboard" / "hparams.yaml").read_text("utf-8")
    interrupted(shop, broken, "tracker=tensorboard")
    assert len(list((broken / "tensorboard").glob("events.*"))) == 2
    assert_whole(broken, told(broken), REL)


def test_event_files_are_no_strangers_in_a_run(shop: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    pretrain(shop, run, "tracker=[tensorboard,csv]")
    assert seal.unknown(run) == []
    commands.validate([f"run={run}"])
    pretrain(shop, run, "overwrite=true")
    assert not (run / "tensorboard").exists()
    (run / "tensorboard" / "mine").mkdir(parents=True)
    (run / "tensorboard" / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"mine/notes\.txt"):
        pretrain(shop, run, "overwrite=true")


def test_fine_tuning_and_a_report(shop: Path, tmp_path: Path) -> None:
    run, tuned = tmp_path / "run", tmp_path / "tuned"
    pretrain(shop, run)
    more = ["epochs=2", "log_every=2", "tracker=tensorboard"]
    commands.finetune([f"run={run}", f"output={tuned}", *more])
    found = told(tuned)
    assert [step for step, _ in found["loss/label"]] == STEPS
    assert same(found["epoch/val_score"], of_epochs(tuned, "val_score"), REL)
    assert [step for step, _ in found["learning_rate"]] == STEPS
    # It holds no files, and that is no error.
    commands.report([f"run={tuned}"])


@together
def test_of_two_processes_the_first_one_tells(
    shop: Path, tmp_path: Path, forked_ranks: None
) -> None:
    run = tmp_path / "run"
    words = ["dataset=table", f"prepared={shop}", f"run={run}", "epochs=1", "batch_size=4"]
    sizes = ["log_every=2", "dataset.hidden=8", "event_width=8", "select=last"]
    commands.pretrain([*words, *sizes, "trainer=ddp2_cpu", "tracker=tensorboard"])
    assert len(list((run / "tensorboard").glob("events.*"))) == 1
    found = told(run)
    assert same(found["loss/time"], of_steps(run, "loss/time"), REL)
    assert same(found["epoch/loss/time"], of_epochs(run, "loss/time"), REL)
