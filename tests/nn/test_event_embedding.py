"""Event vectors against numpy, field by field."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grap_seq.batch import Batch
from grap_seq.nn.event_embedding import EXTREME, EventEmbedding, Number, default_width
from grap_seq.schema import TIME, Field
from tests.data.toy import SCHEMA, Row, batch_of, random_rows

ROWS = random_rows([9, 2, 14, 1, 5, 30], seed=3)
NUMBERS = ("a.b", "score")
NEVER_MISSING = {name: Number(-9.0, 9.0, missing=False) for name in NUMBERS}


def inputs_of(embedding: EventEmbedding, batch: Batch) -> Tensor:
    """What the block receives: tables | normalised scalars | missing flags, shape (N, inputs)."""
    block, embedding.block = embedding.block, nn.Sequential(nn.Identity())
    try:
        vectors: Tensor = embedding(batch)
        return vectors
    finally:
        embedding.block = block


def column(rows: list[Row], name: str) -> np.ndarray:  # type: ignore[type-arg]
    values: np.ndarray = np.concatenate([row[name] for row in rows]).astype(float)  # type: ignore[type-arg]
    return values


def test_numbers_are_normalised_over_known_values_alone() -> None:
    embedding = EventEmbedding(SCHEMA.fields, width=8, max_time_gap=4.0)
    found = inputs_of(embedding, batch_of(ROWS))
    gaps = np.concatenate([np.diff(row[TIME], prepend=row[TIME][0]) for row in ROWS])
    assert gaps.max() > 4
    scalars = np.stack([np.clip(gaps, 0, 4), *(column(ROWS, name) for name in NUMBERS)], axis=1)
    assert np.isnan(scalars).any()
    mean, variance = np.nanmean(scalars, 0), np.nanvar(scalars, 0)
    wanted = np.nan_to_num((scalars - mean) / np.sqrt(variance + 1e-5))
    tables = default_width(7) + default_width(4)
    np.testing.assert_allclose(
        found[:, tables : tables + 3].detach().numpy(), wanted, rtol=1e-4, atol=1e-5
    )
    # Running statistics, which evaluation uses: a tenth of the way from 0 and 1.
    assert embedding.scalar_norm is not None
    statistics = dict(embedding.scalar_norm.named_buffers())
    np.testing.assert_allclose(statistics["running_mean"].numpy(), 0.1 * mean, rtol=1e-4)
    unbiased = np.nanvar(scalars, 0, ddof=1)
    np.testing.assert_allclose(statistics["running_var"].numpy(), 0.9 + 0.1 * unbiased, rtol=1e-4)


def test_a_missing_number_is_the_mean_in_evaluation_too() -> None:
    embedding = EventEmbedding(SCHEMA.fields, width=8)
    inputs_of(embedding, batch_of(ROWS))
    embedding.eval()
    assert embedding.scalar_norm is not None
    mean = embedding.scalar_norm.running_mean
    assert mean is not None
    row = {**ROWS[0], "score": np.full(9, np.nan, np.float32)}
    at_mean = {**ROWS[0], "score": np.full(9, mean[2].item(), np.float32)}
    absent, average = (inputs_of(embedding, batch_of([r])) for r in (row, at_mean))
    torch.testing.assert_close(absent[:, :-1], average[:, :-1])
    assert absent[:, -1].tolist() == [1.0] * 9
    assert average[:, -1].tolist() == [0.0] * 9


def test_flags_are_neither_normalised_nor_made_for_fields_that_were_never_missing() -> None:
    widths = {"type": 2, "owner": 3}
    embedding = EventEmbedding(SCHEMA.fields, width=8, table_widths=widths)
    found = inputs_of(embedding, batch_of(ROWS))
    assert found.shape[1] == 2 + 3 + 3 + 2
    flags = np.stack([np.isnan(column(ROWS, name)) for name in NUMBERS], axis=1)
    np.testing.assert_array_equal(found[:, -2:].detach().numpy(), flags)
    assert flags[:, 0].any()
    one = {"score": NEVER_MISSING["score"]}
    fewer = EventEmbedding(SCHEMA.fields, width=8, table_widths=widths, numbers=one)
    found = inputs_of(fewer, batch_of(ROWS))
    assert found.shape[1] == 2 + 3 + 3 + 1
    np.testing.assert_array_equal(found[:, -1].detach().numpy(), flags[:, 0])


def test_the_first_missing_number_after_training_changes_little() -> None:
    """A flag that had gone through batch norm came out at 316, and the vector's norm at 154."""
    torch.manual_seed(0)
    rows = [{**row, "score": np.nan_to_num(row["score"])} for row in ROWS]
    rows = [{**row, "a.b": np.nan_to_num(row["a.b"])} for row in rows]
    changed = {**rows[5], "score": rows[5]["score"].copy()}
    changed["score"][7] = np.nan
    for numbers in (None, NEVER_MISSING):
        embedding = EventEmbedding(SCHEMA.fields, width=8, numbers=numbers)
        for _ in range(100):
            embedding(batch_of(rows))
        embedding.eval()
        before, after = (embedding(batch_of([r])) for r in (rows[5], changed))
        norms = before.norm(dim=1)
        assert after[7].norm() < 3 * norms.max()
        unchanged = torch.arange(30) != 7
        assert torch.equal(before[unchanged], after[unchanged])


