"""Forward and backward pass of a GRU over packed rows on a CPU (Cho et al. 2014, as in cuDNN).

torch's own spends half its time outside matrix products: it makes a dozen small tensors a step and
keeps them. Here one product a step is left, which the recurrence needs. All other products, the
input's and those of the weights' gradients, are made for blocks of many steps at once.

Shapes: N events, D input width, H state width, R rows. A row of gates (4H) holds the candidate's
input part, reset, update and the candidate's recurrent part, in this order: the first three are
what the input is projected to, the last three what the state is projected to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Events of a block: enough for products at full speed, few enough to stay in the cache.
BLOCK = 1024


class GRURecurrence(torch.autograd.Function):
    """States (N, H) from the arguments of `run_forward` behind the first; once differentiable.

    Keeps the gates, (N, 4H), besides its input and output.
    """

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        x_ND, weight_ih, weight_hh, _, _, initial, ctx.sizes, ctx.product_dtype = arguments
        states, gates = run_forward(True, *arguments)
        ctx.save_for_backward(x_ND, weight_ih, weight_hh, initial, states, gates)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        with torch.autocast("cpu", enabled=False):
            return run_backward(ctx, gradient)


def run_forward(
    keep_gates: bool,
    x_ND: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    initial: Tensor | None,
    sizes: list[int],
    product_dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """States (N, H), and gates after their activations: (N, 4H) or those of the last block."""
    H = weight_hh.shape[1]
    input_weight = _candidate_first(weight_ih).to(product_dtype).t()
    state_weight = weight_hh.to(product_dtype).t()
    bias = torch.cat([bias_ih[2 * H :], bias_ih[: 2 * H] + bias_hh[: 2 * H], bias_hh[2 * H :]])
    states = weight_hh.new_empty(len(x_ND), H)
    gates = weight_hh.new_empty(len(x_ND) if keep_gates else _largest(sizes), 4 * H)
    state = initial
    for steps, events in _blocks(sizes):
        rows = sizes[steps]
        block = gates[events] if keep_gates else gates[: sum(rows)]
        block.copy_(bias)
        _add_product(block[:, : 3 * H], x_ND[events], input_weight)
        for projected, sigmoids, candidate, reset, update, recurrent, new_state in zip(
            torch.split(block[:, H:], rows),
            torch.split(block[:, H : 3 * H], rows),
            *(torch.split(gate, rows) for gate in block.view(-1, 4, H).unbind(1)),
            torch.split(states[events], rows),
            strict=True,
        ):
            if state is None:
                state = torch.zeros_like(new_state)
            else:
                state = state[: len(new_state)]
                _add_product(projected, state, state_weight)
            sigmoids.sigmoid_()
            candidate.addcmul_(reset, recurrent).tanh_()
            state = torch.lerp(candidate, state, update, out=new_state)
    return states, gates


def run_backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    """Gradients of the recurrence's inputs from that of its states, (N, H)."""
    x_ND, weight_ih, weight_hh, initial, states, gates = ctx.saved_tensors
    needs_x, needs_weight_ih, needs_weight_hh, *needs_bias = ctx.needs_input_grad[:5]
    needs_initial = ctx.needs_input_grad[5]
    H, sizes, dtype = weight_hh.shape[1], ctx.sizes, ctx.product_dtype
    input_weight, state_weight = _candidate_first(weight_ih).to(dtype), weight_hh.to(dtype)
    d_x = torch.zeros_like(x_ND) if needs_x else None
    d_weight_ih = torch.zeros_like(weight_ih) if needs_weight_ih else None
    d_weight_hh = torch.zeros_like(weight_hh) if needs_weight_hh else None
    d_bias = weight_hh.new_zeros(4 * H)
    d_previous: Tensor | None = None
    # The states before each step.
    previous = [weight_hh.new_zeros(sizes[0], H) if initial is None else initial]
    previous += [s[:n] for s, n in zip(torch.split(states, sizes), sizes[1:], strict=False)]
    # One buffer for all blocks: fresh pages cost more than what is written into them.
    buffer = weight_hh.new_empty(_largest(sizes), 4 * H)
    for steps, events in reversed(list(_blocks(sizes))):
        rows = sizes[steps]
        before = torch.cat(previous[steps])
        d_gates = buffer[: sum(rows)]
        _derivatives(gates[events], before, d_gates)
        d_states = torch.split(gradient[events].clone(memory_format=torch.contiguous_format), rows)
        if d_previous is not None:
            d_states[-1][: len(d_previous)].add_(d_previous)
        update = torch.split(gates[events, 2 * H : 3 * H], rows)
        each_gate = torch.split(d_gates.view(-1, 4, H), rows)
        projected = torch.split(d_gates[:, H:], rows)
        for step in reversed(range(len(rows))):
            d_state = d_states[step]
            each_gate[step].mul_(d_state[:, None])
            if step:
                d_previous = d_states[step - 1][: rows[step]].addcmul_(d_state, update[step])
            elif steps.start or needs_initial:
                d_previous = d_state * update[step]
            else:
                break
            _add_product(d_previous, projected[step], state_weight)
        if d_x is not None:
            _add_product(d_x[events], d_gates[:, : 3 * H], input_weight)
        if d_weight_ih is not None:
            _add_product(d_weight_ih, d_gates[:, : 3 * H].t(), x_ND[events].to(dtype))
        if d_weight_hh is not None:
            _add_product(d_weight_hh, d_gates[:, H:].t(), before.to(dtype))
        if any(needs_bias):
            d_bias += d_gates.sum(0)
    return (
        d_x,
        None if d_weight_ih is None else _candidate_last(d_weight_ih),
        d_weight_hh,
        _candidate_last(d_bias[: 3 * H]) if needs_bias[0] else None,
        d_bias[H:] if needs_bias[1] else None,
        d_previous if needs_initial else None,
        None,
        None,
    )


