"""Which sequence goes to training, validation or test, and into which bucket.

Both are functions of the id alone, through MD5: every engine computes it, and so does Python's
hashlib. Hexadecimal text compares like the number it stands for, so no engine needs big integers.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from grap_seq.schema import Split

DIGITS = "0123456789abcdef"
MAX_BUCKETS = 256


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
