"""The table of an evaluation on the console."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from grap_seq.terminal import Terminal

ROWS = {
    "embedding": "embedding",
    "aggregates": "plain aggregates",
    "both": "both",
    "untrained": "untrained encoder",
    "logistic": "embedding (logistic)",
    "ridge": "embedding (ridge)",
}


def show(result: dict[str, Any], console: Console | None = None) -> None:
    """Print the scores with their paired differences, and what a reader must know."""
    console = console or Terminal()
    columns = ["validation", "test"] if result["validation"] else [result["protocol"]]
    title = f"{result['dataset']}, {result['label']}: {result['metric']}, {result['protocol']}"
    table = Table(title=title)
    table.add_column("LightGBM on")
    for column in [*columns, "minus aggregates"]:
        table.add_column(column, justify="right")
    for name in result["test"]:
        scored = {key: (result[key] or {}).get(name) for key in ("test", "std", "validation")}
        gap = result["differences"].get(f"{name} - aggregates")
        table.add_row(ROWS[name], *_cells(result, scored), interval(gap) if gap else "")
    if result["head"]:
        cells = [number(result["head"][name]) for name in ("validation", "test")]
        table.add_row("the run's own head", *cells, "")
    table.add_section()
    for name, scored in result["poolings"].items():
        table.add_row(f"embedding, {name} only", *_cells(result, scored), "")
    console.print(table)
    trained = interval(result["differences"]["embedding - untrained"])
    console.print(f"embedding minus untrained encoder: {trained}")
    console.print(_small_print(result), style="dim")
    for note in result["notes"]:
        console.print(f"Note: {note}")
    if result["label_curve"]:
        _show_curve(result, result["label_curve"], console)


def _show_curve(result: dict[str, Any], curve: dict[str, Any], console: Console) -> None:
    table = Table(title=f"{result['dataset']}: {result['metric']} by share of the labels")
    table.add_column(result["label"])
    for share, rows in zip(curve["fractions"], curve["fitted"], strict=True):
        table.add_column(f"{share:g}\n{rows:,.0f} labels", justify="right")
    for name, of_share in curve["scores"].items():
        table.add_row(ROWS[name], *(_draws(scores) for scores in of_share))
    table.add_section()
    for name, gaps in curve["differences"].items():
        cells = ("-" if gap["mean"] is None else f"{gap['mean']:+.3f}" for gap in gaps)
        spreads = ("" if gap["std"] is None else f" ± {gap['std']:.3f}" for gap in gaps)
        table.add_row(name, *(a + b for a, b in zip(cells, spreads, strict=True)))
    console.print(table)
    draws = max(curve["draws"])
    console.print(f"± deviation over {draws} random parts of the labels", style="dim")
    for note in curve["notes"]:
        console.print(f"Note: {note}")


def _draws(scores: list[float | None]) -> str:
    known = [score for score in scores if score is not None]
    if not known:
        return "-"
    return number(fmean(known)) + (f" ± {number(stdev(known))}" if len(known) > 1 else "")


def _cells(result: dict[str, Any], scored: Mapping[str, Any]) -> list[str]:
    cells = [f"{number(scored['test'])} ± {number(scored['std'])}"]
    return [number(scored["validation"]), *cells] if result["validation"] else cells


def _small_print(result: dict[str, Any]) -> str:
    classifier = result["classifier"]
    seeds = f", {classifier['seeds']} seeds averaged" if classifier["seeds"] > 1 else ""
    ways = " ".join(sorted(set(result["combination"]["chosen"])))
    return (
        f"± deviation over {result['std_of']}; brackets: 95 % interval of the paired difference; "
        f"{classifier['n_estimators']} trees{seeds}; both: {ways}"
    )


def interval(gap: Mapping[str, Any]) -> str:
    """A difference with its interval, "+0.010 [-0.004, +0.024]"."""
    if gap["mean"] is None or gap["low"] is None:
        return "-"
    return f"{gap['mean']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"


def number(value: float | None) -> str:
    """Three decimals; a dash for what is undefined."""
    return "-" if value is None else f"{value:.3f}"
