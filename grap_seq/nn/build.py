"""A model from its description: plain values, as they stand in a config or in model.json."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from grap_seq.classes import allow, find
from grap_seq.nn.event_embedding import EventEmbedding, Number
from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.schema import Schema

__all__ = ["allow", "build", "build_model"]
# Entries of an encoder's description that say what it is given.
FOR_OTHERS = ("event_width", "min_length")


def build(description: Mapping[str, Any], *args: Any, without: tuple[str, ...] = ()) -> Any:
    """Call the class that `description["class"]` names with the other entries as options.

    Args:
        description: `name`, `class` (a dotted path) and the class's keyword arguments.
        args: positional arguments that come first.
        without: entries that are meant for somebody else.

    Raises:
        ValueError: the class is neither one of the package's nor allowed (see `allow`), cannot be
            imported, or does not take an option.
    """
    path = str(description["class"])
    target = find(path)
    if not isinstance(target, type):
        raise ValueError(f"class: {path!r} is no class; name one, such as my.module.Encoder")
    options = {k: v for k, v in description.items() if k not in ("name", "class", *without)}
    try:
        inspect.signature(target).bind(*args, **options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} does not fit the options {options}: {error}") from error
    return target(*args, **options)


def build_model(schema: Schema, description: Mapping[str, Any]) -> SequenceModel:
    """A model with fresh parameters.

    Args:
        schema: the data it will read.
        description: `event_width`, `max_time_gap`, `table_widths`, `encoder`, `pooling`, and where
            they differ from `EventEmbedding`'s own, `numbers`, `normalize`, `gap_table`; `recency`
            where the embedding says how long ago the last event was.
    """
    numbers = {name: Number(**n) for name, n in description.get("numbers", {}).items()}
    embedding = EventEmbedding(
        (*schema.fields, *schema.static),
        description["event_width"],
        description["max_time_gap"],
        description["table_widths"],
        numbers=numbers,
        normalize=description.get("normalize", True),
        gap_table=description.get("gap_table"),
        by_width=description.get("by_width", 0),
    )
    encoder = build(description["encoder"], embedding.width, without=FOR_OTHERS)
    pooling, recency = description["pooling"], description.get("recency")
    return SequenceModel(embedding, encoder, pooling, recency)
