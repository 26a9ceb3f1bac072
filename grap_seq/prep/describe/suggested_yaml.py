"""The commented YAML text of a guess: every guess is called one."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from grap_seq.prep.describe.columns import Column
from grap_seq.prep.describe.guess import Guess, Known, is_dated
from grap_seq.terminal import visible

# The largest value of a skewed amount is this many times its median or more.
SKEW = 50


def _is_skewed(column: Column) -> bool:
    low, median, high = column.low, column.median, column.high
    if low is None or median is None or high is None:
        return False
    return low >= 0 and high > SKEW * max(median, 1e-12)


def _facts(column: Column, rows: int) -> str:
    missing = f", {column.missing / rows:.1%} missing" if column.missing else ""
    return f"{column.distinct:,} values{missing}"


def _quote(text: str) -> str:
    # Text with a line break is one line only in double quotes.
    style = None if visible(text) == text else '"'
    dumped = yaml.safe_dump(text, allow_unicode=True, width=float("inf"), default_style=style)
    return dumped.splitlines()[0]


def _fields(categorical: list[Column], numerical: list[Column], rows: int) -> list[str]:
    lines = ["categorical:"] if categorical else []
    lines += [f"  - {_quote(c.name)}   # {_facts(c, rows)}" for c in categorical]
    if numerical:
        lines.append("numerical:")
    for c in numerical:
        options = "{log: true}" if _is_skewed(c) else "{}"
        low_high = f"{c.low:g} to {c.high:g}, median {c.median:g}" if c.low is not None else ""
        lines.append(f"  {_quote(c.name)}: {options}   # {_facts(c, rows)}, {low_high}")
    return lines


def text_of(
    guess: Guess, known: Known, label: tuple[str, ...], source: Path, output: Path, rows: int
) -> str:
    """The description.

    Args:
        known: what was no guess.
        label: names of the labels.
        source: the table.
        output: where the text will be: the label file is named as seen from there.
        rows: that were looked at.
    """
    sure = {True: "as you said", False: "a guess"}
    lines = [
        f"# Suggested from {rows:,} rows of {visible(source.name)}. Read it, correct it, then run",
        f"# grap-seq prepare dataset=table source={visible(str(source))}",
        f"name: {_quote(output.name.removesuffix('.yaml'))}",
    ]
    for key, column, given in (("id", guess.id, known.id), ("time", guess.time, known.time)):
        why = sure[given is not None]
        lines.append(f"{key}: {_quote(column.name)}   # {why}: {_facts(column, rows)}")
    if guess.time.time_format is not None:
        lines.append(f"time_format: {_quote(guess.time.time_format)}   # a guess")
    comment = "a guess: the unit in which gaps are a few to a few hundred"
    if not is_dated(guess.time):
        comment = "a guess: what does 1 mean in this column?"
    lines.append(f"time_unit: {guess.unit}   # {comment}: second minute hour day week")
    lines.append("# Codes or amounts? Guesses, by how many values there are, and by names.")
    lines += _fields(guess.categorical, guess.numerical, rows)
    if is_dated(guess.time):
        lines.append("# calendar: [hour, weekday, month]   # further fields, made from the time")
    if guess.static:
        lines.append("static:   # a guess: constant within an id; facts about it, or labels")
        inner = _fields(guess.static_categorical, guess.static_numerical, rows)
        lines += [f"  {line}" for line in inner]
    lines.append(
        "# until: newest   # or a date or column: up to when these histories were observed"
    )
    lines.append(f"label: {_label(label)}   # {_why(label, known)}")
    lines.append("# metric: mae   # where the label is a number; without it it is a class")
    if known.labels is not None:
        lines.append(f"labels: {_quote(os.path.relpath(known.labels, output.parent))}")
    else:
        lines.append("# labels: labels.csv   # where labels stand in a file of their own")
    if guess.left_out:
        names = ", ".join(visible(c.name) for c in guess.left_out)
        lines.append(
            f"# Left out (empty, constant, another time, or different in every row): {names}"
        )
    lines.append("split: {validation: 0.15, test: 0.15, seed: 42}")
    return "\n".join(lines) + "\n"


def _label(names: tuple[str, ...]) -> str:
    if not names:
        return "null"
    quoted = [_quote(name) for name in names]
    return quoted[0] if len(quoted) == 1 else f"[{', '.join(quoted)}]"


def _why(names: tuple[str, ...], known: Known) -> str:
    if known.label is not None:
        return "as you said"
    if known.labels is not None:
        return "the only one in the label file"
    return "a guess: it is constant within an id" if names else "no column looks like one"
