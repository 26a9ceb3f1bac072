"""The labels of a row, in their working columns `__label0`..."""

from __future__ import annotations

import functools
import operator

import ibis
import ibis.expr.types as ir

from grap_seq.prep.describe.spec import DatasetSpec


def any_label(table: ir.Table, spec: DatasetSpec) -> ir.BooleanValue:
    """Whether a row has one label at least."""
    known = [table[place].notnull() for place in spec.label_columns]
    result: ir.BooleanValue = functools.reduce(operator.or_, known)
    return result


def no_labels(spec: DatasetSpec) -> dict[str, ir.Value]:
    """The columns of a sequence without labels."""

    def null(kind: str) -> ir.Value:
        return ibis.null(f"array<{kind}>" if spec.local_labels else kind)

    kinds = {
        place: "float64" if spec.is_number(name) else "string"
        for place, name in spec.label_columns.items()
    }
    times = {"__label_time": "float64"} if spec.local_labels else {}
    return {name: null(kind) for name, kind in (kinds | times).items()}


def label_rows(sequences: ir.Table, spec: DatasetSpec) -> ir.Table:
    """`__split` and labels, a row a sequence, or one a label where a sequence has several.

    A sequence without labels has a row of nulls, or none.
    """
    columns = {
        place: sequences[place].unnest() if spec.local_labels else sequences[place]
        for place in spec.label_columns
    }
    return sequences.select("__split", **columns)


def null_unless(kept: ir.BooleanValue, value: ir.Value) -> ir.Value:
    """The value where `kept`, else null."""
    return ibis.ifelse(kept, value, ibis.null(value.type()))
