"""A run from a stranger names classes: none is called, none is even imported, unless allowed."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from grap_seq import choices, classes, commands, config, load, resources, seal
from grap_seq.nn.build import allow
from grap_seq.nn.gru import GRUEncoder
from tests.shop import purchases

SMALL = ["dataset=table", "dataset.hidden=8", "event_width=8", "epochs=1", "select=last"]
# Encoders that would create the file `{mark}` if they were called, or were it only for the import.
CRAFTED: dict[str, dict[str, Any]] = {
    "os.spawnv": {"file": "/bin/sh", "args": ["sh", "-c", "touch {mark}"]},
    "os.system": {"command": "touch {mark}"},
    "posix.system": {"command": "touch {mark}"},
    "subprocess.Popen": {"args": "touch {mark}", "shell": True},
    "builtins.exec": {"source": "open({mark!r}, 'w')"},
    "builtins.open": {"file": "{mark}", "mode": "w"},
    "pathlib.Path.touch": {"self": "{mark}"},
    "torch.hub.load": {"repo_or_dir": "{folder}", "model": "touch", "source": "local"},
    "torch.load": {"f": "{folder}/pickled", "weights_only": False},
    "grap_seq.cli.main": {},
    "grap_seq.files.os.system": {"command": "touch {mark}"},
    "grap_seq.files.write_json": {"path": "{mark}", "content": 1},
    "grap_seq.lock.os": {},
    "lightning.pytorch.cli.LightningCLI": {},
    "ptls.pl_train_module.main": {},
    "touching.Encoder": {},
    "touching.below.Encoder": {},
    "": {},
    "Encoder": {},
    ".gru.GRUEncoder": {},
    "grap_seq.nn.gru.GRUEncoder.__init__": {},
    "grap_seq.nn.gru.GRUEncoder\x1b[31m": {},
}
TOUCHING = """
from pathlib import Path
import grap_seq.nn.gru
Path({mark!r}).touch()
class Encoder(grap_seq.nn.gru.GRUEncoder):
    pass
"""


@pytest.fixture(scope="module")
def trained(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("stranger") / "run"
    commands.pretrain([*SMALL, f"prepared={shop}", f"run={run}"])
    commands.embed([f"run={run}"])
    return run


@pytest.fixture
def craft(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, dict[str, Any]], Path]:
    """A copy of a run with another encoder; importing `touching` creates the file `mark`."""
    mark, run = tmp_path / "mark", tmp_path / "crafted"
    for module in ("touching/__init__.py", "touching/below.py", "hubconf.py"):
        path = tmp_path / "modules" / module
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TOUCHING.format(mark=str(mark)))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    for name in ("touching", "touching.below"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def made(path: str, options: dict[str, Any]) -> Path:
        places = {"mark": str(mark), "folder": str(tmp_path / "modules")}
        text = json.dumps({"class": path, **options}).replace("{mark!r}", f"'{mark}'")
        for name, place in places.items():
            text = text.replace(f"{{{name}}}", place)
        shutil.copytree(trained, run, dirs_exist_ok=True)
        description = json.loads((run / "model.json").read_text())
        description["encoder"] = json.loads(text)
        # Whoever crafts a run gives it the right checksums, too.
        seal.write_json(run, "model.json", description)
        stored = config.load(run / "config.yaml")
        stored["encoder"] = stored["weighting"] = description["encoder"]
        stored["objective"]["losses"] = {"own": description["encoder"]}
        seal.write_text(run, "config.yaml", yaml.safe_dump(stored))
        return run

    return made


@pytest.mark.parametrize("path", CRAFTED)
def test_a_crafted_run_is_refused_before_the_import(
    path: str, craft: Callable[[str, dict[str, Any]], Path], tmp_path: Path
) -> None:
    run, before = craft(path, CRAFTED[path]), set(sys.modules)
    tuning = [f"run={run}", f"output={tmp_path / 'tuned'}", "epochs=1"]
    for use in (
        load,
        lambda run: commands.embed([f"run={run}"]),
        lambda _: commands.finetune(tuning),
    ):
        with pytest.raises(ValueError, match="is none of grap_seq's own") as raised:
            use(run)
        assert "\x1b" not in str(raised.value)
    assert not (tmp_path / "mark").exists()
    assert not {name for name in set(sys.modules) - before if name.startswith("touching")}


def test_evaluate_report_and_resume_build_nothing_that_is_stored(
    craft: Callable[[str, dict[str, Any]], Path], shop: Path, tmp_path: Path
) -> None:
    run = craft("touching.Encoder", {})
    commands.evaluate([f"run={run}", "folds=2", "seeds=1", "boosting.binary.n_estimators=2"])
    commands.report([f"run={run}"])
    with pytest.raises(ValueError, match=r"weighting|[eE]ncoder"):
        commands.pretrain([*SMALL, f"prepared={shop}", f"run={run}", "resume=true"])
    assert not (tmp_path / "mark").exists()


def test_a_user_allows_a_class_in_three_ways(
    craft: Callable[[str, dict[str, Any]], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = craft("touching.Encoder", {"hidden": 8})
    with pytest.raises(ValueError, match=r"'touching\.Encoder' is none of grap_seq's own"):
        load(run)
    assert load(run, allow_classes=["touching.Encoder"]).embed(purchases(3)).shape[0] == 3
    # Running the code of an allowed class is what was asked for.
    assert (tmp_path / "mark").exists()
    classes.allowed.clear()
    monkeypatch.setenv(classes.VARIABLE, "other.Encoder, touching.Encoder")
    assert isinstance(load(run).model.encoder, GRUEncoder)
    monkeypatch.delenv(classes.VARIABLE)
    with pytest.raises(ValueError, match="is none of grap_seq's own"):
        load(run)
    allow("touching.Encoder")
    load(run)
    with pytest.raises(ValueError, match=r"'touching\.below\.Encoder' is none of grap_seq's own"):
        load(craft("touching.below.Encoder", {"hidden": 8}))


@pytest.mark.parametrize("path", ["", "Encoder", "my..Encoder", "my.Enc oder", "my.Encoder,x.y"])
def test_what_is_allowed_is_a_path(path: str) -> None:
    with pytest.raises(ValueError, match="is no path of a class"):
        allow(path)


def test_classes_of_every_config_are_known() -> None:
    for group in ("backbone", "encoder", "weighting"):
        for name in choices.names(group):
            path = yaml.safe_load(
                (resources.folder("configs") / group / f"{name}.yaml").read_text("utf-8")
            )["class"]
            assert isinstance(classes.find(path), type)
