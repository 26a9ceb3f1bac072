"""Rows of different lengths in one flat list, and the two shapes that an encoder may want.

    rows          a0 a1 a2 | b0 | c0 c1          flat list, row by row: N events
    packed        a0 c0 b0 | a1 c1 | a2          by time step, longest row first: no padding
    rectangles    a0 a1 a2 ; c0 c1 . ; b0        rows of similar lengths side by side, padded

The indices between them are made once for a batch, on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ptls.data_load.padded_batch import PaddedBatch
from torch import Tensor

from grap_seq.block import Movable, sent

# Largest share of padded cells in a rectangle.
MAX_PADDING = 0.1
Lengths = NDArray[np.int64]


@dataclass(frozen=True)
class Packing:
    """Events ordered by time step.

    Attributes:
        order: flat position of every packed event, shape (N,).
        inverse: packed position of every event of the flat list, shape (N,).
        rows: rows from long to short, shape (R,).
        sizes: how many rows have a first, second, ... event.
    """

    order: Tensor
    inverse: Tensor
    rows: Tensor
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Rectangles:
    """Rows of similar lengths side by side; all rectangles' cells are numbered in one list.

    Attributes:
        cells: cell of every event of the flat list, shape (N,).
        rows: rows in the order of the rectangles, shape (R,).
        shapes: rows and longest length of each rectangle.
    """

    cells: Tensor
    rows: Tensor
    shapes: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """Number of cells, padded ones included."""
        return sum(rows * length for rows, length in self.shapes)


class Layout(Movable):
    """R rows one behind the other, N events together.

    Args:
        lengths: events of every row, at least 1, shape (R,).
        max_padding: largest share of padded cells in a rectangle; 1 makes one rectangle.

    Attributes:
        sizes: the lengths where the host can read them without waiting for a device.
        lengths: the same on the device, shape (R,).
        starts: flat position of every row's first event, shape (R,).
        ends: flat position of every row's last event, shape (R,).
        row: row of every event, shape (N,).
    """

    def __init__(self, lengths: Sequence[int] | Lengths, max_padding: float = MAX_PADDING) -> None:
        self.sizes: Lengths = np.asarray(lengths, np.int64)
        assert len(self.sizes) == 0 or self.sizes.min() > 0, "a row without events"
        self.max_padding = max_padding
        stops = np.cumsum(self.sizes)
        self.lengths = torch.from_numpy(self.sizes)
        self.ends = torch.from_numpy(stops - 1)
        self.starts = torch.from_numpy(stops - self.sizes)
        self.row = torch.from_numpy(np.repeat(np.arange(len(self.sizes)), self.sizes))

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def events(self) -> int:
        """N."""
        return int(self.sizes.sum())

    @property
    def device(self) -> torch.device:
        """Where the indices are."""
        return self.lengths.device

    @property
    def position(self) -> Tensor:
        """Number of every event in its row, from 0, shape (N,)."""
        return torch.arange(len(self.row), device=self.device) - self.starts[self.row]

    @cached_property
    def packing(self) -> Packing:
        """The events by time step."""
        rows, rank = self._by_length()
        ordered = self.sizes[rows]
        steps = int(ordered[0]) if len(ordered) else 0
        # Lengths fall: the rows with more than t events are the first ones.
        sizes = np.searchsorted(-ordered, -np.arange(steps), side="left")
        first = np.concatenate([[0], np.cumsum(sizes)])
        row = np.repeat(np.arange(len(self.sizes)), self.sizes)
        position = np.arange(len(row)) - np.repeat(np.cumsum(self.sizes) - self.sizes, self.sizes)
        inverse = first[position] + rank[row]
        order = np.empty_like(inverse)
        order[inverse] = np.arange(len(inverse))
        on = self._on_device
        return Packing(on(order), on(inverse), on(rows), tuple(sizes.tolist()))

    @cached_property
    def rectangles(self) -> Rectangles:
        """Rectangles of at most `max_padding` padding, long rows first."""
        rows, rank = self._by_length()
        ordered = self.sizes[rows]
        shapes = tuple(_shapes(ordered.tolist(), self.max_padding))
        # First cell of every row, in the order of the rectangles.
        widths = np.concatenate([[0], *(np.full(count, width) for count, width in shapes)])
        firsts = np.cumsum(widths)[:-1].astype(np.int64)
        offset = firsts[rank] - (np.cumsum(self.sizes) - self.sizes)
        cells = np.arange(self.events) + np.repeat(offset, self.sizes)
        return Rectangles(self._on_device(cells), self._on_device(rows), shapes)

    @property
    def padding(self) -> float:
        """Share of padded cells in the rectangles."""
        return 1 - self.events / self.rectangles.size

    def _by_length(self) -> tuple[Lengths, Lengths]:
        """Rows from long to short, and where each row stands among them."""
        rows = np.argsort(-self.sizes, kind="stable")
        rank = np.empty_like(rows)
        rank[rows] = np.arange(len(rows))
        return rows, rank

    def _on_device(self, values: NDArray[Any]) -> Tensor:
        return sent(torch.from_numpy(values), self.device)

    def pack(self, values: Tensor) -> Tensor:
        """Flat values (N, ...) in the order of time steps."""
        return _permuted(values, self.packing.order, self.packing.inverse)

    def unpack(self, values: Tensor) -> Tensor:
        """Packed values (N, ...) in the order of the flat list."""
        return _permuted(values, self.packing.inverse, self.packing.order)

    def pad(self, values: Tensor) -> list[Tensor]:
        """Flat values (N, ...) as rectangles (B, T, ...), zero where padded."""
        rectangles = self.rectangles
        cells = values.new_zeros(rectangles.size, *values.shape[1:])
        cells.index_copy_(0, rectangles.cells, values)
        parts = torch.split(cells, [rows * length for rows, length in rectangles.shapes])
        return [
            part.view(*shape, *values.shape[1:])
            for part, shape in zip(parts, rectangles.shapes, strict=True)
        ]

    def flatten(self, parts: Sequence[Tensor]) -> Tensor:
        """Rectangles (B, T, ...) as flat values (N, ...)."""
        cells = torch.cat([part.flatten(0, 1) for part in parts])
        return take(cells, self.rectangles.cells)

    def by_rectangle(self, *values: Tensor) -> Iterator[tuple[PaddedBatch, ...]]:
        """Flat values as `PaddedBatch`es of pytorch-lifestream, one of each for a rectangle."""
        counts = [rows for rows, _ in self.rectangles.shapes]
        lengths = torch.split(self.lengths[self.rectangles.rows], counts)
        for size, *parts in zip(lengths, *(self.pad(value) for value in values), strict=True):
            yield tuple(PaddedBatch(part, size) for part in parts)

    def prepare(self) -> Layout:
        """Make all indices now, where a loader's worker has the time."""
        _ = self.packing, self.rectangles
        return self

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Layout:
        copy = object.__new__(Layout)
        for name, value in self.__dict__.items():
            if isinstance(value, Packing):
                moved = (change(value.order), change(value.inverse), change(value.rows))
                value = Packing(*moved, value.sizes)
            elif isinstance(value, Rectangles):
                value = Rectangles(change(value.cells), change(value.rows), value.shapes)
            elif isinstance(value, Tensor):
                value = change(value)
            copy.__dict__[name] = value
        return copy