@pytest.mark.parametrize("value", [1e25, -1e25, np.inf, 1e300])
def test_one_absurd_value_cannot_kill_a_field(value: float) -> None:
    rows = [{**row, "score": row["score"].copy()} for row in ROWS]
    with np.errstate(over="ignore"):
        rows[3]["score"][0] = np.float32(value)
    for numbers, most in ((None, EXTREME), ({"score": Number(-3.0, 3.0)}, 3.0)):
        embedding = EventEmbedding(SCHEMA.fields, width=8, numbers=numbers)
        assert embedding(batch_of(rows)).isfinite().all()
        assert embedding.scalar_norm is not None
        variance = embedding.scalar_norm.running_var
        assert variance is not None
        assert variance.max() <= 0.9 + 0.1 * most**2
        assert embedding.eval()(batch_of(ROWS)).isfinite().all()


def test_a_constant_field_and_a_field_without_a_value_are_finite() -> None:
    rows = [
        {**row, "score": np.full_like(row["score"], 2.5), "a.b": np.full_like(row["a.b"], np.nan)}
        for row in ROWS
    ]
    embedding = EventEmbedding(SCHEMA.fields, width=8)
    for _ in range(50):
        vectors = embedding(batch_of(rows))
        assert vectors.isfinite().all()
    assert embedding.eval()(batch_of(rows)).isfinite().all()
    assert embedding.scalar_norm is not None
    mean, variance = embedding.scalar_norm.running_mean, embedding.scalar_norm.running_var
    assert mean is not None
    assert variance is not None
    # What was never known keeps its first statistics.
    assert (mean[1].item(), variance[1].item()) == (0.0, 1.0)


def test_categories_are_looked_up_and_normalised() -> None:
    embedding = EventEmbedding(SCHEMA.fields, width=8, table_widths={"type": 2, "owner": 3})
    found = inputs_of(embedding, batch_of(ROWS))[:, :5].detach().numpy()
    tables = [table.get_parameter("weight").detach().numpy() for table in embedding.tables]
    codes = [column(ROWS, name).astype(int) for name in ("type", "owner")]
    raw = np.concatenate([table[code] for table, code in zip(tables, codes, strict=True)], axis=1)
    wanted = (raw - raw.mean(0)) / np.sqrt(raw.var(0) + 1e-5)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    plain = EventEmbedding(SCHEMA.fields, width=0, table_widths={"type": 2, "owner": 3})
    found = plain(batch_of(ROWS))[:, :5].detach().numpy()
    tables = [table.get_parameter("weight").detach().numpy() for table in plain.tables]
    raw = np.concatenate([table[code] for table, code in zip(tables, codes, strict=True)], axis=1)
    np.testing.assert_array_equal(found, raw)


def test_without_normalisation_numbers_are_as_prepared() -> None:
    embedding = EventEmbedding(SCHEMA.fields, width=0, max_time_gap=4.0, normalize=False)
    assert embedding.scalar_norm is None
    batch = batch_of(ROWS)
    found = embedding(batch)[:, -5:-2]
    wanted = torch.stack([batch.gaps.clamp(0, 4), *(batch.fields[n] for n in NUMBERS)], dim=1)
    assert torch.equal(found, wanted.nan_to_num(0.0))
    # A block normalises everything, as published.
    assert EventEmbedding(SCHEMA.fields, width=8, normalize=False).scalar_norm is not None


