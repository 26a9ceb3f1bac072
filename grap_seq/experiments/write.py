"""Sheets of cells as Markdown, CSV and HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from grap_seq.experiments.pictures import Picture
from grap_seq.files import atomic_write
from grap_seq.pages.style import uri

STYLE = (
    "body{font:16px system-ui;margin:2em;color-scheme:light dark}table{border-collapse:collapse}"
    "td,th{padding:.3em .8em;text-align:left;border-bottom:1px solid #8884}"
    "figure{margin:2em 0}img{background:#fff;max-width:100%}figcaption{max-width:45em;opacity:.7}"
)


@dataclass(frozen=True)
class Text:
    """What stands in a cell, and whether it is bold."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table, and what to know of it.

    Args:
        columns: their names.
        rows: a text for every column.
        note: a paragraph below.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Text]]
    note: str


def markdown(
    title: str, command: str, sheets: Sequence[Sheet], pictures: Mapping[str, str] | None = None
) -> str:
    """A page.

    Args:
        title: on top.
        command: that made it.
        sheets: its tables.
        pictures: captions by the names of files beside it.
    """
    lines = [f"# {title}", "", f"`{command}`", ""]
    for sheet in sheets:
        lines += [f"| {' | '.join(sheet.columns)} |", "|" + "---|" * len(sheet.columns)]
        for row in sheet.rows:
            shown = [f"**{cell.text}**" if cell.strong else cell.text for cell in row]
            lines.append(f"| {' | '.join(shown)} |")
        lines += ["", sheet.note, ""]
    for file, caption in (pictures or {}).items():
        lines += [f"![{caption}]({file})", "", caption, ""]
    return "\n".join(lines)


def page(
    title: str, command: str, sheets: Sequence[Sheet], pictures: Sequence[Picture] = ()
) -> str:
    """The same in HTML, pictures within."""
    body = ""
    for sheet in sheets:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in sheet.columns)
        rows = ""
        for row in sheet.rows:
            texts = [(html.escape(cell.text), cell.strong) for cell in row]
            shown = "".join(f"<td>{f'<b>{t}</b>' if bold else t}</td>" for t, bold in texts)
            rows += f"<tr>{shown}</tr>\n"
        body += f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table>"
        body += f"<p>{html.escape(sheet.note)}\n"
    for picture in pictures:
        caption = html.escape(picture.caption)
        body += (
            f'<figure><img src="{uri(picture.svg)}" alt="{caption}">'
            f"<figcaption>{caption}</figcaption></figure>\n"
        )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1><p><code>{html.escape(command)}</code>"
        f"{body}</html>\n"
    )


def write(
    folder: Path,
    name: str,
    title: str,
    command: str,
    sheets: Sequence[Sheet],
    csv: pd.DataFrame,
    pictures: Sequence[Picture],
) -> list[Path]:
    """NAME.md and .html of sheets and pictures, NAME.csv of numbers, NAME_*.svg and .png."""
    paths = [path for picture in pictures for path in picture.write(folder / name)]
    pngs = (path.name for path in paths if path.suffix == ".png")
    captions = dict(zip(pngs, (picture.caption for picture in pictures), strict=True))
    content = {
        "md": markdown(title, command, sheets, captions),
        "csv": csv.to_csv(index=False),
        "html": page(title, command, sheets, pictures),
    }
    for ending, text in content.items():
        paths.append(folder / f"{name}.{ending}")
        with atomic_write(paths[-1]) as temporary:
            temporary.write_text(text, "utf-8")
    return paths
