"""What is usual in the data that a model was trained on: stored in its run, for `Drift`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grap_seq.data.sequences import Sequences
from grap_seq.prep.folder.state import State
from grap_seq.prep.shares import Count, Counter, Name, from_dict, to_dict

# Of model.json.
KEY = "shares"


def usual(train: Sequences, val: Sequences, state: State) -> dict[str, Any]:
    """The counts of `Drift.training` as an entry of model.json."""
    counter = Counter(state)
    counts = counter.count(train.batches)
    if len(val):
        unseen = counter.count(val.batches)
        counts |= {name: count for name, count in unseen.items() if name[1] == "rare"}
    return {KEY: to_dict(counts)}


def stored(description: Mapping[str, Any]) -> dict[Name, Count] | None:
    """The same counts from model.json; None: an earlier version wrote it."""
    return from_dict(description[KEY]) if KEY in description else None
