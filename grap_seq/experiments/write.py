"""Tables of cells as Markdown, CSV and HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from grap_seq.experiments.methods import METHODS
from grap_seq.experiments.scores import Cell
from grap_seq.files import atomic_write

NOTE = (
    "Test score of LightGBM on the embeddings, mean ± standard deviation over seeds (number of"
    " seeds). Bold: the best of a column, and what a paired t test over seeds cannot tell from it"
    " at 5 %; with fewer than two seeds only the highest. In brackets what the paper has. *: runs"
    " of several versions of the code or of its packages."
)
STYLE = (
    "body{font:16px system-ui;margin:2em;color-scheme:light dark}table{border-collapse:collapse}"
    "td,th{padding:.3em .8em;text-align:left;border-bottom:1px solid #8884}"
)


def text_of(cell: Cell) -> str:
    """Without its emphasis."""
    if not cell.scores:
        return f"failed ({len(cell.failed)})" if cell.failed else ""
    spread = f" ± {cell.std:.4f}" if len(cell.scores) > 1 else ""
    failed = f", {len(cell.failed)} failed" if cell.failed else ""
    paper = "" if cell.paper is None else f" [{cell.paper[0]:.4f} ± {cell.paper[1]:.4f}]"
    mixed = "*" if cell.mixed else ""
    return f"{cell.mean:.4f}{spread}{mixed} ({len(cell.scores)}{failed}){paper}"


def strong(cell: Cell) -> bool:
    """Whether it is bold."""
    return cell.best or cell.tied is True


def grid(cells: Sequence[Cell]) -> tuple[list[str], list[tuple[str, list[Cell | None]]]]:
    """Names of the columns, and rows with their title."""
    columns = list(dict.fromkeys((cell.dataset, cell.encoder, cell.metric) for cell in cells))
    encoders = {encoder for _, encoder, _ in columns}
    names = [
        f"{dataset}{f', {encoder}' if len(encoders) > 1 else ''} ({metric})"
        for dataset, encoder, metric in columns
    ]
    known = {(cell.dataset, cell.encoder, cell.metric, cell.method): cell for cell in cells}
    rows = [
        (METHODS[method].title, [known.get((*column, method)) for column in columns])
        for method in dict.fromkeys(cell.method for cell in cells)
    ]
    return names, rows


def markdown(title: str, cells: Sequence[Cell], command: str) -> str:
    """A page with one table."""
    names, rows = grid(cells)
    lines = [f"# {title}", "", f"`{command}`", "", " | ".join(["| method", *names]) + " |"]
    lines.append("|" + "---|" * (1 + len(names)))
    for row, found in rows:
        shown = [
            "" if cell is None else f"**{text_of(cell)}**" if strong(cell) else text_of(cell)
            for cell in found
        ]
        lines.append(" | ".join([f"| {row}", *shown]) + " |")
    return "\n".join([*lines, "", NOTE, ""])


def page(title: str, cells: Sequence[Cell], command: str) -> str:
    """The same in HTML."""
    names, rows = grid(cells)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("method", *names))
    body = ""
    for row, found in rows:
        shown = ""
        for cell in found:
            text = "" if cell is None else html.escape(text_of(cell))
            bold = cell is not None and strong(cell)
            shown += f"<td>{f'<b>{text}</b>' if bold else text}</td>"
        body += f"<tr><td>{html.escape(row)}</td>{shown}</tr>\n"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1><p><code>{html.escape(command)}</code>"
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"
        f"<p>{html.escape(NOTE)}</html>\n"
    )


def numbers(cells: Sequence[Cell]) -> pd.DataFrame:
    """A row a cell."""
    return pd.DataFrame(
        [
            {
                "dataset": cell.dataset,
                "encoder": cell.encoder,
                "method": cell.method,
                "metric": cell.metric,
                "seeds": len(cell.scores),
                "mean": cell.mean,
                "std": cell.std,
                "best": cell.best,
                "tied": cell.tied,
                "failed": len(cell.failed),
                "mixed_versions": cell.mixed,
                "paper_mean": None if cell.paper is None else cell.paper[0],
                "paper_std": None if cell.paper is None else cell.paper[1],
            }
            for cell in cells
        ]
    )


def write(folder: Path, name: str, title: str, cells: Sequence[Cell], command: str) -> list[Path]:
    """NAME.md, .csv and .html in a folder."""
    content = {
        "md": markdown(title, cells, command),
        "csv": numbers(cells).to_csv(index=False),
        "html": page(title, cells, command),
    }
    paths = []
    for ending, text in content.items():
        paths.append(folder / f"{name}.{ending}")
        with atomic_write(paths[-1]) as temporary:
            temporary.write_text(text, "utf-8")
    return paths
