"""The page that compares runs, beside means worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from grap_seq import cli, commands
from grap_seq.pages.comparison import FILE, compare, spread
from tests.pages.runs import write_run
from tests.pages.test_page import Page
from tests.sealed import reseal


def page(path: Path) -> Page:
    found = Page(path.read_text("utf-8"))
    assert all(link.startswith(("data:", "#")) for link in found.links)
    return found


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two seeds of two methods."""
    for seed, (equal, grap) in enumerate(((0.70, 0.80), (0.72, 0.84))):
        write_run(tmp_path / "runs" / f"equal{seed}", "equal", seed, score=equal, weight=1.0)
        write_run(tmp_path / "runs" / f"grap{seed}", "grap", seed, score=grap)
    return tmp_path / "runs"


def test_methods_of_a_dataset(runs: Path) -> None:
    path = compare([f"{runs}/*"])
    assert path == runs.resolve() / FILE
    found = page(path)
    for part in (
        "4 runs of 2 methods on toy",
        # Means, deviations of samples of two: |a - b| / sqrt 2.
        "equal weights 2 0.800 0.7100 ± 0.0141",
        "GraP 2 0.800 0.8200 ± 0.0283",
        # 30 seconds, 120 steps, 500 and 600 MiB.
        "30 4.0 550",
        "plain aggregates 0.7000 ± 0.0000",
        "What the losses weigh",
        "Which losses pull towards the label",
        "What it costs",
        f"{runs}/grap1",
    ):
        assert part in found.text, part
    assert found.images == 4
    assert "These methods differ" not in found.text
    # The page lies among the runs, and a pattern passes it over.
    assert compare([f"{runs}/*"]) == path


def test_one_run_and_one_that_is_not_finished(runs: Path, tmp_path: Path) -> None:
    (runs / "grap1" / "model.safetensors").unlink()
    found = page(compare([str(runs / "grap0"), str(runs / "grap1")], tmp_path / "out"))
    assert "One run on toy" in found.text
    assert f"Left out, because they are not finished: {runs}/grap1." in found.text
    assert "GraP 1 0.800 0.8000" in found.text
    with pytest.raises(ValueError, match=r"runs: none of .*grap1 has a model yet"):
        compare([str(runs / "grap1")])


def test_datasets_apart_and_runs_without_scores(runs: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "other" / "a", dataset="<other>", score=None)
    found = page(compare([f"{runs}/*", f"{tmp_path}/other/*"], tmp_path))
    assert "5 runs of 2 methods on toy and <other>" in found.text
    assert "has no score: `grap-seq evaluate run=" in found.text


def test_a_score_of_an_earlier_model_is_refused(runs: Path) -> None:
    (runs / "grap0" / "model.json").write_text('{"weights": "later"}')
    reseal(runs / "grap0")
    with pytest.raises(ValueError, match="was made by another model of the run"):
        compare([f"{runs}/*"])


def test_the_command(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["grap-seq", "report", f"runs={runs}/grap*"])
    cli.main()
    assert "comparison.html" in capsys.readouterr().out
    commands.report([f"runs=[{runs}/grap0,{runs}/equal0]", f"output={runs}/out"])
    assert (runs / "out" / FILE).is_file()
    for asked in ([], ["run=a", "runs=[b]"]):
        with pytest.raises(ValueError, match=r"run=\.\.\. .* or runs=\[\.\.\.\]"):
            commands.report(asked)
    with pytest.raises(ValueError, match="output= is of a comparison"):
        commands.report([f"run={runs}/grap0", f"output={runs}"])


def test_a_mean_of_one_has_no_deviation() -> None:
    assert spread([0.5]) == {"mean": 0.5, "std": None}
    assert spread([float("nan")]) == {"mean": None, "std": None}
