"""Questions that are prepared once are answered from what is there when they are asked."""

from __future__ import annotations

import pyarrow as pa
import pytest

from grap_seq.prep.engines.repeated import RepeatedDuckDB

COLUMNS = pa.schema([("name", pa.string()), ("amount", pa.float64())])


def test_each_answer_is_of_the_table_that_is_in_the_slot() -> None:
    connection = RepeatedDuckDB("100MB")
    slot, other = connection.slot(COLUMNS), connection.slot(COLUMNS)
    table = slot.table
    ask = connection.compiled(table.filter(table.amount > 1).select("name"))
    total = connection.compiled(table.cross_join(other.table.count().name("n").as_table()))
    for size in (3, 0, 5000):
        rows = [(str(n), float(n)) for n in range(size)]
        content = pa.Table.from_pylist([{"name": name, "amount": n} for name, n in rows], COLUMNS)
        with slot.filled(content), other.filled(content.slice(0, 2)):
            assert ask()["name"].to_pylist() == [name for name, n in rows if n > 1]
            assert total()["n"].to_pylist() == [min(size, 2)] * size
    # Nothing of it is kept.
    assert not ask().num_rows
    wrong = pa.table({"name": ["a"]})
    with pytest.raises(AssertionError, match="other columns"), slot.filled(wrong):
        pass
    connection.disconnect()
