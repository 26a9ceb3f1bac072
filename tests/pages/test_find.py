"""Which folders `runs=` stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from grap_seq.pages.find import find, is_finished


def run(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("config.yaml", *files):
        (folder / name).write_text("")
    return folder


def test_names_patterns_and_runs_of_a_grid(tmp_path: Path) -> None:
    one, two = run(tmp_path / "runs" / "a"), run(tmp_path / "runs" / "[b]")
    (tmp_path / "runs" / "comparison.html").write_text("")
    graded = run(tmp_path / "grid" / "c" / "run")
    begun = tmp_path / "grid" / "d"
    begun.mkdir()
    (begun / "outcome.json").write_text("{}")
    assert find([f"{tmp_path}/runs/*", str(one)]) == [two, one]
    assert find([str(two)]) == [two]
    assert find([f"{tmp_path}/grid/*"]) == [graded, begun / "run"]


def test_what_is_no_run(tmp_path: Path) -> None:
    run(tmp_path / "runs" / "a")
    (tmp_path / "data").mkdir()
    with pytest.raises(FileNotFoundError, match=r"data is not a run folder .*grap-seq pretrain"):
        find([f"{tmp_path}/data"])
    with pytest.raises(FileNotFoundError, match=r"the runs in it are runs='.*/runs/\*'"):
        find([f"{tmp_path}/runs"])
    with pytest.raises(FileNotFoundError, match="no folder has such a name"):
        find([f"{tmp_path}/nothing*"])


def test_a_run_is_finished_when_it_has_a_model(tmp_path: Path) -> None:
    assert not is_finished(run(tmp_path / "a", "model.json"))
    assert is_finished(run(tmp_path / "b", "model.json", "model.safetensors"))