def _derivatives(gates: Tensor, previous: Tensor, out: Tensor) -> None:
    """Derivatives of states by their gates before activation, (N, 4H) into `out`.

    state = candidate + update * (previous - candidate), where
    candidate = tanh(its input part + reset * its recurrent part).
    """
    candidate, reset, update, recurrent = gates.view(len(gates), 4, -1).unbind(1)
    by_candidate, by_reset, by_update, by_recurrent = out.view(len(out), 4, -1).unbind(1)
    aten, scratch = torch.ops.aten, 1 - update
    aten.tanh_backward(scratch, candidate, grad_input=by_candidate)
    torch.mul(by_candidate, reset, out=by_recurrent)
    torch.mul(by_candidate, recurrent, out=scratch)
    aten.sigmoid_backward(scratch, reset, grad_input=by_reset)
    torch.sub(previous, candidate, out=scratch)
    aten.sigmoid_backward(scratch, update, grad_input=by_update)


def _add_product(out: Tensor, a: Tensor, b: Tensor) -> None:
    """out += a b, multiplied in the dtype of `b`."""
    if a.dtype == b.dtype == out.dtype:
        # Not addmm_, which torch.utils.flop_counter does not count.
        torch.addmm(out, a, b, out=out)
    else:
        out.add_(a.to(b.dtype) @ b)


def _blocks(sizes: list[int]) -> Iterator[tuple[slice, slice]]:
    """Cut steps into blocks of at most `BLOCK` events, or one step: their steps, their events."""
    start = begin = end = 0
    for step, size in enumerate(sizes):
        if end > begin and end + size - begin > BLOCK:
            yield slice(start, step), slice(begin, end)
            start, begin = step, end
        end += size
    yield slice(start, len(sizes)), slice(begin, end)


def _largest(sizes: list[int]) -> int:
    """Events of the largest block."""
    return max(int(events.stop) - int(events.start) for _, events in _blocks(sizes))


def _candidate_first(weight: Tensor) -> Tensor:
    """Candidate, reset, update from torch's reset, update, candidate."""
    return weight.roll(len(weight) // 3, 0)


def _candidate_last(weight: Tensor) -> Tensor:
    return weight.roll(-(len(weight) // 3), 0)
