"""A loaded model is ready: the first customer waits for no question to be planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from grap_seq import load
from grap_seq.prep import coder
from tests.shop import purchases


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[pa.Schema]:
    """Columns for which questions have been planned."""
    found = []

    class Plan(coder.CodingPlan):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            found.append(given[3].schema())

    monkeypatch.setattr(coder, "CodingPlan", Plan)
    return found


def test_the_first_customer_after_loading_needs_no_plan(
    shop_run: Path, planned: list[pa.Schema]
) -> None:
    events = purchases(20)
    model = load(shop_run)
    assert len(planned) == 1
    tables = [part for _, part in events.groupby("customer")]
    # Further columns, their order and what is missing make no difference.
    tables[3] = tables[3][["kind", "amount", "when", "customer"]].assign(note="x")
    tables[4] = tables[4].assign(kind=None)
    tables[5] = tables[5].assign(kind=tables[5]["kind"].astype("category"))
    found = pd.concat([model.embed(table) for table in tables])
    assert len(planned) == 1
    events = pd.concat(table[["customer", "when", "kind", "amount"]] for table in tables)
    assert len(found) == 20
    # The last bits of a product of matrices depend on how many rows there are.
    pd.testing.assert_frame_equal(found, model.embed(events), rtol=1e-5, atol=1e-6)


def test_embeddings_are_those_of_the_stored_file(shop: Path, shop_run: Path) -> None:
    model = load(shop_run)
    for split in ("train", "val", "test"):
        stored = pd.read_parquet(shop_run / "embeddings" / f"{split}.parquet")
        stored = stored.set_index("customer").filter(like="emb_")
        events = purchases(80)
        events = events[events["customer"].isin(stored.index)]
        pd.testing.assert_frame_equal(model.embed(events), stored, check_exact=True)


def test_a_model_may_wait_until_it_is_asked(shop_run: Path, planned: list[pa.Schema]) -> None:
    model = load(shop_run, warm=False)
    assert not planned
    first = model.embed(purchases(3))
    assert len(planned) == 1
    pd.testing.assert_frame_equal(first, load(shop_run).embed(purchases(3)), check_exact=True)
