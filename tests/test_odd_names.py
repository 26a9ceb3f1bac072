"""Calls that look odd and are right: paths are what was typed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grap_seq import config, overrides
from tests.malformed import SMALL
from tests.shop import write_shop
from tests.terminal import Terminal

# Names of files and folders that are right, however they look.
NAMES = [
    *("my file (1)", "a,b", "a=b", "it's", "[x]{y}", "данные 数据 ✈", "$HOME ${x} ${oc.env:HOME}"),
    *("#a;b&c|d!", "-dash", "~tilde", "100% %s", "12345", "true", "null", "a:b@c", "{a: 1}"),
    *("*?", "back\\slash", "new\nline", "x\ty", "\x1b[31m"),
    *(" spaces  inside ", "é" * 50, "'q'", '"q"', "<b>&amp;", "`x`", "==", "a..b"),
]
"""Seldom together in a name, and once all of them."""
ALL = "a ,=(1)'\"[x]{y}№数$H${x}#;&|!~%s:@<b>`\\"


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_are_the_files_of_that_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    terminal = Terminal(tmp_path, monkeypatch, capsys)
    # Alone, this word means that nothing is given.
    typed = "./null" if name == "null" else name
    write_shop(tmp_path, 20)
    (tmp_path / "events.csv").rename(tmp_path / f"{name}.csv")
    (tmp_path / "events.yaml").rename(tmp_path / f"{name}.yaml")
    settings_of = [f"source={name}.csv", f"spec={name}.yaml", f"output={typed}"]
    assert terminal.run("prepare", "dataset=table", *settings_of) == (0, "")
    assert (tmp_path / name / "manifest.json").is_file()
    assert terminal.run("validate", f"prepared={typed}") == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.csv", f"{name}.yaml", name}


def test_every_command_takes_a_folder_with_all_odd_characters(
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / ALL
    folder.mkdir()
    terminal = Terminal(folder, monkeypatch, capsys)
    (folder / ALL).symlink_to(shop)
    prepared, run = f"prepared={ALL}", f"run=runs/{ALL}"
    for line in (
        ["pretrain", *SMALL, prepared, run],
        ["embed", run, "threads=1"],
        ["evaluate", run, "folds=2", "threads=1", "boosting.binary.n_estimators=2"],
        ["report", run],
        ["finetune", run, f"output=tuned/{ALL}", "epochs=1", "trainer.threads=1"],
        ["embed", f"run=tuned/{ALL}", f"output=vectors/{ALL}", "threads=1"],
    ):
        assert terminal.run(*line)[0] == 0, line
    run_folder = folder / "runs" / ALL
    stored = run_folder / config.load(run_folder / "config.yaml")["prepared"]
    assert os.path.samefile(stored, shop)
    assert (folder / "runs" / ALL / "report.html").is_file()
    assert (folder / "tuned" / ALL / "model.safetensors").is_file()
    assert (folder / "vectors" / ALL / "test.parquet").is_file()


def test_a_tilde_is_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    composed = config.compose("embed", ["run=~/run", "prepared=a/~", "output=~"])
    assert (composed.run, composed.prepared) == (f"{tmp_path}/run", "a/~")
    assert composed.output == str(tmp_path)


ODD = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40
)


@given(ODD)
@settings(max_examples=40)
def test_any_text_is_the_path_that_was_typed(text: str) -> None:
    if text in ("null", "???") or text.startswith("~") or ":" in text:
        return
    # Hypothesis tries texts of the code too, some of which are files of the machine.
    if any(place.is_file() for place in (Path(text), *Path(text).parents)):
        return
    composed = config.compose("report", [f"run={text}", "prepared=x"])
    assert composed.run == text
    assert overrides.plain({"run": text}).run == text
    assert overrides.plain({"run": text}).copy().run == text


@given(st.sampled_from(["threads", "eval_length", "batch_events"]), ODD)
@settings(max_examples=40)
def test_any_text_is_a_value_or_is_refused_by_name(key: str, text: str) -> None:
    found = outcome("embed", "run=x", f"{key}={text}")
    if isinstance(found, ValueError):
        assert key in str(found)
    else:
        assert found[key] is None or type(found[key]) is int


def outcome(command: str, *overrides: str) -> Any:
    """The config, or the error."""
    try:
        return config.compose(command, overrides)
    except ValueError as error:
        return error


@given(st.text(max_size=20).filter(lambda key: "=" not in key), ODD)
@settings(max_examples=40)
def test_any_other_name_is_refused(key: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"no setting|key=value|no such option"):
        config.compose("validate", [f"{key}={text}"])
