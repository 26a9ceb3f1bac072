"""The page is one self-contained file, with every part and with parts missing."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from grap_seq.pages import report
from grap_seq.schema import Schema
from tests.data.toy import write_descriptions
from tests.evaluation.fake import belong
from tests.pages.fake import (
    evaluation,
    finished_run,
    label_curve,
    metrics,
    trajectory,
)

VOID = {"meta", "img", "source", "br", "link"}


class Page(HTMLParser):
    """Text, links and images of a page; fails on tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.images = 0
        self.feed(html)
        assert not self.open, f"unclosed: {self.open}"

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.images += tag == "img"
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "srcset")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return finished_run(tmp_path)


def without_picture(run: Path) -> None:
    """t-SNE takes seconds; pages about something else can do without it."""
    for file in (run / "embeddings").glob("*.parquet"):
        file.unlink()


def render(run: Path, prepared: Path) -> Page:
    belong(run, prepared)
    path = report(run, prepared)
    assert path == run / "report.html"
    html = path.read_text("utf-8")
    assert "@import" not in html
    assert "url(" not in html
    page = Page(html)
    assert all(link.startswith(("data:", "#")) for link in page.links)
    return page


def test_every_part(folders: tuple[Path, Path]) -> None:
    page = render(*folders)
    assert page.images == 5
    for part in (
        "Embeddings add to plain aggregates; alone they cannot be told apart.",
        "0.810 ± 0.020",
        "+0.050 +0.030 to +0.070",
        "untrained encoder",
        "PR-AUC",
        "0.432",
        "embedding, mean only",
        "shop (3.00) rose",
        "Most aligned with the downstream gradient: shop",
        "All 100 sequences.",
        "Epoch 3 of 3 was kept: the best score of the validation probe (0.7200).",
        "Left out: 3 (row without an id).",
        "weighting: name: grap",
        '"python": "3.11"',
        "100 sequences with",
    ):
        assert part in page.text, part
    assert list(folders[0].glob("*.tmp-*")) == []


def test_folds_and_notes(folders: tuple[Path, Path]) -> None:
    run, prepared = folders
    without_picture(run)
    content = evaluation(folds=True, notes=["No sequence of class <yes>."])
    (run / "evaluation.json").write_text(json.dumps(content))
    page = render(run, prepared)
    assert "5-fold cross-validation over 340 labelled sequences" in page.text
    assert "No sequence of class <yes>." in page.text  # escaped in the file, itself in the text


def test_parts_missing(folders: tuple[Path, Path]) -> None:
    run, prepared = folders
    for name in (
        "evaluation.json",
        "model.json",
        "weights.parquet",
        "metrics.csv",
        "environment.json",
    ):
        (run / name).unlink()
    without_picture(run)
    page = render(run, prepared)
    assert page.images == 0
    for part in (
        f"grap-seq evaluate run={run}",
        f"grap-seq embed run={run}",
        "The run has no weights.parquet",
        "No metrics.csv yet",
        "Not stored in this run.",
        "Embeddings not scored yet.",
    ):
        assert part in page.text, part


def test_constant_weights_no_validation_no_labels(folders: tuple[Path, Path]) -> None:
    run, prepared = folders
    schema = Schema.load(prepared)
    for file in (run / "embeddings").glob("*.parquet"):
        frame = pd.read_parquet(file)
        frame.assign(label=pd.array([None] * len(frame), dtype="Int32")).to_parquet(file)
    without = Schema(schema.name, schema.id, schema.time_unit, schema.fields)
    write_descriptions(prepared, without)
    (run / "config.yaml").write_text("weighting: {name: equal}\n")
    steps = trajectory()
    for column in filter(lambda name: "/" in name, map(str, steps)):
        steps[column] = float(column.startswith("weight/"))
    steps.to_parquet(run / "weights.parquet", index=False)
    (run / "evaluation.json").unlink()
    metrics(2, validation=False).to_csv(run / "metrics.csv", index=False)
    page = render(run, prepared)
    assert "With weighting=equal the weights are constant" in page.text
    assert "No validation losses" in page.text
    assert "this dataset has no labels" in page.text
    assert page.images == 2


def test_undefined_scores(folders: tuple[Path, Path]) -> None:
    run, prepared = folders
    without_picture(run)
    nothing = dict.fromkeys(evaluation()["test"])
    gap = dict.fromkeys(("mean", "error", "low", "high"))
    content = evaluation(
        test=nothing,
        std=nothing,
        validation=nothing,
        poolings={},
        differences=dict.fromkeys(evaluation()["differences"], gap),
    )
    (run / "evaluation.json").write_text(json.dumps(content))
    assert "an undefined value" in render(run, prepared).text


def test_the_head_of_a_run(folders: tuple[Path, Path]) -> None:
    run, prepared = folders
    without_picture(run)
    content = evaluation(head={"validation": 0.77, "test": 0.789})
    (run / "evaluation.json").write_text(json.dumps(content))
    assert "the run's own head 0.770 0.789" in render(run, prepared).text


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not a run folder"):
        report(tmp_path / "absent", tmp_path)


def test_the_curve_over_labels_is_shown_where_there_is_one(folders: tuple[Path, Path]) -> None:
    run, prepared = folders
    without_picture(run)
    before = render(run, prepared)
    assert "means over 2 random parts" not in before.text
    (run / "evaluation.json").write_text(json.dumps(evaluation(label_curve=label_curve())))
    page = render(run, prepared)
    assert page.images == before.images + 1
    assert "means over 2 random parts of the labels" in page.text
    assert "Labels beyond the share chose the kept epoch" in page.text
