"""Event vectors against numpy, field by field."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grap_seq.data.sequences import TIME
from grap_seq.nn.event_embedding import EventEmbedding, default_width
from grap_seq.nn.positions import flatten
from grap_seq.schema import Field
from tests.data.toy import SCHEMA, Row, groups_of, in_order, random_rows

ROWS = random_rows([9, 2, 14, 1, 5, 30], seed=3)


def inputs_of(embedding: EventEmbedding, rows: list[Row], max_padding: float = 0.1) -> Tensor:
    """What the block receives: tables | normalised scalars | missing flags, shape (N, inputs)."""
    block, embedding.block = embedding.block, nn.Sequential(nn.Identity())
    try:
        return flatten(embedding(groups_of(rows, max_padding)))
    finally:
        embedding.block = block


@pytest.mark.parametrize("max_padding", [0.0, 0.1, 1.0])
def test_scalars_are_normalised_over_valid_events_alone(max_padding: float) -> None:
    embedding = EventEmbedding(SCHEMA.fields, width=8, max_time_gap=4.0)
    found = inputs_of(embedding, ROWS, max_padding)
    ordered = in_order(groups_of(ROWS, max_padding), ROWS)
    gaps = np.concatenate([np.diff(row[TIME], prepend=row[TIME][0]) for row in ordered])
    assert gaps.max() > 4
    columns = [np.clip(gaps, 0, 4)]
    columns += [
        np.nan_to_num(np.concatenate([row[n] for row in ordered])) for n in ("a.b", "score")
    ]
    scalars = np.stack(columns, axis=1)
    wanted = (scalars - scalars.mean(0)) / np.sqrt(scalars.var(0) + 1e-5)
    tables = default_width(7) + default_width(4)
    np.testing.assert_allclose(
        found[:, tables : tables + 3].detach().numpy(), wanted, rtol=1e-4, atol=1e-4
    )
    # Running statistics, which evaluation uses: a tenth of the way from 0 and 1.
    statistics = dict(embedding.scalar_norm.named_buffers())
    mean, variance = statistics["running_mean"].numpy(), statistics["running_var"].numpy()
    np.testing.assert_allclose(mean, 0.1 * scalars.mean(0), rtol=1e-4)
    unbiased = scalars.var(0, ddof=1)
    np.testing.assert_allclose(variance, 0.9 + 0.1 * unbiased, rtol=1e-4)


def test_missing_numbers_are_flagged_and_categories_looked_up() -> None:
    embedding = EventEmbedding(SCHEMA.fields, width=8, table_widths={"type": 2, "owner": 3})
    found = inputs_of(embedding, ROWS)
    assert found.shape[1] == 2 + 3 + 3 + 2
    ordered = in_order(groups_of(ROWS), ROWS)
    flags = [np.isnan(np.concatenate([row[name] for row in ordered])) for name in ("a.b", "score")]
    np.testing.assert_array_equal(found[:, -2:].detach().numpy(), np.stack(flags, axis=1))
    assert flags[0].any()
    for columns, name, table in (
        (slice(0, 2), "type", embedding.tables[0]),
        (slice(2, 5), "owner", embedding.tables[1]),
    ):
        assert isinstance(table, nn.Embedding)
        codes = np.concatenate([row[name] for row in ordered])
        np.testing.assert_array_equal(
            found[:, columns].detach().numpy(), table.weight.detach().numpy()[codes]
        )


def test_gaps_are_clipped_on_both_sides() -> None:
    rows = [dict(ROWS[0]), dict(ROWS[0])]
    rows[0][TIME] = np.array([0, 3, 3.5, 103.5, 104, 105, 106, 107, 108])
    # As above, but the large gap is 4 already and the small one is a step back in time.
    rows[1][TIME] = np.array([0, 3, 3.5, 7.5, 8, 9, 10, 11, 12])
    embedding = EventEmbedding(SCHEMA.fields, width=8, max_time_gap=4.0).eval()
    found = [embedding(groups_of([row]))[0].payload for row in rows]
    assert torch.equal(found[0], found[1])
    rows[1][TIME] = np.array([0, 3, 2.0, 7.5, 8, 9, 10, 11, 12])
    rows[0][TIME] = np.array([0, 3, 3.0, 8.5, 9, 10, 11, 12, 13])
    found = [embedding(groups_of([row]))[0].payload for row in rows]
    assert torch.equal(found[0], found[1])


def test_padding_changes_nothing_in_training() -> None:
    torch.manual_seed(0)
    embedding = EventEmbedding(SCHEMA.fields, width=8)
    tight = flatten(embedding(groups_of(ROWS, 0.0)))
    loose = flatten(embedding(groups_of(ROWS, 1.0)))
    torch.testing.assert_close(tight, loose, rtol=1e-5, atol=1e-6)
    for rectangle in embedding(groups_of(ROWS, 1.0)):
        for row, length in zip(rectangle.payload, rectangle.seq_lens.tolist(), strict=True):
            assert not row[length:].any()
            assert row[:length].abs().sum(1).min() > 0


def test_the_block_is_two_layers_with_batch_norms() -> None:
    embedding = EventEmbedding(SCHEMA.fields, width=8)
    found = flatten(embedding(groups_of(ROWS))).detach().double().numpy()
    inputs = inputs_of(embedding, ROWS).detach().double().numpy()

    def norm(values: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        result: np.ndarray = (values - values.mean(0)) / np.sqrt(values.var(0) + 1e-5)  # type: ignore[type-arg]
        return result

    first, last = embedding.block[1], embedding.block[4]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    assert first.bias is None
    hidden = np.maximum(norm(norm(inputs) @ first.weight.detach().double().numpy().T), 0)
    wanted = hidden @ last.weight.detach().double().numpy().T + last.bias.detach().double().numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_fields_of_one_kind_are_enough() -> None:
    categories = EventEmbedding(SCHEMA.categorical, width=4)
    numbers = EventEmbedding([Field("score", "numerical")], width=4)
    for embedding in (categories, numbers):
        vectors = flatten(embedding(groups_of(ROWS)))
        assert vectors.shape == (61, 4)
        assert vectors.isfinite().all()


@pytest.mark.parametrize(("size", "columns"), [(3, 3), (10, 6), (100, 21), (10_002, 64)])
def test_default_widths(size: int, columns: int) -> None:
    assert default_width(size) == columns


def test_table_widths_for_unknown_fields() -> None:
    with pytest.raises(ValueError, match=r"'shop'.*'owner', 'type'"):
        EventEmbedding(SCHEMA.fields, table_widths={"shop": 3})
