"""`grap-seq vision` from the command to the page: stopped and continued, and in two processes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import grap_seq
from grap_seq import classes, commands, seal
from grap_seq.vision.backbone import ConvNet
from grap_seq.vision.load import load
from grap_seq.vision.probe import linear_accuracy
from tests.processes import together
from tests.training.saved import assert_same_runs, last
from tests.vision.test_module import SMALL


class Own(ConvNet):
    """A backbone that is none of the package's."""


# One process of `make test` runs them all: the run below is made once.
pytestmark = together
WORDS = (
    *SMALL,
    "batch_size=128",
    "heads.queue=160",
    "epochs=2",
    "log_every=1",
    "trainer.threads=1",
    "seed=3",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    return commands.vision([*WORDS, f"run={tmp_path_factory.mktemp('vision')}/run"])


def test_a_run_has_its_backbone_curves_weights_and_probe(whole: Path) -> None:
    steps = 2 * (1437 // 128)
    metrics = pd.read_csv(whole / "metrics.csv")
    assert metrics["step"].tolist() == [steps // 2, steps]
    assert metrics["val_accuracy"].between(0, 1).all()
    weights = pd.read_parquet(whole / "weights.parquet")
    assert weights["step"].tolist() == list(range(1, steps + 1))
    names = [f"weight/{name}" for name in ("nnclr", "att_nnclr", "on_diag", "off_diag")]
    np.testing.assert_allclose(weights[names].mean(axis=1), 1, rtol=1e-6)
    assert weights["cosine/nnclr"].abs().max() > 0
    backbone, about = load(whole)
    assert not backbone.training
    assert about["classes"] == [str(digit) for digit in range(10)]
    features = backbone(torch.zeros(2, about["channels"], about["size"], about["size"]))
    assert features.shape == (2, 8)
    stored = load_file(whole / "model.safetensors")
    assert all(tensor.equal(stored[name]) for name, tensor in backbone.state_dict().items())
    probe = json.loads((whole / "probe.json").read_text("utf-8"))
    assert probe["scored"] == 360
    assert probe["fitted"] == 1437
    assert 0.2 < probe["untrained"] < 1


def test_stopped_inside_an_epoch_it_goes_on_to_the_same_bits(whole: Path, tmp_path: Path) -> None:
    """Queue, momentum branch, LARS, views and the loss weights: all are in the checkpoint."""
    run = f"run={tmp_path}/run"
    commands.vision([*WORDS, run, "trainer.max_steps=7"])
    assert last(tmp_path / "run")["global_step"] == 7
    commands.vision([*WORDS, run, "resume=true"])
    assert_same_runs(whole, tmp_path / "run")
    assert (whole / "probe.json").read_bytes() == (tmp_path / "run" / "probe.json").read_bytes()


def test_a_finished_run_is_trained_longer(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, tmp_path / "run")
    run = commands.vision([f"run={tmp_path}/run", "resume=true", "epochs=3"])
    assert pd.read_csv(run / "metrics.csv")["epoch"].tolist() == [0, 1, 2]
    said = " ".join(capsys.readouterr().out.split())
    assert "rises to where it is at this step of the longer schedule" in said


def test_medians_of_a_run_are_the_weights_of_the_next(whole: Path, tmp_path: Path) -> None:
    """What the paper calls GraP Tuned."""
    chosen = ["weighting=fixed", f"weighting.weights={whole}", f"run={tmp_path}/run"]
    run = commands.vision([*WORDS, *chosen, "epochs=1", "trainer.max_steps=1"])
    medians = pd.read_parquet(whole / "weights.parquet").filter(regex="^weight/").median()
    used = pd.read_parquet(run / "weights.parquet").filter(regex="^weight/").iloc[0]
    pd.testing.assert_series_equal(used, medians, check_names=False)


def test_two_processes_train_one_queue(tmp_path: Path) -> None:
    words = [*WORDS, "trainer=ddp2_cpu", "trainer.threads=1", "trainer.max_steps=3"]
    run = commands.vision([*words, "batch_size=64", f"run={tmp_path}/run"])
    state = last(run)["state_dict"]
    # Three batches of 128 images, of both processes together.
    assert int(state["objective.queue.pointer"]) == 3 * 128 % 160
    trajectory = pd.read_parquet(run / "weights.parquet")
    assert trajectory["step"].tolist() == [1, 2, 3]
    assert np.isfinite(trajectory.to_numpy()).all()


def test_its_page_says_what_training_was_good_for(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.report([f"run={whole}"])
    page = (whole / "report.html").read_text("utf-8")
    probe = json.loads((whole / "probe.json").read_text("utf-8"))
    assert f"{probe['accuracy']:.3f}" in page
    assert f"{probe['untrained']:.3f}" in page
    assert "att_nnclr" in page
    assert page.count("<picture") == 3
    assert "report.html" in "".join(capsys.readouterr().out.split())


def test_a_linear_probe_is_logistic_regression() -> None:
    """With the penalty that folds choose; too few of a class: with scikit-learn's own."""
    drawn = np.random.default_rng(0)
    x, y = drawn.normal(size=(40, 3)), np.array([0] * 38 + [1] * 2)
    x[y == 1] += 2
    scaler = StandardScaler().fit(x)
    expected = LogisticRegression(max_iter=2000).fit(scaler.transform(x), y)
    other, truth = drawn.normal(size=(50, 3)), drawn.integers(0, 2, 50)
    assert linear_accuracy(x, y, other, truth) == expected.score(scaler.transform(other), truth)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["data=cifra10"], "did you mean 'cifar10'"),
        (["data=omniglot", "backbone=convnet"], "needs source="),
        (["batch_size=5000"], "batch_size=5000"),
        (["weighting=fixed"], "weighting.weights="),
        (["weighting=searched"], "one of auxiliary, default"),
        (["epochs=auto"], "give a number of epochs"),
        (["weighting=fixed", "weighting.weights={nnclr: 1}"], "one weight for each loss"),
        (["heads.heads=3"], "cannot be split among 3 heads"),
        (["heads.queue=100"], "heads.queue=100"),
        (["backbone.width=0"], "write a whole number"),
    ],
)
def test_errors_say_what_to_do(words: list[str], remedy: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(remedy)):
        commands.vision([*WORDS[1:], f"run={tmp_path}/run", *words])
    assert not (tmp_path / "run" / "model.json").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        *(("embed", []), ("evaluate", []), ("finetune", ["output={0}/tuned"]), ("export", [])),
        *(("serve", []), ("push", ["to=me/mine"]), ("pretrain", ["resume=true"])),
    ],
)
def test_commands_for_sequences_refuse_a_run_of_images(
    whole: Path, tmp_path: Path, command: str, words: list[str]
) -> None:
    given = [f"run={whole}", *(word.format(tmp_path) for word in words)]
    with pytest.raises(ValueError, match="is a run of images"):
        commands.COMMANDS[command](given)
    assert not any(tmp_path.iterdir())


