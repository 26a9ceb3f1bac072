"""The documentation builds without a warning, and its Python runs, start.md with fewer steps."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import grap_seq
from docs.messages import messages
from grap_seq import cli, commands, config
from grap_seq.hub.bundle import PATTERNS
from tests.hub.fake import Hub
from tests.shop import purchases

ROOT = Path(__file__).parents[1]


def blocks(page: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text("utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run_page(page: str, old: str = "", new: str = "") -> dict[str, Any]:
    """Run the blocks of a page one after another, as a reader does; `new` stands in for `old`."""
    names: dict[str, Any] = {}
    code = blocks(page)
    assert old in "".join(code)
    for block in code:
        exec(compile(block.replace(old, new), page, "exec"), names)
    return names


def test_the_site_builds(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs the extra [docs]")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    page = (tmp_path / "api.html").read_text("utf-8")
    assert "EventEmbedder" in page
    # Every message can be found as it is printed.
    tags = re.compile(r"<[^>]+>")
    page = (tmp_path / "troubleshooting.html").read_text("utf-8")
    text = " ".join(html.unescape(tags.sub("", page)).split())
    for message in messages():
        for said in message.texts:
            assert " ".join(said.split()) in text
    # Nothing is fetched from elsewhere when a page is read.
    foreign = re.compile(r"<(?:script|link|img)[^>]+(?:src|href)=.?(https?:[^ >]+)")
    for path in tmp_path.glob("*.html"):
        fetched = foreign.findall(path.read_text("utf-8"))
        assert not fetched, path.name


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    for path in (ROOT / "docs").glob("*.md"):
        assert f": {path.name}" in text, path.name


def test_ten_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_page("start.md", "min_steps=300", "min_steps=100")
    scores = names["evaluation"].table["test"]
    # Who buys more books leaves: both see it.
    assert scores["embedding"] > 0.7
    assert scores["aggregates"] > 0.7
    assert len(names["vectors"]) == 5


def test_serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    monkeypatch.chdir(tmp_path)
    table = purchases(40).rename(columns={"when": "bought"})
    described: dict[str, Any] = {
        **{"id": "customer", "time": "bought", "label": "churned"},
        **{"categorical": ["kind"], "numerical": ["amount"]},
    }
    prepared = grap_seq.prepare(table, "data/shop", **described)
    small: dict[str, Any] = {"epochs": 1, "encoder": {"hidden": 8}, "select": "last"}
    run = grap_seq.pretrain(prepared, run="runs/shop", **small)
    cli.run(["export", "run=runs/shop"])
    names = run_page("serving.md")
    expected = run.model.embed(pd.DataFrame(names["history"])).to_numpy()
    np.testing.assert_allclose(names["embeddings"], expected, atol=1e-5)


def test_python_and_scikit_learn(
    tmp_path: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "shop").symlink_to(shop)
    table = purchases(120).rename(columns={"churned": "leaves"})
    # Under the name that it has in the page, and that of the prepared folder.
    table.assign(bought=table["when"]).to_parquet(tmp_path / "purchases.parquet")
    names = run_page("python.md")
    assert min(names["scores"]) > 0.8
    assert (tmp_path / "runs" / "small" / "model.safetensors").is_file()
    assert isinstance(names["histories"], pd.DataFrame)
    assert names["explained"]["distance"].max() > 0
    whole = names["model"].embed(names["events"])
    np.testing.assert_allclose(names["states"].embeddings, whole, atol=1e-5)


@pytest.mark.xdist_group("predictor")
def test_models_on_the_hub(
    tmp_path: Path, hub: Hub, two_labels: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there" / "runs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "there")
    Path("runs/shop").symlink_to(two_labels["churned"])
    hub.kind, hub.repository, hub.token = "models", "owner/shop", "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    names = run_page("hub.md")
    assert names["model"].description["head"]["label"] == "churned"
    text = (ROOT / "docs" / "hub.md").read_text("utf-8")
    for pattern in (*PATTERNS, "README.md"):
        assert f"`{pattern}`" in text


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_commands_of_a_page_compose(page: str) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    for command, arguments in re.findall(r"^    grap-seq (\w+) +([^#\n]*)", text, re.MULTILINE):
        assert command in commands.COMMANDS, command
        words = [word for word in arguments.split() if not word.startswith("--")]
        if "-m" not in words and "..." not in words and "'" not in arguments:
            config.composed(command, words)
