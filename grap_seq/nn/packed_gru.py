"""A GRU layer over rows of any lengths without padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from grap_seq.nn.gru_recurrence import GRURecurrence, run_forward

PARAMETERS = "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"


def packed_gru(
    x_ND: Tensor, sizes: Sequence[int], rnn: nn.GRU, initial: Tensor | None = None
) -> Tensor:
    """States of all events, the same as `rnn` computes on a `PackedSequence`.

    Args:
        x_ND: events by step, (N, D): the first of every row, longest row first, then the second
            of every row that has one, and so on.
        sizes: rows alive at each step, non-increasing, of sum N.
        rnn: one layer, one direction, with biases.
        initial: state before the first step, (R, H) or (1, R, H), or None for zeros.

    Returns:
        States (N, H) in the order of `x_ND`, in the dtype of the parameters also under autocast. On
        a CPU that lowers the precision of products only, and a second derivative is not available.
        Elsewhere see `library_gru`.
    """
    assert rnn.num_layers == 1
    assert rnn.bias
    assert not rnn.bidirectional
    assert not rnn.proj_size
    assert sum(sizes) == len(x_ND) > 0
    if initial is not None:
        initial = initial.reshape(sizes[0], rnn.hidden_size)
    if x_ND.device.type != "cpu":
        return library_gru(x_ND, sizes, rnn, initial)
    weights: list[Tensor] = [getattr(rnn, name) for name in PARAMETERS]
    lowered = torch.is_autocast_enabled("cpu")
    product_dtype = torch.get_autocast_dtype("cpu") if lowered else weights[0].dtype
    needs_gradient = torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in (x_ND, *weights, initial)
    )
    arguments: tuple[Any, ...] = (x_ND, *weights, initial, list(sizes), product_dtype)
    with torch.autocast("cpu", enabled=False):
        if needs_gradient:
            states: Tensor = GRURecurrence.apply(*arguments)  # type: ignore[no-untyped-call]
        else:
            states, _ = run_forward(False, *arguments)
    return states


def library_gru(x_ND: Tensor, sizes: Sequence[int], rnn: nn.GRU, initial: Tensor | None) -> Tensor:
    """The same by PyTorch's own GRU, which is cuDNN's on a GPU.

    Autocast is off: it gives a recurrent network float16 whatever dtype was asked for, and of the
    gradients of many events nearly all are too small for that. TF32 products are a setting of
    cuDNN: see `EachProcess`.
    """
    weight: Tensor = getattr(rnn, PARAMETERS[0])
    with torch.autocast(x_ND.device.type, enabled=False):
        packed = nn.utils.rnn.PackedSequence(x_ND.to(weight.dtype), torch.tensor(sizes))
        states: Tensor = rnn(packed, None if initial is None else initial[None])[0].data
    return states
