"""Sheets of cells as Markdown, CSV and HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from grap_seq.files import atomic_write

STYLE = (
    "body{font:16px system-ui;margin:2em;color-scheme:light dark}table{border-collapse:collapse}"
    "td,th{padding:.3em .8em;text-align:left;border-bottom:1px solid #8884}"
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


def markdown(title: str, command: str, sheets: Sequence[Sheet]) -> str:
    """A page."""
    lines = [f"# {title}", "", f"`{command}`", ""]
    for sheet in sheets:
        lines += [f"| {' | '.join(sheet.columns)} |", "|" + "---|" * len(sheet.columns)]
        for row in sheet.rows:
            shown = [f"**{cell.text}**" if cell.strong else cell.text for cell in row]
            lines.append(f"| {' | '.join(shown)} |")
        lines += ["", sheet.note, ""]
    return "\n".join(lines)


def page(title: str, command: str, sheets: Sequence[Sheet]) -> str:
    """The same in HTML."""
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
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1><p><code>{html.escape(command)}</code>"
        f"{body}</html>\n"
    )


def write(
    folder: Path, name: str, title: str, command: str, sheets: Sequence[Sheet], csv: pd.DataFrame
) -> list[Path]:
    """NAME.md and .html of sheets, and NAME.csv of numbers, in a folder."""
    content = {
        "md": markdown(title, command, sheets),
        "csv": csv.to_csv(index=False),
        "html": page(title, command, sheets),
    }
    paths = []
    for ending, text in content.items():
        paths.append(folder / f"{name}.{ending}")
        with atomic_write(paths[-1]) as temporary:
            temporary.write_text(text, "utf-8")
    return paths
