"""Ibis on Spark, saying the same as Ibis on DuckDB.

Where Ibis's own translation means something else (NaN counts as null there, text that DuckDB calls
no number is one), the expressions would give other sequences; here they do not.
"""

from __future__ import annotations

import re
from typing import Any

import ibis.expr.types as ir
import sqlglot.expressions as sge
from ibis.backends.pyspark import Backend
from ibis.backends.pyspark.datatypes import PySparkSchema
from ibis.backends.sql.compilers.base import NULL
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from ibis.formats.pyarrow import PyArrowData

# A date with year, month and day, and perhaps a time; Spark takes a year or an hour alone as well.
DATE = r"^\s*([0-9]{1,6})[-/]([0-9]{1,2})[-/]([0-9]{1,2})(?=\s*$|[ T][0-9]{1,2}:)"
# Java's own marks of float and double: 1.5d, 2f.
JAVA_NUMBER = r"[dDfF]\s*$"


class Compiler(PySparkCompiler):  # type: ignore[misc]  # Ibis has no types.
    """Expressions to Spark SQL."""

    __slots__ = ()

    def visit_IsNull(self, op: Any, *, arg: Any) -> Any:
        return arg.is_(NULL)

    def visit_NotNull(self, op: Any, *, arg: Any) -> Any:
        return sge.not_(arg.is_(NULL))

    def visit_ArrayIndex(self, op: Any, *, arg: Any, index: Any) -> Any:
        # Null beyond the end, where `element_at` fails.
        return self.f.anon.get(arg, index)

    def visit_RegexReplace(self, op: Any, *, arg: Any, pattern: Any, replacement: Any) -> Any:
        groups = sge.convert(re.sub(r"\\([0-9])", r"$\1", op.replacement.value))
        return self.f.regexp_replace(arg, pattern, groups)

    def visit_StringSplit(self, op: Any, *, arg: Any, delimiter: Any) -> Any:
        return self.f.split(arg, sge.convert(re.escape(op.delimiter.value)))

    def visit_Cast(self, op: Any, *, arg: Any, to: Any) -> Any:
        given = op.arg.dtype
        if to.is_string() and given.is_floating():
            text = "text_of_float" if given.is_float32() else "text_of_double"
            return self.if_(arg.is_(NULL), NULL, self.f.anon[text](arg))
        if to.is_string() and given.is_timestamp() and given.timezone is not None:
            return self.f.concat(self.cast(arg, to), sge.convert("+00"))
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_TryCast(self, op: Any, *, arg: Any, to: Any) -> Any:
        tried = super().visit_TryCast(op, arg=arg, to=to)
        if not op.arg.dtype.is_string():
            return tried
        if to.is_timestamp():
            date = sge.convert(DATE)
            dashed = self.f.regexp_replace(arg, date, sge.convert("$1-$2-$3"))
            moment = sge.TryCast(this=dashed, to=self.type_mapper.from_ibis(to), safe=True)
            return self.if_(self.f.anon.regexp_like(arg, date), moment, NULL)
        if to.is_floating():
            java = self.f.anon.regexp_like(arg, sge.convert(JAVA_NUMBER))
            return self.if_(java, NULL, tried)
        return tried


class SparkBackend(Backend):  # type: ignore[misc]  # As above.
    """Tables go in and out as Arrow: pandas has no integers with missing values."""

    compiler = Compiler()

    def to_pyarrow(self, expression: ir.Expr, /, **_: Any) -> Any:
        table = expression.as_table()
        self._run_pre_execute_hooks(table)
        found = self._session.sql(self.compile(table)).toArrow()
        return expression.__pyarrow_result__(PyArrowData.convert_table(found, table.schema()))

    def _register_in_memory_table(self, op: Any) -> None:
        schema = PySparkSchema.from_ibis(op.schema)
        table = op.data.to_pyarrow(op.schema)
        self._session.createDataFrame(table, schema=schema).createOrReplaceTempView(op.name)