def _shapes(ordered: list[int], max_padding: float) -> Iterator[tuple[int, int]]:
    """Rows and longest length of the rectangles of rows whose lengths fall."""
    rows = longest = events = 0
    for length in ordered:
        cells = (rows + 1) * longest
        if rows and 1 - (events + length) / cells <= max_padding:
            rows, events = rows + 1, events + length
            continue
        if rows:
            yield rows, longest
        rows, longest, events = 1, length, length
    if rows:
        yield rows, longest


class _Permute(torch.autograd.Function):
    """Rows in another order; the backward pass is a look-up too, not a sum over an index."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return values.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        return grad.index_select(0, inverse), None, None


class _Take(torch.autograd.Function):
    """Rows at distinct positions; the backward pass copies instead of adding up."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, positions: Tensor) -> Tensor:
        ctx.save_for_backward(positions)
        ctx.shape = values.shape
        return values.index_select(0, positions)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (positions,) = ctx.saved_tensors
        return grad.new_zeros(ctx.shape).index_copy_(0, positions, grad), None


def _permuted(values: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    # torch declares Function.apply without types.
    result: Tensor = _Permute.apply(values, order, inverse)  # type: ignore[no-untyped-call]
    return result


def take(values: Tensor, positions: Tensor) -> Tensor:
    """Rows (P, ...) of values (N, ...) at distinct positions (P,)."""
    # torch declares Function.apply without types.
    result: Tensor = _Take.apply(values, positions)  # type: ignore[no-untyped-call]
    return result
