"""Which sequence goes to training, validation or test, and into which bucket.

Both are functions of the id alone, through MD5: every engine computes it, and so does Python's
hashlib. Hexadecimal text compares like the number it stands for, so no engine needs big integers.
Datasets with a published split of their own give it instead: see `tail_split`.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import TYPE_CHECKING, TypeVar

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from grap_seq.prep.describe.spec_parts import Split
from grap_seq.prep.stages.clean import as_text

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

DIGITS = "0123456789abcdef"
MAX_BUCKETS = 256
Id = TypeVar("Id", int, str)


def threshold(share: float) -> str:
    """Hexadecimal text below which `share` of all MD5 values lie, for 0 <= share < 1."""
    return f"{round(share * 2**32):08x}"


def split_of(id_text: ir.StringValue, split: Split, given: ir.StringValue) -> ir.StringValue:
    """Split of a sequence: the given one; where it is null, by hash of seed and id.

    `given` is a null literal for datasets without a split of their own. Where the dataset gives
    test sequences, it has to give all of them: see `without_test`.
    """
    value = (ibis.literal(f"{split.seed}:") + id_text).hexdigest("md5")
    by_hash = ibis.cases(
        (value < threshold(split.test), "test"),
        (value < threshold(split.test + split.validation), "val"),
        else_="train",
    )
    return ibis.coalesce(given, by_hash)


def without_test(split: Split) -> Split:
    """The shares for the rest of a dataset whose test sequences are given."""
    return Split(validation=split.validation, test=0.0, seed=split.seed)


def bucket_of(id_text: ir.StringValue, buckets: int) -> ir.IntegerValue:
    """Bucket 0..buckets-1 of a sequence; unrelated to its split, whose hash has a seed in front."""
    value = id_text.hexdigest("md5")
    number: ir.IntegerValue = ibis.literal(0)
    for place in range(3):
        number = number * 16 + ibis.literal(DIGITS).find(value[place])
    return (number * buckets // 16**3).cast("int32")


def tail_split(
    labelled: Collection[Id],
    unlabelled: Collection[Id],
    *,
    test: float,
    validation: float,
    seed: int = 42,
) -> dict[Id, str]:
    """Published split of several datasets: tails of shuffled lists of labelled ids.

    Test sequences are the tail of the sorted labelled ids after `random.Random(seed).shuffle`;
    validation is the tail of the rest, sorted again and shuffled with `seed + 1`. The validation
    share counts unlabelled sequences too, which all go to training. Text sorts as text: "10"
    comes before "2".
    """
    ordered = sorted(labelled)
    random.Random(seed).shuffle(ordered)
    kept = len(ordered) - int(len(ordered) * test)
    rest = sorted(ordered[:kept])
    random.Random(seed + 1).shuffle(rest)
    # Half of the labels at most: in a small sample the share of a large unlabelled part could
    # take them all.
    count = min(int((len(rest) + len(unlabelled)) * validation), len(rest) // 2)
    split = dict.fromkeys(unlabelled, "train") | dict.fromkeys(ordered[kept:], "test")
    split |= dict.fromkeys(rest[: len(rest) - count], "train")
    return split | dict.fromkeys(rest[len(rest) - count :], "val")


def tail_splits(
    connection: Connection,
    events: ir.Table,
    labels: ir.Table,
    name: str,
    *,
    test: float,
    validation: float,
) -> ir.Table:
    """`tail_split` of the ids of events, of which those in `labels` are labelled.

    Args:
        events: with the id, of any type, in the column `name`.
        labels: likewise; ids without events count for nothing.

    Returns:
        `name` as text and `split`, a row an id.
    """
    everyone, known = (ids_of(connection, table, name) for table in (events, labels))
    split = tail_split(known & everyone, everyone - known, test=test, validation=validation)
    return ibis.memtable(
        pa.table({name: pa.array(split, pa.string()), "split": pa.array(split.values())})
    )


def ids_of(connection: Connection, table: ir.Table, name: str) -> set[str]:
    """The different ids of a table as text, without the missing ones."""
    ids = table.select(id=as_text(table[name])).distinct()
    return set(connection.to_pyarrow(ids.filter(ids["id"].notnull()))["id"].to_pylist())
