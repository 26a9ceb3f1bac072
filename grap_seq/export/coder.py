"""coder.json: everything that turns raw events into a model's inputs, for any language.

docs/serving.md describes the format; `grap_seq.export.reader` reads it in a page of Python.
"""

from __future__ import annotations

from typing import Any

from grap_seq.prep.describe.spec_parts import SECONDS
from grap_seq.prep.folder.state import Scaler, State, Statistics

FORMAT = 1


def coder(state: State, eval_length: int, outputs: int) -> dict[str, Any]:
    """Content of coder.json.

    Args:
        state: vocabularies and scalers of the run.
        eval_length: last events of a sequence that the model reads.
        outputs: numbers in an embedding.
    """
    spec = state.spec
    fields = [
        *(_category(name, values, spec.calendar) for name, values in state.categorical.items()),
        *(_number(name, scaler) for name, scaler in state.numerical.items()),
        *(
            {**_category(name, values), "static": True}
            for name, values in state.static_categorical.items()
        ),
        *(
            {**_number(name, scaler), "static": True}
            for name, scaler in state.static_numerical.items()
        ),
    ]
    for place, field in enumerate(fields):
        field["input"] = f"field_{place}"
    return {
        "format": FORMAT,
        "dataset": spec.name,
        "id": spec.id,
        "time": spec.time,
        "time_kind": state.time_kind,
        "seconds_per_unit": SECONDS[spec.time_unit],
        "relative_time": spec.relative_time,
        "tie_order": list(spec.tie_order),
        "until": spec.until is not None,
        "events": eval_length,
        "outputs": outputs,
        "fields": fields,
    }


def _category(
    name: str, values: tuple[str | None, ...], calendar: tuple[str, ...] = ()
) -> dict[str, Any]:
    codes = {value: code for code, value in enumerate(values, 1) if value is not None}
    rare = len(values) + 1
    missing = values.index(None) + 1 if None in values else rare
    made = {"calendar": True} if name in calendar else {}
    return {"name": name, "codes": codes, "rare": rare, "missing": missing, **made}


def _number(name: str, scaler: Scaler) -> dict[str, Any]:
    groups = [_statistics(group or scaler.other) for group in scaler.groups]
    return {
        "name": name,
        "log": scaler.log,
        "by": scaler.by,
        # Of each code of the field `by`, from 1 on; of rare ones the last.
        "scales": [*groups, _statistics(scaler.other)],
    }


def _statistics(found: Statistics) -> dict[str, float]:
    return {"low": found.low, "high": found.high, "mean": found.mean, "std": found.std}
