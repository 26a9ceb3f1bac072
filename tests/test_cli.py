"""The commands as a user types them, on a small table, from raw events to the report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grap_seq import commands, load
from grap_seq import config as configs
from tests.shop import purchases, write_shop

# One process of `make test` runs them all: the run below is made once.
pytestmark = pytest.mark.xdist_group("commands")
SMALL = ["dataset.hidden=8", "event_width=8", "epochs=2", "batch_size=16", "trainer.threads=1"]
# Leaves of 5: the table is smaller than the protocol's leaves.
BOOSTING = "dataset.boosting={binary: {n_estimators: 20, min_data_in_leaf: 5}}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with table, prepared data and a run, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("commands")
    source, prepared, run = write_shop(folder), folder / "prepared", folder / "run"
    commands.prepare(["dataset=table", f"source={source}", f"output={prepared}"])
    commands.pretrain(["dataset=table", f"prepared={prepared}", f"run={run}", BOOSTING, *SMALL])
    commands.embed([f"run={run}"])
    commands.evaluate([f"run={run}", "folds=3", "threads=1"])
    commands.report([f"run={run}"])
    return folder


def test_run_folder_is_complete(finished: Path) -> None:
    run = finished / "run"
    files = {path.name for path in run.iterdir()}
    assert files >= {
        *("config.yaml", "environment.json", "metrics.csv", "weights.parquet", "checkpoints"),
        *("model.safetensors", "model.json", "schema.yaml", "vocab.json", "embeddings"),
        *("evaluation.json", "report.html"),
    }
    result = json.loads((run / "evaluation.json").read_text())
    assert set(result["test"]) == {"embedding", "aggregates", "both", "untrained"}
    # Churners buy other kinds of things: anything that has learned beats a coin.
    assert result["test"]["aggregates"] > 0.7
    assert len(pd.read_parquet(run / "predictions.parquet")) == result["n_scored"] == 80
    metrics = pd.read_csv(run / "metrics.csv")
    assert len(metrics) == 2
    assert (metrics["padding"] <= 0.1).all()
    trajectory = pd.read_parquet(run / "weights.parquet")
    fields = ("time", "kind", "amount")
    names = ["coles", *fields, *(f"{when}_{f}" for when in ("past", "future") for f in fields)]
    weights = trajectory[[f"weight/{name}" for name in names]]
    np.testing.assert_allclose(weights.mean(axis=1), 1, atol=1e-5)


def test_python_and_the_command_give_the_same_embeddings(finished: Path) -> None:
    from_python = load(finished / "run").embed(purchases(80).drop(columns="churned"))
    parts = [
        pd.read_parquet(finished / "run" / "embeddings" / f"{split}.parquet")
        for split in ("train", "val", "test")
    ]
    by_command = pd.concat(parts).drop(columns="label").set_index("customer").sort_index()
    assert from_python.index.tolist() == by_command.index.tolist() == list(range(80))
    # Batches differ, so the order of float32 sums inside matrix products does.
    np.testing.assert_allclose(from_python, by_command, atol=1e-5)


def test_embeddings_of_a_file_equal_those_of_a_frame(finished: Path) -> None:
    model = load(finished / "run")
    frame = model.embed(purchases(80).drop(columns="churned"))
    pd.testing.assert_frame_equal(model.embed(finished / "events.csv"), frame)


def test_new_customers_through_the_run_give_the_embeddings_of_python(
    finished: Path, tmp_path: Path
) -> None:
    run, new = finished / "run", tmp_path / "new"
    before = {path: path.read_bytes() for path in (run / "embeddings").glob("*.*")}
    events = purchases(12, seed=5).drop(columns="churned").assign(kind="unheard of")
    events["customer"] += 1000
    events.to_parquet(tmp_path / "new.parquet")
    source = f"source={tmp_path / 'new.parquet'}"
    commands.prepare(["dataset=table", source, f"like={run}", f"output={new}"])
    commands.embed([f"run={run}", f"prepared={new}", f"output={new / 'embeddings'}"])
    found = pd.read_parquet(new / "embeddings" / "test.parquet").drop(columns="label")
    with pytest.warns(UserWarning, match="no value of 'kind'"):
        expected = load(run).embed(events)
    np.testing.assert_allclose(found.set_index("customer"), expected, atol=1e-5)
    assert {path: path.read_bytes() for path in (run / "embeddings").glob("*.*")} == before


def test_embed_refuses_a_folder_with_another_schema(finished: Path, tmp_path: Path) -> None:
    source = write_shop(tmp_path)
    spec = tmp_path / "events.yaml"
    spec.write_text(spec.read_text().replace("numerical: {amount: {by: kind}}", "numerical: []"))
    commands.prepare(["dataset=table", f"source={source}", f"output={tmp_path / 'other'}"])
    with pytest.raises(ValueError, match=r"another schema.*like="):
        commands.embed([f"run={finished / 'run'}", f"prepared={tmp_path / 'other'}"])


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Settings for a run on a prepared folder without labels."""
    folder = tmp_path_factory.mktemp("unlabelled")
    source, spec = write_shop(folder), folder / "events.yaml"
    spec.write_text(spec.read_text().replace("label: churned\n", ""))
    commands.prepare(["dataset=table", f"source={source}", f"output={folder / 'prepared'}"])
    return [f"prepared={folder / 'prepared'}", *SMALL]


