"""Split and bucket of an id against hashlib."""

from __future__ import annotations

import hashlib

import ibis
import pyarrow as pa

from grap_seq.prep.describe.spec_parts import Split
from grap_seq.prep.engines.connect import connect
from grap_seq.prep.stages.splits import bucket_of, split_of, without_test

IDS = [*(str(number) for number in range(2000)), "ä", "a b", "-1"]


def test_split_and_bucket_follow_md5() -> None:
    table = ibis.memtable(pa.table({"id": IDS}))
    split, null = Split(validation=0.2, test=0.3, seed=9), ibis.null("string")
    expression = table.select(
        split=split_of(table.id, split, null),
        rest=split_of(table.id, without_test(split), null),
        given=split_of(table.id, split, ibis.literal("val")),
        bucket=bucket_of(table.id, 7),
    )
    found = connect(threads=1).to_pyarrow(expression).to_pydict()
    for place, name in enumerate(IDS):
        share = int(hashlib.md5(f"9:{name}".encode()).hexdigest(), 16) / 16**32
        expected = "test" if share < 0.3 else "val" if share < 0.5 else "train"
        assert found["split"][place] == expected
        assert found["rest"][place] == ("val" if share < 0.2 else "train")
        value = int(hashlib.md5(name.encode()).hexdigest()[:3], 16)
        assert found["bucket"][place] == value * 7 // 4096
    assert set(found["given"]) == {"val"}
    # Had split and bucket one hash, a bucket would hold one split only.
    assert len({*zip(found["split"], found["bucket"], strict=True)}) == 21
