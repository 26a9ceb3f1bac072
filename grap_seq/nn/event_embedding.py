"""One vector per event: category tables, numbers, missing flags and the time gap, concatenated.

Protocol: numbers and the gap through batch norm; before a recurrent encoder the tables' columns
too, then Linear - BN - ReLU - Linear. A missing number counts for no statistic and becomes the
mean; a flag that says so is put in behind all normalisation, where training had missing values: a
flag that hardly ever varies would come out of a batch norm some hundred deviations high.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from grap_seq.nn.batch_norm import BatchNorm
from grap_seq.schema import Field

# Prepared numbers are standardised: what lies farther out is no measurement.
EXTREME = 1e4


@dataclass(frozen=True)
class Number:
    """What training data say about a numerical field: its range as prepared, and any gaps in it."""

    low: float = -EXTREME
    high: float = EXTREME
    missing: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for model.json."""
        return asdict(self)


def _is_shape(value: Any) -> bool:
    """Whether a value is two whole numbers above zero."""
    return (
        isinstance(value, Sequence)
        and len(value) == 2
        and all(isinstance(size, int) and size > 0 for size in value)
    )


def default_width(size: int) -> int:
    """Columns of a category table with `size` codes: 1.6 size^0.56, at most 64."""
    return int(min(64, round(1.6 * size**0.56)))


class Events(Protocol):
    """Fields (N,) by name and time gaps (N,), as a `Batch` has them."""

    @property
    def fields(self) -> dict[str, Tensor]: ...

    @property
    def gaps(self) -> Tensor: ...


class EventEmbedding(nn.Module):
    """Fields of a batch to event vectors.

    Args:
        fields: the schema's fields.
        width: D, width of an event's vector; 0 for the columns as they are, without the block.
        max_time_gap: gaps to the previous event are clipped to this, in the schema's time unit.
        table_widths: columns of category tables that should differ from `default_width`.
        numbers: what is known about numerical fields; new values are clipped to their range.
        normalize: without a block, bring numbers and the gap through batch norm.
        gap_table: whole gaps as categories: rows and columns of their table; None: as a number.
        by_width: columns of a number times a learned vector of its category, for fields with `by`;
            0: none. A mean over events then holds sums by category.

    Attributes:
        width: D.
        inputs: C, columns of tables, numbers and flags side by side.

    Raises:
        ValueError: `table_widths` names something that is no categorical field, or `gap_table` is
            no pair of whole numbers above zero.
    """

    low: Tensor  # (numbers,)
    high: Tensor  # (numbers,)
    flagged: Tensor  # (flags,) numbers that have a missing flag

    def __init__(
        self,
        fields: Sequence[Field],
        width: int = 128,
        max_time_gap: float = 8.0,
        table_widths: Mapping[str, int] | None = None,
        *,
        numbers: Mapping[str, Number] | None = None,
        normalize: bool = True,
        gap_table: tuple[int, int] | None = None,
        by_width: int = 0,
    ) -> None:
        super().__init__()
        widths = dict(table_widths or {})
        # A list: a ModuleDict refuses names such as "type" or "a.b".
        self.categories: list[str] = []
        self.tables = nn.ModuleList()
        columns = 0
        for field in fields:
            if field.kind == "categorical":
                assert field.size is not None
                self.categories.append(field.name)
                size = widths.pop(field.name, default_width(field.size))
                self.tables.append(nn.Embedding(field.size, size))
                columns += size
        if widths:
            raise ValueError(
                f"table_widths names {sorted(widths)}, which are not categorical fields;"
                f" those are {sorted(self.categories)}"
            )
        if gap_table is not None and not _is_shape(gap_table):
            raise ValueError(
                f"gap_table={gap_table}: give the rows and columns of a table, such as [800,16], or"
                " null for a gap that is a number"
            )
        self.max_time_gap = max_time_gap
        self.gap_table = nn.Embedding(gap_table[0], gap_table[1]) if gap_table else None
        columns += self.gap_table.embedding_dim if self.gap_table else 0
        self.numbers = [field.name for field in fields if field.kind == "numerical"]
        sizes = {field.name: field.size or 0 for field in fields}
        # A number's column among the scalars, and the category that it is of.
        self.by: list[tuple[int, str]] = []
        self.slopes = nn.ModuleList()
        for index, field in enumerate(f for f in fields if f.kind == "numerical"):
            if field.by and by_width:
                self.by.append((index + (gap_table is None), field.by))
                self.slopes.append(nn.Embedding(sizes[field.by], by_width))
                columns += by_width
        known = [(numbers or {}).get(name, Number()) for name in self.numbers]
        # Written down in the model's description, not in its parameters.
        self.register_buffer("low", torch.tensor([n.low for n in known]), persistent=False)
        self.register_buffer("high", torch.tensor([n.high for n in known]), persistent=False)
        flagged = [index for index, number in enumerate(known) if number.missing]
        # A list as an index would be copied to a GPU in every step, which waits for it.
        self.register_buffer("flagged", torch.tensor(flagged, dtype=torch.int64), persistent=False)
        scalars = len(self.numbers) + (0 if self.gap_table else 1)
        # No bias: the next layer takes it out again, or has one of its own.
        normed = scalars if normalize or width else 0
        self.scalar_norm = BatchNorm(normed, bias=False) if normed else None
        self.inputs = columns + scalars + len(flagged)
        self.width = width or self.inputs
        self.table_norm = BatchNorm(columns, bias=False) if width and columns else None
        self.block = nn.Sequential()
        if width:
            self.block.extend(
                [
                    nn.Linear(self.inputs, width, bias=False),
                    BatchNorm(width),
                    nn.ReLU(),
                    nn.Linear(width, width),
                ]
            )

    def forward(self, batch: Events) -> Tensor:
        """Vectors of all events, shape (N, D)."""
        vectors: Tensor = self.block(self.columns(batch))
        return vectors

    def columns(self, batch: Events) -> Tensor:
        """What the block reads of all events, normalised, shape (N, C)."""
        columns = [
            table(batch.fields[name])
            for name, table in zip(self.categories, self.tables, strict=True)
        ]
        gaps = batch.gaps.clamp(0.0, self.max_time_gap)
        numbers = self.values(batch)
        missing = numbers.isnan()
        flags = missing.index_select(1, self.flagged).to(numbers.dtype)
        if self.gap_table is None:
            numbers = torch.cat([gaps[:, None], numbers], dim=1)
            missing = torch.cat([torch.zeros_like(gaps, dtype=torch.bool)[:, None], missing], dim=1)
        else:
            columns.append(self.gap_table(gaps.long().clamp(max=self.gap_table.num_embeddings - 1)))
        if self.scalar_norm is not None:
            numbers = self.scalar_norm(numbers, missing)
        else:
            # Prepared numbers have a mean of zero.
            numbers = torch.where(missing, 0.0, numbers)
        for (index, by), slope in zip(self.by, self.slopes, strict=True):
            columns.append(numbers[:, index, None] * slope(batch.fields[by]))
        tables = torch.cat(columns, dim=1) if columns else numbers[:, :0]
        if self.table_norm is not None:
            tables = self.table_norm(tables)
        return torch.cat([tables, numbers, flags], dim=1)

    def values(self, batch: Events) -> Tensor:
        """Numerical fields inside their range, NaN where missing, shape (N, numbers)."""
        if not self.numbers:
            return batch.gaps.new_zeros(len(batch.gaps), 0)
        values = torch.stack([batch.fields[name] for name in self.numbers], dim=1)
        return values.clamp(self.low, self.high)
