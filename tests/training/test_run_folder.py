"""Run folders: who may create, replace and go on with them, and what is never deleted."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from grap_seq import config as configs
from grap_seq import seal
from grap_seq.training.checkpoint_files import CheckpointFiles, name_of
from grap_seq.training.pretrain import pretrain
from grap_seq.training.run_folder import Start, opened


def settings(shop: Path, run: Path, *extra: str) -> Any:
    names = ["dataset=table", f"run={run}", f"prepared={shop}", "epochs=5"]
    return configs.compose("pretrain", [*names, *extra])


def begin(shop: Path, run: Path, *extra: str) -> Start:
    """What a run that is killed as it begins to train leaves."""
    with pytest.raises(KeyboardInterrupt), opened(run, settings(shop, run, *extra)) as start:
        raise KeyboardInterrupt
    return start


def save(run: Path, start: Start, step: int, ended: bool = False) -> Path:
    state = {"Checkpoints": {"best": None, "ended": ended}}
    content = {"global_step": step, "epoch": 0, "callbacks": state, "a": torch.zeros(1000)}
    CheckpointFiles(run, start.settings).save_checkpoint(content, run / name_of(step))
    return run / name_of(step)


def finish(run: Path) -> None:
    for name in ("model.safetensors", "model.json"):
        seal.write_text(run, name, "{}")


def test_existing_runs_are_refused_and_replaced_only_on_request(shop: Path, tmp_path: Path) -> None:
    run, old = tmp_path / "run", tmp_path / "run.previous"
    assert begin(shop, run).record is None
    with pytest.raises(FileExistsError, match="resume=true to continue"):
        begin(shop, run)
    finish(run)
    with pytest.raises(FileExistsError, match="overwrite=true to replace it, or name"):
        begin(shop, run)
    begin(shop, run, "overwrite=true")
    # The finished run waits beside the new one, which has not replaced it yet.
    assert (old / "model.safetensors").exists()
    begin(shop, run, "overwrite=true")
    assert (old / "model.safetensors").exists()
    with opened(run, settings(shop, run, "overwrite=true")):
        finish(run)
    assert not old.exists()


def test_nothing_is_deleted_that_the_run_has_not_set_aside(shop: Path, tmp_path: Path) -> None:
    run, old = tmp_path / "run", tmp_path / "run.previous"
    old.mkdir()
    (old / "thesis.txt").write_text("years of work")
    with opened(run, settings(shop, run)):
        finish(run)
    assert (old / "thesis.txt").exists()
    with pytest.raises(FileExistsError, match=r"run\.previous is in the way"):
        begin(shop, run, "overwrite=true")
    assert (old / "thesis.txt").exists()
    assert (run / "model.json").exists()


def test_what_is_put_into_a_replaced_run_is_kept(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, old = tmp_path / "run", tmp_path / "run.previous"
    begin(shop, run)
    with opened(run, settings(shop, run, "overwrite=true")):
        (old / "thesis.txt").write_text("years of work")
    assert (old / "thesis.txt").exists()
    assert "is kept: it holds thesis.txt" in capsys.readouterr().out.replace("\n", " ")


def test_overwrite_leaves_folders_alone_that_are_no_runs(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for name in ("thesis.txt", "config.yaml"):
        (tmp_path / name).write_text("years of work")
        with pytest.raises(FileExistsError, match="not a run folder"):
            begin(shop, tmp_path, "overwrite=true")
        assert not (tmp_path / ".lock").exists()
        assert (tmp_path / name).exists()


def test_overwrite_refuses_a_run_with_files_of_the_users(shop: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    begin(shop, run)
    (run / "notes").mkdir()
    (run / "notes" / "mine.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"holds notes/mine\.txt, which grap_seq did not"):
        begin(shop, run, "overwrite=true")
    assert (run / "notes" / "mine.txt").exists()


def test_overwrite_and_resume_exclude_each_other(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give one"):
        begin(shop, tmp_path / "run", "overwrite=true", "resume=true")


def test_a_second_writer_is_refused(shop: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with opened(run, settings(shop, run)):
        before = {path: path.read_bytes() for path in run.iterdir()}
        for extra in ("overwrite=true", "resume=true"):
            with pytest.raises(FileExistsError, match=r"another process is .*process \d+ on"):
                begin(shop, run, extra)
        assert {path: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("seed=7", "seed=7 (it was 0)"),
        ("lr=0.5", "lr=0.5 (it was"),
        ("weighting.lr=0.5", "weighting.lr=0.5 (it was"),
        ("encoder=transformer", "encoder.name=transformer (it was gru)"),
        ("epochs=4", "epochs=4 (it was 5, and may be raised)"),
        ("trainer.precision=bf16-mixed", "trainer.precision=bf16-mixed (it was 32-true)"),
        ("trainer.compile=true", "trainer.compile=True (it was False)"),
        ("trainer.devices=2", "batch_size of all processes=16 (it was 8)"),
        ("trainer.matmul_precision=high", None),
        ("trainer.accelerator=gpu", None),
        ("trainer=gpu", None),
        ("trainer.max_steps=100", None),
        ("trainer.workers=2", None),
        ("trainer.threads=2", None),
        ("checkpoint_every=7", None),
        ("epochs=6", None),
    ],
)
def test_resume_lists_what_would_make_another_run(
    shop: Path, tmp_path: Path, changed: str, said: str | None
) -> None:
    run = tmp_path / "run"
    step = save(run, begin(shop, run), 3)
    if said is None:
        assert begin(shop, run, "resume=true", changed).record is not None
    else:
        with pytest.raises(ValueError, match=re.escape(said)) as error:
            begin(shop, run, "resume=true", changed)
        assert str(error.value).count("it was") == 1 or changed == "encoder=transformer"
    assert step.is_file()


def test_the_same_run_by_another_spelling(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, moved = tmp_path / "run", tmp_path / "moved"
    save(run, begin(shop, run), 3)
    monkeypatch.chdir(tmp_path)
    for spelling in ("run", "./run", "../" + tmp_path.name + "/run"):
        assert begin(shop, Path(spelling), "resume=true").record is not None
    run.rename(moved)
    assert begin(shop, moved, "resume=true").record is not None


def test_a_finished_run_says_so(shop: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    start = begin(shop, run)
    save(run, start, 3, ended=True)
    # Killed before its model was written.
    assert not begin(shop, run, "resume=true").finished
    finish(run)
    assert begin(shop, run, "resume=true").finished
    assert not begin(shop, run, "resume=true", "epochs=9").finished


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    start = begin(shop, run)
    for step in (10, 20, 30):
        newest = save(run, start, step)
    assert sorted(path.name for path in newest.parent.iterdir()) == [
        "step-000000020.ckpt",
        "step-000000030.ckpt",
    ]
    newest.write_bytes(newest.read_bytes()[:-1])
    found = begin(shop, run, "resume=true").record
    assert found is not None
    assert found["step"] == 20
    said = capsys.readouterr().out.replace("\n", " ")
    assert "step-000000030.ckpt is damaged: it has" in said
    assert "goes on from step 20" in said
    other = run / name_of(20)
    content = bytearray(other.read_bytes())
    content[len(content) // 2] ^= 1
    other.write_bytes(content)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"no checkpoint of .* whole; restore .*-000000030"):
            begin(shop, run, "resume=true")


def test_a_lost_checkpoint_is_named(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    start = begin(shop, run)
    for step in (10, 20):
        save(run, start, step).rename(run / name_of(step))
    (run / name_of(20)).unlink()
    found = begin(shop, run, "resume=true").record
    assert found is not None
    assert found["step"] == 10
    assert "step-000000020.ckpt is not there" in capsys.readouterr().out.replace("\n", " ")
    (run / name_of(10)).unlink()
    with pytest.raises(ValueError, match=r"no checkpoint of .* is whole"):
        begin(shop, run, "resume=true")


def test_a_run_killed_before_its_first_checkpoint_has_its_name_begins_again(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    save(run, begin(shop, run), 10)
    # Its line is written, and the file is still called otherwise.
    unfinished = run / f"{name_of(10)}.tmp-1"
    (run / name_of(10)).rename(unfinished)
    assert begin(shop, run, "resume=true").record is None
    assert "goes on from the beginning" in capsys.readouterr().out
    assert not unfinished.exists()


def test_a_checkpoint_of_another_run_is_not_loaded(shop: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    save(one, begin(shop, one), 10)
    save(two, begin(shop, two, "seed=1"), 20)
    (two / name_of(20)).rename(one / name_of(20))
    found = begin(shop, one, "resume=true").record
    assert found is not None
    assert found["step"] == 10


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "schema.yaml", "vocab.json"])
def test_damaged_files_of_a_run_are_named(shop: Path, tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    save(run, begin(shop, run), 3)
    (run / name).write_bytes((run / name).read_bytes()[:-2])
    with pytest.raises(ValueError, match=rf"{re.escape(name)} is damaged: .*; restore it from"):
        begin(shop, run, "resume=true")


def test_resume_refuses_other_data(shop: Path, tmp_path: Path) -> None:
    from grap_seq.prep.prepare import prepare
    from tests.shop import write_shop

    run, other = tmp_path / "run", tmp_path / "other"
    save(run, begin(shop, run), 3)
    source = write_shop(tmp_path)
    rows = source.read_text().splitlines()
    source.write_text("\n".join(rows[:-1]) + "\n")
    prepare("table", other, source=source)
    with pytest.raises(ValueError, match="holds other data than"):
        begin(other, run, "resume=true")


def test_there_is_nothing_to_go_on_with(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert begin(shop, run, "resume=true").record is None
    assert "begins now" in capsys.readouterr().out
    # Killed before its first checkpoint.
    assert begin(shop, run, "resume=true").record is None
    assert "the beginning" in capsys.readouterr().out


@pytest.mark.parametrize("trainer", ["cpu", "ddp2_cpu"])
def test_nothing_is_written_to_the_temporary_folder(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer: str
) -> None:
    empty = tmp_path / "temporary"
    empty.mkdir()
    monkeypatch.setenv("TMPDIR", str(empty))
    monkeypatch.setattr(tempfile, "tempdir", None)
    small = ["dataset.hidden=8", "event_width=8", "epochs=1", "trainer.threads=1"]
    pretrain(settings(shop, tmp_path / "run", f"trainer={trainer}", *small))
    # Multiprocessing puts a socket there.
    left = [path for path in empty.rglob("*") if not path.name.startswith(("pymp-", "listener-"))]
    assert not left
