"""Labels as a prepared folder holds them: classes as their indices, numbers standardised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.describe.spec_parts import Numerical
from grap_seq.prep.folder.state import class_metric
from grap_seq.prep.stages.fitting import fit_scalers
from grap_seq.schema import Label

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

# A label with more values than this is hardly meant as classes where all of them are numbers.
MAX_NUMBERS = 20


def fit_labels(connection: Connection, rows: ir.Table, spec: DatasetSpec) -> tuple[Label, ...]:
    """Classes, or mean and deviation of training, of every label.

    Args:
        connection: where the rows are.
        rows: `__split` and the working column of each label, as `labels.label_rows` gives them.
        spec: the description.

    Raises:
        ValueError: a label with one value only, or with many numbers that nobody called numbers.
    """
    return tuple(
        _number(connection, rows, spec, place, name)
        if spec.is_number(name)
        else _classes(connection, rows, spec, place, name)
        for place, name in spec.label_columns.items()
    )


def _number(
    connection: Connection, rows: ir.Table, spec: DatasetSpec, place: str, name: str
) -> Label:
    train = rows.filter(rows["__split"] == "train")
    found = fit_scalers(connection, train, {place: Numerical(clip=(0.0, 1.0))}, {})[place].other
    if found.low == found.high:
        what = f"the same number everywhere, {found.low:g}" if found.count else "no number"
        raise ValueError(
            f"{spec.name}: in the training split the label '{name}' has {what}; correct it, or set "
            "label to null in the YAML"
        )
    return Label(name, spec.metric[name], mean=found.mean, std=found.std)


def _classes(
    connection: Connection, rows: ir.Table, spec: DatasetSpec, place: str, name: str
) -> Label:
    """Classes in the order of numbers where all are numbers, otherwise in that of text."""
    found = connection.to_pyarrow(rows.select(place).distinct())[place].to_pylist()
    classes = [value for value in found if value is not None]
    if len(classes) < 2:
        raise ValueError(
            f"the label '{name}' has {len(classes)} different values "
            f"({', '.join(classes) or 'all missing'}); a label needs at least two classes: correct "
            "it, or set label to null in the YAML"
        )
    numbers = all(map(_is_number, classes))
    if numbers and len(classes) > MAX_NUMBERS and name not in spec.metric:
        example = "metric: {}" if len(spec.label) == 1 else f"metric: {{{{{name}: {{}}}}}}"
        raise ValueError(
            f"{spec.name}: the label '{name}' has {len(classes):,} different numbers. To predict "
            f"the number, write {example.format('r2')} (or mae) into the YAML; if each of them is "
            f"a class, {example.format('accuracy')}"
        )
    ordered = tuple(sorted(classes, key=float) if numbers else sorted(classes))
    return Label(name, spec.metric.get(name, class_metric(ordered)), ordered)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def label_codes(values: pa.ChunkedArray, label: Label) -> pa.ChunkedArray:
    """Class names or numbers to codes: int32, or float32 by the mean and deviation of training."""
    if label.classes:
        classes = pa.array(label.classes, pa.string())
        return pc.index_in(values.cast(pa.string()), classes).cast(pa.int32())
    centred = pc.subtract(values.cast(pa.float64()), label.mean)
    return pc.divide(centred, label.std).cast(pa.float32())
