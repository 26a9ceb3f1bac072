"""Batch norm with the statistics of the whole batch, of which every process has a part.

`torch.nn.SyncBatchNorm` does this on GPUs alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grap_seq.distributed import summed, world_size


class BatchNorm(nn.BatchNorm1d):
    """`nn.BatchNorm1d` for inputs (N, C); N may differ between processes, and be zero."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(input)
        values = input.float()
        sums = summed(torch.cat([values.sum(0), values.new_full((1,), len(values))]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        # Not E[x^2] - E[x]^2: the difference of large numbers would be noise.
        centred = values - mean
        variance = summed(centred.square().sum(0)) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1))
        normal = centred * (variance + self.eps).rsqrt()
        return (normal * self.weight + self.bias).to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1
