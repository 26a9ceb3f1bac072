"""Parts of `gpu.py` about attention: its values, and rows of changing lengths."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import nullcontext
from unittest import mock

import torch
from torch import Tensor

from benchmarks import gpu_steps as steps
from benchmarks.gpu_bench import Bench, Row
from grap_seq.nn import attention
from grap_seq.nn.history_tokens import insert


def flexible(bench: Bench) -> Iterator[Row]:
    """FlexAttention's values and gradients against those of the mask, by the length of rows."""
    if bench.device.type != "cuda":
        return
    for length in (256, 1024, 4096):
        torch.manual_seed(0)
        after = torch.arange(9, length, 10)
        history = insert(after, length, "random").sent(bench.device)
        shape = (1, 4, length + len(after), 64)
        parts = [torch.randn(shape, device=bench.device) for _ in range(3)]
        way = torch.randn(shape, device=bench.device)
        answers = []
        for least in (0, 1 << 30):
            leaves = [part.clone().requires_grad_() for part in parts]
            with (
                mock.patch.object(attention, "FLEX_TOKENS", least),
                steps.rounded("float32", bench.device),
            ):
                query, key, value = leaves
                out = attention.attend(query, key, value, history)
                gradients = torch.autograd.grad(out, leaves, way)
            answers.append(torch.cat([x.detach().double().flatten() for x in (out, *gradients)]))
        error = steps.relative(*answers)
        yield {"flex_attention": length, "error": error, "bound": 1e-3, "ok": error <= 1e-3}


def ragged(bench: Bench) -> Iterator[Row]:
    """Attention forwards and backwards at lengths that differ, as they do from batch to batch."""
    lengths = (17, 29) if bench.quick else (301, 517, 640, 733, 811, 1001)
    for chosen in ("ours", "PyTorch's"):
        # Of the two, the second one finds everything else loaded.
        first, again = [], []
        least = mock.patch.object(attention, "_kernels", return_value=nullcontext())
        with nullcontext() if chosen == "ours" else least:
            for length in (lengths[0] - 1, *lengths):
                parts = torch.randn(3, 4, 4, length, 32, device=bench.device, dtype=torch.bfloat16)
                query, key, value = parts.requires_grad_().unbind()

                def both(q: Tensor = query, k: Tensor = key, v: Tensor = value) -> None:
                    torch.autograd.backward(attention.attend(q, k, v).sum(), retain_graph=True)

                first.append(steps.timed(both, bench.device))
                again.append(steps.timed(both, bench.device))
        row = {"choice": chosen, "lengths": len(lengths)}
        yield row | {
            "first_ms": statistics.median(first[1:]),
            "again_ms": statistics.median(again[1:]),
        }