def test_a_comparison_of_sequences_refuses_a_run_of_images(whole: Path) -> None:
    with pytest.raises(ValueError, match="leave it out"):
        commands.report([f"runs=[{whole}]"])


def test_a_run_of_sequences_is_refused(tmp_path: Path) -> None:
    seal.write_text(tmp_path, "config.yaml", "encoder: {name: gru}\n")
    with pytest.raises(ValueError, match="is a run of event sequences: continue it by"):
        commands.vision([*WORDS, f"run={tmp_path}", "resume=true"])


def test_each_way_to_load_names_the_other(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"open it with grap_seq\.vision\.load"):
        grap_seq.load(whole)
    seal.write_json(tmp_path, "model.json", {"encoder": {}})
    with pytest.raises(ValueError, match=r"open it with grap_seq\.load"):
        load(tmp_path)


def test_a_class_of_the_users_is_loaded_where_it_is_allowed(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classes, "allowed", set())
    run, own = tmp_path / "run", "tests.vision.test_train.Own"
    shutil.copytree(whole, run)
    about = json.loads((run / "model.json").read_text("utf-8"))
    about["backbone"]["class"] = own
    seal.write_json(run, "model.json", about)
    with pytest.raises(ValueError, match="may not name any other"):
        load(run)
    assert isinstance(load(run, allow_classes=[own])[0], Own)
