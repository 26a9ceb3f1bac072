"""Columns of raw events as JSON has them, and the Arrow table that they become.

A table has the same types whatever is in it, so that the coder plans its questions once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import pyarrow as pa
from pydantic import (
    BeforeValidator,
    Field,
    FiniteFloat,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
    WithJsonSchema,
)

from grap_seq.prep.describe.spec_parts import EPOCHS
from grap_seq.prep.folder.state import State


def _whole(value: Any) -> Any:
    # To JSON 7.0 is the integer 7.
    return int(value) if isinstance(value, float) and value.is_integer() else value


Text = Annotated[StrictStr, StringConstraints(max_length=10_000)]
# Described by the nearest bounds that are floats, which is what numbers of JSON are to many.
_LARGEST = 2**63 - 1024
Integer = Annotated[
    StrictInt,
    Field(ge=-(2**63), lt=2**63),
    BeforeValidator(_whole),
    WithJsonSchema({"type": "integer", "minimum": -_LARGEST, "maximum": _LARGEST}),
]
Number = Annotated[FiniteFloat, Field(strict=True)]


class Column(NamedTuple):
    """A column.

    Attributes:
        kind: what pydantic accepts.
        says: the same in words.
        arrow: its type in a table.
    """

    kind: Any
    says: str
    arrow: pa.DataType


INTEGER_ID = Column(Integer, "a whole number of 64 bits", pa.int64())
TEXT_ID = Column(
    Annotated[Text, StringConstraints(min_length=1)] | Integer,
    "text that is not empty, or a whole number",
    pa.string(),
)
NUMBER_TIME = Column(Number, "a finite number", pa.float64())
TEXT_TIME = Column(Text, "text, a date and time", pa.string())
CATEGORY = Column(
    Text | StrictBool | Integer | Number | None,
    "text, a finite number, true, false or null",
    pa.string(),
)
NUMBER = Column(Number | None, "a finite number or null", pa.float64())


def columns_of(state: State) -> dict[str, Column]:
    """The columns that events need, by name."""
    spec = state.spec
    numbers = state.time_kind == "number" or spec.time_format in EPOCHS
    time = NUMBER_TIME if numbers else TEXT_TIME
    columns = {
        spec.id: INTEGER_ID if state.id_type == "int64" else TEXT_ID,
        spec.time: time,
        **dict.fromkeys(spec.tie_order, NUMBER),
        **dict.fromkeys((*spec.categorical, *spec.static.categorical), CATEGORY),
        **dict.fromkeys((*spec.numerical, *spec.static.numerical), NUMBER),
    }
    if spec.until_column is not None:
        columns[spec.until_column] = time
    return columns


def table_of(columns: Mapping[str, Column], events: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Events, a value for each column, as a table."""
    values = {name: [one[name] for one in events] for name in columns}
    return pa.table({name: _array(columns[name].arrow, cells) for name, cells in values.items()})


def _array(kind: pa.DataType, values: list[Any]) -> pa.Array:
    return pa.array(map(_text, values) if kind == pa.string() else values, kind)


def _text(value: Any) -> str | None:
    """As a column of a single type would be read (`grap_seq.prep.stages.cells.as_text`)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None else str(value)
