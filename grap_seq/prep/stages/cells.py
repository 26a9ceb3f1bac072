"""Cells in their canonical form: text of ids and categories, numbers as float64."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import ibis
import ibis.expr.types as ir

NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def as_text(column: ir.Value) -> ir.StringValue:
    """Canonical text of an id, a category or a class; null where missing.

    A number reads the same whether the source kept it as integer, float or text: 7, 7.0 and '7.0'
    give '7' (a pandas column of integers turns to floats with its first missing value). Booleans
    give 'true' and 'false'. Empty text is missing.
    """
    kind = column.type()
    if kind.is_floating():
        whole = column.try_cast("int64")
        text = ibis.ifelse(whole.cast("float64") == column, whole.cast("string"), _plain(column))
        return ibis.ifelse(column.isnan(), ibis.null("string"), text)
    text = _plain(column)
    if not (kind.is_string() or kind.is_decimal()):
        return text
    # The cheap tests come first: most cells are neither, in tables of many millions of them.
    lower = text.lower()
    return ibis.cases(
        (text.contains("."), text.re_replace(r"^(-?[0-9]+)\.0+$", r"\1")),
        (text.length().between(4, 5) & lower.isin(["true", "false"]), lower),
        (text == "", ibis.null("string")),
        else_=text,
    )


def as_id(column: ir.Value) -> ir.Value:
    """An id as int64 where its column has integers, otherwise as text: sorting and joining many
    millions of texts is what takes the time. Of a sequence, text is made once.
    """
    kind = column.type()
    if kind.is_integer() and kind.nbytes < 8 + kind.is_signed_integer():
        return column.cast("int64")
    return as_text(column)


def _plain(column: ir.Value) -> ir.StringValue:
    return column.cast("string")


def as_number(column: ir.Value, name: str, decimal: str = ".") -> ir.FloatingValue:
    """float64; null where missing, NaN where the cell is no finite number.

    Args:
        column: numbers, or text with the sign `decimal`.
        name: of the column, for errors.
        decimal: "." or ",".

    Raises:
        ValueError: a column of dates, lists or other things that are no numbers.
    """
    kind = column.type()
    if kind.is_string():
        text = column
        if decimal == ",":
            # A point would stand between thousands.
            text = ibis.ifelse(column.contains("."), ibis.null("string"), column.replace(",", "."))
        number = text.try_cast("float64")
        missing = column.isnull() | (column.strip() == "")
        unread = ibis.ifelse(missing, ibis.null("float64"), nan())
    elif kind.is_numeric() or kind.is_boolean():
        number, unread = column.cast("float64"), ibis.null("float64")
    elif kind.is_null():
        return ibis.null("float64")
    else:
        raise ValueError(f"column '{name}' has type {kind}, not a number; list it as categorical")
    # Adding x - x makes NaN of infinity and 0.0 of -0.0 (two kinds of zero would tie in every
    # sort). It is arithmetic and no CASE, for which engines compute x again in each branch.
    return ibis.coalesce(number + (number - number), unread)


def without_missing(table: ir.Table, names: Iterable[str], missing: Sequence[str]) -> ir.Table:
    """A table with null for the cells of some columns that mean a missing value.

    Args:
        table: it may lack some of the columns.
        names: of the columns.
        missing: texts; a column of numbers is compared with those that are numbers.
    """
    given = {*names} & {*table.columns} if missing else {}
    columns = {name: _without(table[name], missing) for name in given}
    return table.mutate(**columns) if columns else table


def _without(column: ir.Value, missing: Sequence[str]) -> ir.Value:
    kind = column.type()
    if kind.is_string():
        absent = column.strip().isin(missing)
    elif kind.is_numeric():
        numbers = [float(text) for text in missing if NUMBER.fullmatch(text)]
        absent = column.isin(numbers) if numbers else ibis.literal(False)
        if kind.is_floating() and "nan" in map(str.lower, missing):
            absent |= column.isnan()
    else:
        return column
    return ibis.ifelse(absent, ibis.null(kind), column)


def unreadable(column: ir.Value, value: ir.FloatingValue) -> ir.StringValue:
    """Text of a cell that `as_time` or `as_number` turned into NaN, otherwise null."""
    return ibis.ifelse(value.isnan(), _plain(column), ibis.null("string"))


def nan() -> ir.FloatingScalar:
    return ibis.literal(float("nan"), "float64")