def test_unlabelled_data_train_at_once(
    unlabelled: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    # As the published datasets do, by a default that has to give way, too.
    own = tmp_path / "configs" / "dataset" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("defaults: [table, _self_]\nname: mine\nselect: probe\n")
    train = ["configs=configs", "dataset=mine", *unlabelled]
    commands.pretrain(train)
    said = [line for line in capsys.readouterr().out.splitlines() if "no labels" in line]
    assert said == [
        "shop has no labels: its losses have equal weights (weighting=equal) and the epoch is"
        " chosen by the validation loss (select=auto)."
    ]
    # Folder and config say what was used.
    run = tmp_path / "runs" / "mine_gru_equal"
    config = configs.load(run / "config.yaml")
    assert (config["weighting"]["name"], config["select"]) == ("equal", "loss")
    assert json.loads((run / "model.json").read_text())["training"]["by"] == "loss"
    weights = pd.read_parquet(run / "weights.parquet").filter(like="weight/")
    assert (weights == 1).all(axis=None)
    commands.embed([f"run={run}"])
    with pytest.raises(ValueError, match="label"):
        commands.evaluate([f"run={run}"])
    # The same command goes on with it.
    commands.pretrain([*train, "resume=true", "epochs=3"])
    assert len(pd.read_csv(run / "metrics.csv")) == 3


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["weighting=grap"], "weighting=equal"),
        (["weighting.lr=0.1"], "weighting=equal"),
        (["mode=auxiliary"], "weighting=equal"),
        (["mode=supervised"], "has no label to learn"),
        (["select=probe"], "select=loss"),
        (["dataset.select=probe"], "select=loss"),
        (["experiment=table_gru_grap"], "weighting=equal"),
    ],
)
def test_what_was_typed_is_not_replaced_without_labels(
    unlabelled: list[str], tmp_path: Path, typed: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        commands.pretrain(["dataset=table", *unlabelled, *typed, f"run={tmp_path / 'run'}"])


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "grap_seq", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pretran"], "did you mean 'pretrain'"),
        (["embed"], "embed needs run="),
        (["embed", "run=nowhere"], "grap-seq pretrain"),
        (["evaluate", "run=nowhere"], "grap-seq pretrain"),
        (["pretrain", "dataset=table", "prepared=nowhere"], "grap-seq prepare dataset=table"),
        (["prepare", "--suggest"], "source=FILE"),
    ],
)
def test_errors_are_one_line_with_a_remedy(arguments: list[str], message: str) -> None:
    result = program(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_gpu_trainer_says_that_there_is_no_gpu(finished: Path, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    prepared = f"prepared={finished / 'prepared'}"
    with pytest.raises(ValueError, match="trainer=cpu"):
        commands.pretrain(["dataset=table", prepared, f"run={tmp_path / 'run'}", "trainer=gpu"])


def test_help_lists_commands_and_choices_without_heavy_imports() -> None:
    result = program("--help")
    assert result.returncode == 0
    for word in (*commands.COMMANDS, "flights", "physionet2012", "movielens", "grap", "equal"):
        assert word in result.stdout
    code = "import sys; from grap_seq import cli; cli.usage(cli.COMMANDS); print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "pandas", "lightning", "ibis", "hydra", "matplotlib"} & set(modules)
