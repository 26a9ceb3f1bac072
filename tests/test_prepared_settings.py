"""What commands need not be told: the folder's dataset, a table's name, a run's own settings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from grap_seq import cli
from grap_seq.prepared_settings import with_dataset, with_name
from grap_seq.stored_run import config_of
from tests.shop import write_shop

SMALL = ["dataset.hidden=8", "event_width=8", "batch_size=8", "select=loss", "trainer.threads=1"]


def test_the_prepared_folder_says_which_dataset_it_holds(shop: Path) -> None:
    given = [f"prepared={shop}", "seed=1"]
    assert with_dataset(given) == [*given, "dataset=table", "dataset.name=shop"]
    assert with_dataset([*given, "dataset.name=mine"])[2:] == ["dataset.name=mine", "dataset=table"]
    experiment = [*given, "experiment=churn_gru_grap"]
    assert "dataset=table" not in with_dataset(experiment)
    assert with_dataset(["prepared=nowhere"]) == ["prepared=nowhere"]


def test_another_dataset_is_used_as_typed_and_said(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"prepared={shop}", "dataset=churn"]
    assert with_dataset(given) == given
    assert "prepared with dataset=table; the settings of dataset=churn" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_folder_of_an_earlier_version_goes_by_its_name(tmp_path: Path, shop: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    content = json.loads((shop / "manifest.json").read_text("utf-8"))
    del content["recipe"], content["checksum"]
    (folder / "manifest.json").write_text(json.dumps(content))
    assert "dataset=table" in with_dataset([f"prepared={folder}"])
    (folder / "manifest.json").write_text(json.dumps({**content, "dataset": "agepred"}))
    assert "dataset=agepred" in with_dataset([f"prepared={folder}"])


def test_a_table_is_prepared_under_its_own_name(tmp_path: Path) -> None:
    source = write_shop(tmp_path)
    given = ["dataset=table", f"source={source}"]
    assert with_name(given)[2:] == ["dataset.name=shop"]
    assert with_name([*given, "output=x"]) == [*given, "output=x"]
    assert with_name(["dataset=flights"]) == ["dataset=flights"]
    spec = tmp_path / "other.yaml"
    spec.write_text((tmp_path / "events.yaml").read_text().replace("name: shop", "name: ../a/b"))
    assert with_name([*given, f"spec={spec}"])[3:] == ["dataset.name=%2E./a/b".replace("/", "%2F")]
    assert with_name(["dataset=table", "source=s3://bucket/a"])[2:] == []


def test_from_a_table_to_a_run_without_naming_anything_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shop(tmp_path, 40)
    monkeypatch.chdir(tmp_path)
    cli.run(["prepare", "dataset=table", "source=events.csv"])
    cli.run(["pretrain", "prepared=data/shop", "epochs=1", *SMALL])
    run = tmp_path / "runs" / "shop_gru_grap"
    assert config_of(run)["batch_size"] == 8
    assert config_of(run)["dataset"]["recipe"] == "table"


def test_a_project_may_move_and_commands_may_come_from_anywhere(
    tmp_path: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, moved = tmp_path / "project", tmp_path / "elsewhere" / "project"
    shutil.copytree(shop, project / "data" / "shop")
    monkeypatch.chdir(project)
    cli.run(["pretrain", "prepared=data/shop", "run=runs/a", "epochs=1", *SMALL])
    assert yaml.safe_load((project / "runs/a/config.yaml").read_text())["prepared"] == (
        "../../data/shop"
    )
    moved.parent.mkdir()
    project.rename(moved)
    monkeypatch.chdir(moved / "data")
    cli.run(["embed", "run=../runs/a", "threads=1"])
    assert (moved / "runs/a/embeddings/train.parquet").is_file()
    shutil.rmtree(moved / "data")
    monkeypatch.chdir(moved)
    with pytest.raises(FileNotFoundError, match=r"on which runs/a was trained, is not a prepared"):
        cli.run(["embed", "run=runs/a"])


def test_resume_takes_the_settings_of_the_run(
    tmp_path: Path, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    begun = [f"prepared={shop}", f"run={run}", "epochs=2", "lr=0.004", "encoder=transformer"]
    small = ["dataset.transformer.hidden=8", "dataset.transformer.feedforward=8", "batch_size=8"]
    cli.run(["pretrain", *begun, *small, "trainer.max_steps=3", "trainer.threads=1"])
    with pytest.raises(ValueError, match=r"other settings: lr=0\.1 \(it was 0\.004\)"):
        cli.run(["pretrain", f"run={run}", "resume=true", "lr=0.1"])
    cli.run(["pretrain", f"run={run}", "resume=true", "epochs=3"])
    stored = config_of(run)
    assert (stored["lr"], stored["encoder"]["name"], stored["epochs"]) == (0.004, "transformer", 3)
    assert "goes on from step 3" in " ".join(capsys.readouterr().out.split())


def test_finetune_goes_on_with_its_own_settings(tmp_path: Path, shop: Path) -> None:
    run, tuned = tmp_path / "run", tmp_path / "tuned"
    cli.run(["pretrain", f"prepared={shop}", f"run={run}", "epochs=1", *SMALL])
    output = [f"run={run}", f"output={tuned}"]
    cli.run(
        ["finetune", *output, "epochs=2", "lr=0.003", "trainer.max_steps=1", "trainer.threads=1"]
    )
    cli.run(["finetune", *output, "resume=true"])
    assert (config_of(tuned)["lr"], config_of(tuned)["epochs"]) == (0.003, 2)
    assert config_of(tuned)["pretrained"] == str(run)


def test_fixed_weights_of_a_run_outlive_it(tmp_path: Path, shop: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    given = [f"prepared={shop}", "epochs=1", *SMALL]
    cli.run(["pretrain", f"run={first}", *given])
    cli.run(["pretrain", f"run={second}", "weighting=fixed", f"weighting.weights={first}", *given])
    shutil.rmtree(first)
    weights = config_of(second)["weighting"]["weights"]
    assert all(isinstance(weight, float) for weight in weights.values())
    cli.run(["pretrain", f"run={second}", "resume=true"])


def test_a_mistyped_folder_is_no_reason_to_prepare_flights(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="mine is not a prepared folder"):
        cli.run(["pretrain", f"prepared={tmp_path / 'mine'}"])
    assert not (tmp_path / "mine").exists()
