"""Names and labels with markup, escape codes, formulas and separators, through every command."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import yaml

from grap_seq import cli, pages
from grap_seq.files import file_name
from grap_seq.terminal import Terminal, progress, visible

CLASSES = ["[/red]", "\x1b[2J\x1b]0;owned\x07", "<script>alert(1)</script>", "_$\\frac{x", "=cmd()"]
CATEGORICAL = ["[/red]kind", "=cmd|' /C calc'!A1", "../../up", "a\nb\x1b[31m", "$\\frac{ {{7*7}}"]
NUMERICAL = ["'; DROP TABLE events; --", '"quoted".amount']
LABEL, SECOND = "../[bold]churned\x1b[5m\n=1+1", ".."
NAME = "[/blue]data\x1b[31m<b>"
# What a terminal would obey; Rich draws tables with none of them.
ESCAPES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def hostile(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    events = []
    for customer in range(75):
        count, place = int(rng.integers(4, 12)), customer % len(CLASSES)
        table: dict[str, Any] = {"[/id]": f"=id()\x1b[31m/../{customer}", "time": range(count)}
        for name in CATEGORICAL:
            table[name] = rng.choice(["[/red]", "\x1b[31m", "<i>", "'", CLASSES[place]], count)
        table |= {name: rng.normal(size=count) for name in NUMERICAL}
        events.append(pd.DataFrame({**table, LABEL: CLASSES[place], SECOND: place % 2}))
    pd.concat(events).to_parquet(folder / "events.parquet")
    spec = {
        "name": NAME,
        **{"id": "[/id]", "time": "time", "time_unit": "day"},
        **{"categorical": CATEGORICAL, "numerical": NUMERICAL, "label": [LABEL, SECOND]},
        "split": {"validation": 0.2, "test": 0.2, "seed": 1},
    }
    (folder / "events.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True), "utf-8")
    return folder / "events.parquet"


class Page(HTMLParser):
    """Tags, texts and images of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.images: list[bytes] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.images += [
            base64.b64decode(value.partition("base64,")[2])
            for name, value in attributes
            if name in ("src", "srcset") and value
        ]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_every_command_shows_hostile_names_and_obeys_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "a" / "b"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    source, prepared = hostile(work), work / "prepared"

    def call(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["grap-seq", *arguments])
        cli.main()
        out, err = capsys.readouterr()
        assert not ESCAPES.search(out + err), ESCAPES.findall(out + err)
        return out

    shown = call("prepare", "dataset=table", f"source={source}", f"output={prepared}")
    for name in CLASSES:
        assert visible(name) in shown.replace("\n", "")
    assert visible(NAME) in shown
    small = ["dataset=table", "dataset.hidden=8", "event_width=8", "epochs=1", "select=last"]
    call("pretrain", *small, f"prepared={prepared}", "run=run", "log_every=1")
    call("embed", "run=run")
    scored = call("evaluate", "run=run", "folds=2", "seeds=1", "boosting.binary.n_estimators=2")
    assert "[bold]churned" in scored
    call("report", "run=run")
    call("validate", f"prepared={prepared}")

    page = Page(text := Path("run/report.html").read_text("utf-8"))
    assert not ESCAPES.search(text)
    assert not page.tags & {"b", "i"}
    # The page's own, and what figures say where one points, which is data.
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL)
    own = (Path(pages.__file__).parent / "hover.js").read_text("utf-8")
    assert [content for kind, content in scripts if kind != ' type="application/json"'] == [own]
    assert all(json.loads(content) for kind, content in scripts if kind)
    assert any("<script>alert(1)</script>" in text for text in page.texts)
    assert len(page.images) >= 6
    drawn = "".join("".join(ElementTree.fromstring(i).itertext()) for i in page.images)
    for name in (*CATEGORICAL[:3], *CATEGORICAL[4:], *CLASSES[2:]):
        assert name in drawn, name
    assert "{{7*7}}" in "".join(page.texts)

    with Path("run/metrics.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))]
    assert f"loss/{CATEGORICAL[1]}" in cells

    # Nothing was written outside, and further labels have a folder of their own.
    assert [path.name for folder in (tmp_path, work.parent) for path in folder.iterdir()] == [
        *("a", "b"),
    ]
    assert sorted(path.name for path in work.iterdir()) == [
        *("events.parquet", "events.yaml", "prepared", "run"),
    ]
    assert [path.name for path in Path("run/labels").iterdir()] == ["%2E."]
    assert json.loads(Path("run/labels/%2E./evaluation.json").read_text())["label"] == SECOND


def test_errors_obey_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"who\x1b[31m": [1, 1], "[/t]": ["x\x1b[2J", "y"], "k": ["a", "b"]})
    table.to_parquet("e.parquet")
    spec = {"name": "x", "id": "who\x1b[31m", "time": "[/t]", "categorical": ["k"]}
    Path("e.yaml").write_text(yaml.safe_dump(spec))
    for arguments in (
        ("prepare", "dataset=table", "source=e.parquet", "output=o"),
        ("prepare", "dataset=table", "source=no\x1b[2J", "output=o"),
        ("embed", "run=[/red]\x1b[31m"),
    ):
        monkeypatch.setattr("sys.argv", ["grap-seq", *arguments])
        with pytest.raises(SystemExit, match="2"):
            cli.main()
        error = capsys.readouterr().err
        assert error
        assert not ESCAPES.search(error)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_what_it_is_given(terminal: bool) -> None:
    file = io.StringIO()
    console = Terminal(file=file, force_terminal=terminal, color_system=None)
    console.print("[/red] :smile: \x1b[31m\u202egpj.exe\n\t\udc80", soft_wrap=True)
    assert file.getvalue() == r"[/red] :smile: \x1b[31m\u202egpj.exe" + "\n        \\udc80\n"


def test_descriptions_of_progress_bars_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as shown:
        assert list(shown.track([1, 2], description="[/red]\x1b[31m")) == [1, 2]
    assert not ESCAPES.search(capsys.readouterr().out)


def test_what_is_visible_stays() -> None:
    for text in ("", "plain", "naïve 日本 \N{GRINNING FACE}", "a\u200db", "non\u00a0breaking"):
        assert visible(text) == text
    assert visible("a\nb\tc\x85") == r"a\nb\tc\x85"
    assert visible("a\nb\tc\x85", "\n\t") == "a\nb\tc\\x85"


@pytest.mark.parametrize(
    "name", ["..", ".", "../../x", "/etc/passwd", "a\0b", "\udc80", "ü" * 300, "con", "a\nb", "~"]
)
def test_a_file_name_leads_nowhere(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{file_name(name)}.x"
    path.touch()
    assert path.resolve().parent == tmp_path.resolve()
    folder = tmp_path / "labels" / file_name(name)
    assert folder.resolve().parent == (tmp_path / "labels").resolve()


def test_different_texts_have_different_file_names() -> None:
    texts = ["..", "%2E.", "%2E%2E", "a/b", "a%2Fb", "x" * 300, "x" * 299 + "y", " ", "a", "A"]
    assert len({file_name(text) for text in texts}) == len(texts)
