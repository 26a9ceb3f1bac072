"""Batch norm of known values, with the statistics of the whole batch.

`torch.nn.BatchNorm1d` cannot leave out missing values, and `torch.nn.SyncBatchNorm` works on GPUs
alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grap_seq.distributed import summed, world_size


class BatchNorm(nn.BatchNorm1d):
    """`nn.BatchNorm1d` for inputs (N, C); N may differ between processes, and be zero."""

    def forward(self, input: Tensor, missing: Tensor | None = None) -> Tensor:
        """Normalised values, shape (N, C).

        Args:
            input: shape (N, C).
            missing: values that take no part in the statistics and become the mean, shape (N, C),
                bool; None: none.
        """
        if not self.training:
            assert self.running_mean is not None
            if missing is not None:
                input = torch.where(missing, self.running_mean.to(input.dtype), input)
            return super().forward(input)
        if missing is None and world_size() == 1:
            return super().forward(input)
        # float32 also under bf16; float64 stays what it is.
        dtype = torch.promote_types(input.dtype, torch.float32)
        values, known = input.to(dtype), None
        if missing is not None:
            known = (~missing).to(dtype)
            values = torch.where(missing, 0.0, values)
        counts = values.new_full((1, values.shape[1]), len(values))
        if known is not None:
            counts = known.sum(0, keepdim=True)
        sums = summed(torch.cat([values.sum(0, keepdim=True), counts]))
        count = sums[1].detach().clamp(min=1)
        mean = sums[0] / count
        # Not E[x^2] - E[x]^2: the difference of large numbers would be noise.
        centred = values - mean
        if known is not None:
            centred = centred * known
        variance = summed(centred.square().sum(0)) / count
        self._track(mean.detach(), variance.detach(), sums[1].detach())
        normal = centred * (variance + self.eps).rsqrt()
        scaled = normal * self.weight
        return (scaled if self.bias is None else scaled + self.bias).to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics of columns that have two known values or more."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        share = self.momentum * (count > 1)
        unbiased = variance * count / (count - 1).clamp(min=1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share.to(self.running_mean.dtype))
        self.running_var.lerp_(
            unbiased.to(self.running_var.dtype), share.to(self.running_var.dtype)
        )
        self.num_batches_tracked += 1