def test_whole_gaps_can_be_categories() -> None:
    embedding = EventEmbedding(SCHEMA.fields, width=0, max_time_gap=8.0, gap_table=(800, 3))
    assert embedding.width == default_width(7) + default_width(4) + 3 + 2 + 2
    batch = batch_of(ROWS)
    assert embedding.gap_table is not None
    codes = batch.gaps.clamp(0, 8).floor().long()
    assert len(set(codes.tolist())) == 9
    start = default_width(7) + default_width(4)
    assert torch.equal(embedding(batch)[:, start : start + 3], embedding.gap_table.weight[codes])


def test_gaps_are_clipped_on_both_sides() -> None:
    batch = batch_of([ROWS[0]])
    embedding = EventEmbedding(SCHEMA.fields, width=8, max_time_gap=4.0).eval()
    gaps = torch.tensor([0, 3, 0.5, 100, 0.5, 1, 1, 1, 1])
    clipped = torch.tensor([0, 3, 0.5, 4, 0.5, 1, 1, 1, 1])
    back = torch.tensor([0, 3, -1.0, 4, 0.5, 1, 1, 1, 1])
    zero = torch.tensor([0, 3, 0.0, 4, 0.5, 1, 1, 1, 1])
    found = [embedding(dataclasses.replace(batch, gaps=g)) for g in (gaps, clipped, back, zero)]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[2], found[3])
    assert not torch.equal(found[0], found[2])


def test_the_block_is_two_layers_with_a_batch_norm() -> None:
    embedding = EventEmbedding(SCHEMA.fields, width=8)
    found = embedding(batch_of(ROWS)).detach().double().numpy()
    inputs = inputs_of(embedding, batch_of(ROWS)).detach().double().numpy()
    first, _, _, last = embedding.block
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    assert first.bias is None
    hidden = inputs @ first.weight.detach().double().numpy().T
    hidden = np.maximum((hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5), 0)
    wanted = hidden @ last.weight.detach().double().numpy().T + last.bias.detach().double().numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_fields_of_one_kind_are_enough() -> None:
    categories = EventEmbedding(SCHEMA.categorical, width=4)
    numbers = EventEmbedding([Field("score", "numerical")], width=4)
    for embedding in (categories, numbers):
        vectors = embedding(batch_of(ROWS))
        assert vectors.shape == (61, 4)
        assert vectors.isfinite().all()


@pytest.mark.parametrize(("size", "columns"), [(3, 3), (10, 6), (100, 21), (10_002, 64)])
def test_default_widths(size: int, columns: int) -> None:
    assert default_width(size) == columns


@pytest.mark.parametrize("wrong", [[800], 5, [0, 4], [8.5, 2], "800,16"])
def test_a_gap_table_is_rows_and_columns(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"gap_table=.*such as \[800,16\]"):
        EventEmbedding(SCHEMA.fields, gap_table=wrong)


def test_table_widths_for_unknown_fields() -> None:
    with pytest.raises(ValueError, match=r"'shop'.*'owner', 'type'"):
        EventEmbedding(SCHEMA.fields, table_widths={"shop": 3})


@pytest.mark.parametrize("gap_table", [None, (5, 3)])
def test_a_number_is_multiplied_by_a_vector_of_its_category(
    gap_table: tuple[int, int] | None,
) -> None:
    """Only "a.b" has a category, "type"; where it is missing its columns are zero."""
    torch.manual_seed(0)
    embedding = EventEmbedding(SCHEMA.fields, width=0, by_width=2, gap_table=gap_table)
    assert len(embedding.slopes) == 1
    batch = batch_of(ROWS)
    found = embedding(batch)
    tables = default_width(7) + default_width(4) + (3 if gap_table else 0)
    value = found[:, tables + 2 + (gap_table is None)]
    slope = embedding.slopes[0](batch.fields["type"])
    torch.testing.assert_close(found[:, tables : tables + 2], value[:, None] * slope)
    missing = np.isnan(column(ROWS, "a.b"))
    assert missing.any()
    assert not found[:, tables : tables + 2][torch.from_numpy(missing)].any()
    assert value[torch.from_numpy(~missing)].std() > 0.5
