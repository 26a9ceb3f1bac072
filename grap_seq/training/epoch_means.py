"""Means over all entries of an epoch: events, pairs or labels, of all batches and processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grap_seq.distributed import summed, world_size


class EpochMeans:
    """Accumulates values that are means over a batch, weighted by their numbers of entries.

    Of W processes, process r has a total t_r over c_r entries, and its value is its share
    v_r = W t_r / sum(c), see `grap_seq.objectives.means`: the batch's mean is the mean of the v_r.
    No process knows t_r without the others' counts, so both numbers wait until the epoch's end,
    where one sum over processes gives them for all batches, and

        mean = sum over batches (sum_r v_r / W) (sum_r c_r) / sum over batches (sum_r c_r),

    which is the total of all entries over their number. Of a value that every process computes of
    the whole batch, such as CoLES, each counts one W-th of the entries.

    Until then nothing waits for the device.

    Args:
        finite_only: leave out a batch's values that are not finite, those of a refused update.

    Attributes:
        names: of the values.
        first: their means over the first batch that has finite ones; empty before it.
    """

    def __init__(self, finite_only: bool = False) -> None:
        self.finite_only = finite_only
        self.names: tuple[str, ...] = ()
        self.first: dict[str, float] = {}
        self._sums: NDArray[np.float64] = np.zeros((2, 0))
        self._waiting: list[Tensor] = []

    def add(self, values: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> None:
        """One more batch, which has the same names as every other.

        Args:
            values: this process's share of the batch's means, shape () each.
            counts: number of this process's entries in each of them, shape ().
        """
        if not self.names:
            self.names, self._sums = tuple(values), np.zeros((2, len(values)))
        assert self.names == tuple(values)
        shares = torch.stack([values[name].detach() for name in self.names])
        entries = torch.stack([counts[name] for name in self.names])
        self._waiting.append(torch.stack([shares.double(), entries.double()]))

    def fold(self) -> None:
        """Take in the batches that wait; every process comes here after the same batch."""
        if not self._waiting:
            return
        batches = summed(torch.stack(self._waiting)).cpu().numpy()
        # One after the other: rounding does not depend on where an epoch was interrupted.
        for shares, entries in batches:
            means, known = shares / world_size(), np.isfinite(shares)
            if known.all() and not self.first:
                self.first = dict(zip(self.names, means.tolist(), strict=True))
            if self.finite_only:
                means, entries = np.where(known, means, 0), np.where(known, entries, 0)
            self._sums += np.stack([means * entries, entries])
        self._waiting = []

    def means(self) -> dict[str, float]:
        """Mean of every value; NaN where it had no entry. Every process has to ask."""
        self.fold()
        totals, counts = self._sums
        means = np.divide(totals, counts, out=np.full(len(totals), np.nan), where=counts > 0)
        return dict(zip(self.names, means.tolist(), strict=True))

    def totals(self) -> dict[str, float]:
        """Sum of every value's entries. Every process has to ask."""
        self.fold()
        return dict(zip(self.names, self._sums[0].tolist(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        """The sums of an unfinished epoch, the same in all processes, each of which has to ask."""
        self.fold()
        return {"names": list(self.names), "sums": self._sums.tolist(), "first": self.first}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the epoch of a `state_dict`."""
        self.names, self.first, self._waiting = tuple(state["names"]), state["first"], []
        self._sums = np.array(state["sums"]).reshape(2, len(self.names))
