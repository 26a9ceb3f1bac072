"""A run that is told to stop anywhere saves itself, leaves with the right code, and goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grap_seq import commands
from grap_seq.evaluation import protocol
from grap_seq.training import supervised
from grap_seq.training.module import PretrainModule
from grap_seq.training.supervised import SupervisedModule
from tests.training.saved import assert_same_runs, last

# Batches of an epoch.
BATCHES = 6
SMALL = ["batch_size=8", "log_every=1", "event_width=8", "trainer.threads=1", "epochs=2"]
SIZES = ["dataset.hidden=8", "dataset.transformer.heads=2", "dataset.transformer.dropout=0.3"]


def train(shop: Path, run: Path, *extra: str) -> None:
    names = ["dataset=table", f"prepared={shop}", f"run={run}"]
    commands.pretrain([*names, *SMALL, *SIZES, "select=loss", *extra])


def at_call(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int, sent: signal.Signals
) -> None:
    """Send this process a signal in one call of a function."""
    function, calls = getattr(owner, name), [0]

    def called(*args: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            os.kill(os.getpid(), sent)
        return function(*args, **options)

    monkeypatch.setattr(owner, name, called)


def stopped(
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[], object],
    point: tuple[Any, str, int],
    sent: signal.Signals = signal.SIGTERM,
) -> None:
    """Run until the signal ends it, and check its code."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with monkeypatch.context() as patched:
        at_call(patched, *point, sent)
        with pytest.raises(SystemExit) as left:
            work()
    assert left.value.code == 128 + sent
    after = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert before == after


STEP = (PretrainModule, "training_step")


@pytest.mark.parametrize(
    ("encoder", "extra", "first", "then"),
    [
        ("gru", ["accumulate=2"], "trainer.workers=0", "trainer.workers=2"),
        ("transformer", ["weighting=gradnorm"], "trainer.workers=2", "trainer.workers=0"),
        ("ht_transformer", [], "trainer.workers=1", "trainer.workers=0"),
    ],
)
def test_stopped_in_training_and_continued_is_bit_equal(
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    encoder: str,
    extra: list[str],
    first: str,
    then: str,
) -> None:
    """GraP and dropout on; in the first epoch, in the second, with other numbers of workers."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    chosen = [f"encoder={encoder}", *extra]
    train(shop, whole, *chosen)
    for number, call in enumerate((2, BATCHES - 1)):
        resume = f"resume={str(number > 0).lower()}"
        stopped(
            monkeypatch,
            lambda resume=resume, way=(first, then)[number]: train(  # type: ignore[misc]
                shop, broken, *chosen, way, resume
            ),
            (*STEP, call),
        )
        assert "SIGTERM" in capsys.readouterr().err
        assert not (broken / "model.safetensors").exists()
    # The step was finished: nothing but the rest is left to do.
    steps = last(broken)["global_step"]
    assert steps == (4 if "accumulate=2" in extra else 2 + BATCHES - 1)
    train(shop, broken, *chosen, "resume=true")
    assert_same_runs(whole, broken)


@pytest.mark.parametrize(
    ("point", "extra", "step"),
    [
        ((PretrainModule, "validation_step", 1), [], BATCHES),
        ((PretrainModule, "validation_step", 3), [], 2 * BATCHES),
        ((protocol, "probe", 1), ["select=probe"], BATCHES),
        ((PretrainModule, "training_step", BATCHES), [], BATCHES),
        # While the first checkpoint is written, behind four files of the run.
        ((os, "replace", 5), ["checkpoint_every=1"], 2),
    ],
)
def test_stopped_elsewhere_and_continued_is_bit_equal(
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    point: tuple[Any, str, int],
    extra: list[str],
    step: int,
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(shop, whole, *extra)
    stopped(monkeypatch, lambda: train(shop, broken, *extra), point)
    assert last(broken)["global_step"] == step
    train(shop, broken, *extra, "resume=true")
    assert_same_runs(whole, broken)


@pytest.mark.parametrize(
    "point", [(SupervisedModule, "training_step", 8), (supervised, "score", 1)]
)
def test_training_by_the_label_is_stopped_likewise(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: tuple[Any, str, int]
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    chosen = ["mode=supervised"]
    train(shop, whole, *chosen)
    stopped(monkeypatch, lambda: train(shop, broken, *chosen), point, signal.SIGINT)
    train(shop, broken, *chosen, "resume=true")
    assert_same_runs(whole, broken)


def test_fine_tuning_is_stopped_likewise(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, whole, broken = (tmp_path / name for name in ("run", "whole", "broken"))
    train(shop, run, "encoder=transformer", "epochs=1")
    names = [f"run={run}", "epochs=2", "trainer.threads=1"]
    commands.finetune([*names, f"output={whole}"])
    again = [*names, f"output={broken}"]
    stopped(monkeypatch, lambda: commands.finetune(again), (SupervisedModule, "training_step", 7))
    commands.finetune([*again, "resume=true"])
    assert_same_runs(whole, broken)


def test_steps_and_times_between_checkpoints(shop: Path, tmp_path: Path) -> None:
    """Checkpoints inside an epoch change nothing in what comes out."""
    plain, often = tmp_path / "plain", tmp_path / "often"
    train(shop, plain)
    train(shop, often, "checkpoint_every=1")
    assert_same_runs(plain, often)
    steps = [
        line for line in (often / "checksums.jsonl").read_text().splitlines() if "step-" in line
    ]
    # Every step but the last one of an epoch, where the epoch's end is one.
    assert len(steps) >= 2 * (BATCHES - 1) + 1


def test_a_second_signal_leaves_at_once(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = []

    def twice(*args: Any) -> Any:
        for name in ("first", "second"):
            signal.raise_signal(signal.SIGINT)
            reached.append(name)

    monkeypatch.setattr(PretrainModule, "training_step", twice)
    with pytest.raises(SystemExit) as left:
        train(shop, tmp_path / "run")
    assert left.value.code == 130
    assert reached == ["first"]
