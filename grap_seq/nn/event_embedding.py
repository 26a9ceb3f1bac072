"""One vector per event: category tables, numbers, missing flags and the time gap, concatenated.

Everything works on the valid events alone, gathered from all rectangles of a batch: batch norm
sees no padding, and no cell of padding is computed. Protocol: numbers through one batch norm, then,
before a recurrent encoder, BN - Linear - BN - ReLU - Linear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from ptls.data_load.padded_batch import PaddedBatch
from torch import Tensor, nn

from grap_seq.nn.batch_norm import BatchNorm
from grap_seq.nn.positions import flatten, time_gaps, unflatten
from grap_seq.schema import Field


def default_width(size: int) -> int:
    """Columns of a category table with `size` codes: 1.6 size^0.56, at most 64."""
    return int(min(64, round(1.6 * size**0.56)))


class EventEmbedding(nn.Module):
    """Payload of fields to vectors.

    Args:
        fields: the schema's fields.
        width: D, width of an event's vector; 0 for the columns as they are, without the block.
        max_time_gap: gaps to the previous event are clipped to this, in the schema's time unit.
        table_widths: columns of category tables that should differ from `default_width`.

    Attributes:
        width: D.

    Raises:
        ValueError: `table_widths` names something that is no categorical field.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        width: int = 128,
        max_time_gap: float = 8.0,
        table_widths: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        widths = dict(table_widths or {})
        # A list: a ModuleDict refuses names such as "type" or "a.b".
        self.categories: list[str] = []
        self.tables = nn.ModuleList()
        table_columns = []
        for field in fields:
            if field.kind == "categorical":
                assert field.size is not None
                columns = widths.pop(field.name, default_width(field.size))
                self.categories.append(field.name)
                self.tables.append(nn.Embedding(field.size, columns))
                table_columns.append(columns)
        if widths:
            raise ValueError(
                f"table_widths names {sorted(widths)}, which are not categorical fields;"
                f" those are {sorted(self.categories)}"
            )
        self.numbers = [field.name for field in fields if field.kind == "numerical"]
        self.max_time_gap = max_time_gap
        scalars = len(self.numbers) + 1
        inputs = scalars + len(self.numbers) + sum(table_columns)
        self.scalar_norm = BatchNorm(scalars)
        self.width = width or inputs
        self.block = nn.Sequential()
        if width:
            self.block.extend(
                [
                    BatchNorm(inputs),
                    nn.Linear(inputs, width, bias=False),
                    BatchNorm(width),
                    nn.ReLU(),
                    nn.Linear(width, width),
                ]
            )

    def forward(
        self, groups: Sequence[PaddedBatch], previous: Tensor | None = None
    ) -> list[PaddedBatch]:
        """Rectangles of fields to rectangles of vectors, payload (B, T, D), zero where padded.

        Args:
            groups: the batch.
            previous: time of the event before every row's first, shape (rows,), where it continues
                a sequence.
        """
        gaps = time_gaps(groups, previous).clamp(0, self.max_time_gap)
        values = [flatten(groups, name) for name in self.numbers]
        missing = [value.isnan() for value in values]
        scalars = torch.stack([gaps, *(value.nan_to_num(0.0) for value in values)], dim=1)
        parts = [
            table(flatten(groups, name))
            for name, table in zip(self.categories, self.tables, strict=True)
        ]
        parts.append(self.scalar_norm(scalars))
        parts += [flag[:, None].to(scalars.dtype) for flag in missing]
        vectors: Tensor = self.block(torch.cat(parts, dim=1))
        return unflatten(vectors, groups)
