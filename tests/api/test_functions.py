"""The commands from Python: tables in memory, the same files as on a command line."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import yaml

import grap_seq
from grap_seq import cli
from tests.shop import SPEC, purchases, write_shop

DESCRIBED: dict[str, Any] = yaml.safe_load(SPEC)
SMALL: dict[str, Any] = {
    "epochs": 1,
    "encoder": {"hidden": 8},
    "event_width": 8,
    "batch_size": 8,
    "select": "loss",
    "trainer": {"threads": 1},
}
BOOSTING = {"binary": {"n_estimators": 5, "min_data_in_leaf": 2}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> grap_seq.Run:
    folder = tmp_path_factory.mktemp("api")
    prepared = grap_seq.prepare(purchases(60), folder / "shop", **DESCRIBED)
    return grap_seq.pretrain(prepared, run=folder / "run", **SMALL)


def _parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*/*.parquet"))}


@pytest.mark.parametrize("kind", ["pandas", "arrow", "labels apart", "labels by id"])
def test_a_table_is_prepared_as_its_file_is(tmp_path: Path, kind: str) -> None:
    source = write_shop(tmp_path, 40)
    cli.run(["prepare", "dataset=table", f"source={source}", f"output={tmp_path / 'file'}"])
    events = purchases(40)
    labels = events.groupby("customer", as_index=False)["churned"].first()
    given: Any = events
    more: dict[str, Any] = {}
    if kind == "arrow":
        given = pa.Table.from_pandas(events, preserve_index=False)
    elif kind == "labels apart":
        given, more = events.drop(columns="churned"), {"labels": labels}
    elif kind == "labels by id":
        given, more = events.drop(columns="churned"), {"labels": labels.set_index("customer")}
    prepared = grap_seq.prepare(given, tmp_path / "memory", **DESCRIBED, **more)
    assert _parts(prepared.path) == _parts(tmp_path / "file")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".memory-")]


def test_a_path_may_be_described_by_arguments(tmp_path: Path) -> None:
    source = write_shop(tmp_path, 40)
    (tmp_path / "events.yaml").unlink()
    prepared = grap_seq.prepare(source, tmp_path / "out", **DESCRIBED)
    assert prepared.manifest.dataset == "shop"
    assert "train" in prepared._repr_html_()


def test_a_guess_describes_a_table() -> None:
    described = grap_seq.suggest(purchases(40), id="customer")
    names = {key: described[key] for key in ("id", "time", "categorical", "label")}
    assert names == {"id": "customer", "time": "when", "categorical": ["kind"], "label": "churned"}


def test_a_table_needs_a_description(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"say what the table's columns are: id=, time="):
        grap_seq.prepare(purchases(4), tmp_path / "out")
    with pytest.raises(TypeError, match=r"spec=x.yaml describes the table; leave out id"):
        grap_seq.prepare(purchases(4), tmp_path / "out", spec="x.yaml", id="customer")
    with pytest.raises(TypeError, match=r"events: name the table"):
        grap_seq.prepare(id="customer")
    with pytest.raises(ValueError, match=r"no column 'custmer'; did you mean 'customer'"):
        grap_seq.prepare(purchases(4), tmp_path / "out", **DESCRIBED | {"id": "custmer"})


def test_a_run_is_the_command_s(run: grap_seq.Run, tmp_path: Path) -> None:
    cli.run(
        [
            *("pretrain", f"prepared={run.config['prepared']}", f"run={tmp_path / 'run'}"),
            *("epochs=1", "encoder.hidden=8", "event_width=8", "batch_size=8", "select=loss"),
            "trainer.threads=1",
        ]
    )
    again = grap_seq.Run(tmp_path / "run")
    pd.testing.assert_frame_equal(run.weights, again.weights)
    assert run.config["encoder"]["hidden"] == 8
    assert list(run.metrics["epoch"]) == [0]


def test_evaluation_has_a_table(run: grap_seq.Run) -> None:
    evaluation = grap_seq.evaluate(run, folds=0, seeds=1, boosting=BOOSTING)
    stored = json.loads((run.path / "evaluation.json").read_text("utf-8"))
    assert evaluation.table["test"].to_dict() == stored["test"]
    assert evaluation.table.loc["embedding", "validation"] == stored["validation"]["embedding"]
    assert "plain aggregates" in str(evaluation)
    assert "plain aggregates" in evaluation._repr_html_()
    assert len(evaluation.predictions) == stored["n_scored"]
    assert run.evaluation.result == stored
    for figure in (run.plot_weights(), run.plot_embeddings(), run.plot_losses()):
        assert figure.axes
    embedded = grap_seq.embed(run, purchases(3), device="cpu")
    assert isinstance(embedded, pd.DataFrame)
    pd.testing.assert_frame_equal(embedded, run.model.embed(purchases(3)))


def test_embeddings_of_a_split(run: grap_seq.Run) -> None:
    grap_seq.embed(run)
    embedded = run.embeddings("val")
    assert embedded.index.name == "customer"
    with pytest.raises(FileNotFoundError, match=r"make it with grap_seq\.embed"):
        run.embeddings("other")
    with pytest.raises(TypeError, match="shards: of prepared folders, not of events"):
        grap_seq.embed(run, purchases(3), shards=2)


def test_reports_show_themselves(run: grap_seq.Run, tmp_path: Path) -> None:
    page = grap_seq.report(run)
    assert page.path == run.path / "report.html"
    shown = page._repr_html_()
    (content,) = re.findall(r'srcdoc="([^"]*)"', shown)
    assert html.unescape(content) == page.path.read_text("utf-8")
    # Its script may not reach the notebook.
    assert 'sandbox="allow-scripts"' in shown
    other = tmp_path / "other"
    shutil.copytree(run.path, other)
    compared = grap_seq.report(runs=[run, other], output=tmp_path)
    assert os.fspath(compared) == str(tmp_path / "comparison.html")
    assert "<html" in html.unescape(compared._repr_html_())
    with pytest.raises(ValueError, match=r"report needs run=\.\.\. for the page of a run"):
        grap_seq.report()
    with pytest.raises(FileNotFoundError, match=r"none\.html does not exist; make it with"):
        grap_seq.Report(tmp_path / "none.html")


def test_a_fine_tuned_run(run: grap_seq.Run, tmp_path: Path) -> None:
    tuned = grap_seq.finetune(run, output=tmp_path / "tuned", epochs=1, trainer={"threads": 1})
    assert tuned.config["pretrained"] == str(run.path)
    assert "not finished" not in tuned._repr_html_()


def test_the_errors_are_the_commands_own(run: grap_seq.Run) -> None:
    with pytest.raises(ValueError, match=r"lr=fast: write a number"):
        grap_seq.pretrain(run.config["prepared"], lr="fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"pretrain has no setting 'epoch': did you mean 'epochs'"):
        grap_seq.pretrain(run.config["prepared"], epoch=3)  # type: ignore[call-arg]
    with pytest.raises(FileExistsError, match="overwrite=true"):
        grap_seq.pretrain(run.config["prepared"], run=run, **SMALL)
    with pytest.raises(FileNotFoundError, match="nowhere is not a run folder"):
        grap_seq.evaluate("nowhere")


def test_names_are_there_without_pytorch() -> None:
    code = "import sys, grap_seq; print(*dir(grap_seq)); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, loaded = done.stdout.splitlines()
    assert (set(names.split()), loaded) == (set(grap_seq.__all__), "False")
    for name in grap_seq.__all__:
        assert getattr(grap_seq, name)
    # The package of the same matter has another name, which does not take the function's place.
    import_module("grap_seq.pages.page")
    assert grap_seq.report is grap_seq.api.functions.report
    with pytest.raises(AttributeError, match="no attribute 'pretrian'"):
        grap_seq.pretrian  # noqa: B018
