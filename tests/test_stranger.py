"""YAML and references in a stranger's run or prepared folder are text: nothing is made of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from grap_seq import cli, commands, config, seal
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.schema import Schema

SMALL = ["dataset=table", "dataset.hidden=8", "event_width=8", "epochs=1", "select=last"]


@pytest.fixture(scope="module")
def trained(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("stranger") / "run"
    commands.pretrain([*SMALL, f"prepared={shop}", f"run={run}"])
    return run


def test_yaml_makes_no_objects(
    trained: Path, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    text = f"name: !!python/object/apply:os.mknod [{str(mark)!r}]\n"
    run, prepared = tmp_path / "run", tmp_path / "prepared"
    shutil.copytree(trained, run)
    shutil.copytree(shop, prepared)
    original = (run / "config.yaml").read_text("utf-8")
    seal.write_text(run, "config.yaml", text + original)
    seal.write_text(run, "schema.yaml", text + (run / "schema.yaml").read_text("utf-8"))
    (prepared / "schema.yaml").write_text(text + (prepared / "schema.yaml").read_text("utf-8"))
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(yaml.constructor.ConstructorError):
        config.load(run / "config.yaml")
    for load in (lambda: Schema.load(prepared), lambda: DatasetSpec.load(tmp_path / "spec.yaml")):
        with pytest.raises((ValueError, yaml.YAMLError)):
            load()
    for arguments in (
        *(("embed", f"run={run}"), ("report", f"run={run}"), ("evaluate", f"run={run}")),
        ("finetune", f"run={run}", f"output={tmp_path / 'tuned'}"),
        ("pretrain", *SMALL, f"prepared={shop}", f"run={run}", "resume=true"),
        ("pretrain", *SMALL, f"prepared={prepared}", f"run={tmp_path / 'new'}"),
        ("prepare", "dataset=table", f"source={prepared / 'train'}", f"spec={tmp_path}/spec.yaml"),
        ("validate", f"prepared={prepared}"),
    ):
        monkeypatch.setattr("sys.argv", ["grap-seq", *arguments])
        with pytest.raises(SystemExit):
            cli.main()
    assert not mark.exists()
    yaml.unsafe_load(text)
    assert mark.exists()


def test_a_stored_reference_is_text(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "swordfish")
    run, tuned = tmp_path / "run", tmp_path / "tuned"
    shutil.copytree(trained, run)
    stored = config.load(run / "config.yaml")
    stored["dataset"]["name"] = "${oc.env:SECRET}"
    stored["labels"]["name"] = None
    seal.write_text(run, "config.yaml", yaml.safe_dump(stored))
    commands.finetune([f"run={run}", f"output={tuned}", "epochs=1"])
    text = "".join(p.read_text("utf-8") for p in tuned.iterdir() if p.suffix in (".yaml", ".json"))
    assert "${oc.env:SECRET}" in text
    assert "swordfish" not in text


def test_links_in_a_run_lead_nowhere(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("file", "train.parquet", "evaluation.json"):
        (mine / name).write_text("precious")
    before = {path.name: path.read_text() for path in mine.iterdir()}
    links = {".lock": "file", "checksums.jsonl": "file", "embeddings": ".", "report.html": "file"}
    for name, target in links.items():
        run = tmp_path / f"with {name}"
        shutil.copytree(trained, run)
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(mine / target)
        for arguments in (
            ("embed", f"run={run}"),
            ("embed", f"run={run}", f"output={tmp_path / 'other'}"),
            ("evaluate", f"run={run}"),
            ("report", f"run={run}"),
            ("pretrain", *SMALL, f"run={run}", "resume=true"),
            ("pretrain", *SMALL, f"run={run}", "overwrite=true"),
        ):
            monkeypatch.setattr("sys.argv", ["grap-seq", *arguments])
            with pytest.raises(SystemExit, match="2"):
                cli.main()
            assert len(capsys.readouterr().err.splitlines()) == 1
        assert {path.name: path.read_text() for path in mine.iterdir()} == before
