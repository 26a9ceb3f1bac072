"""A device that is none: what a GPU would wait for, seen on a CPU.

Tensors "on" it are wrappers around ordinary ones, and every operation on them comes by here. So
code takes the ways that it takes on a GPU, tensors of two devices in one operation are refused as
CUDA refuses them, and whatever makes the host wait for the device is written down with the line
that asked for it:

- values that Python wants: `item`, `bool`, `tolist`, `cpu`, `numpy`, `equal`;
- results whose shape depends on values: `nonzero`, a boolean index, `unique`, `masked_select`,
  `repeat_interleave` without an output size;
- copies to the device that are blocking, or from memory that is not pinned, such as
  `torch.tensor([...], device=...)`.

What happens inside a CUDA kernel is not seen; a profiler on a GPU has the last word.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import lightning
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from grap_seq.weighting.base import Weighting

NAME = "pretended"
PACKAGE = Path(__file__).resolve().parents[1] / "grap_seq"
aten = torch.ops.aten
# By the names of operations without their overloads.
READS = {"_local_scalar_dense", "is_nonzero", "equal", "allclose"}
SHAPES = {
    *("nonzero", "masked_select", "unique_consecutive", "unique_dim", "_unique", "_unique2"),
    *("bincount", "histc", "tensor_split"),
}
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
# Their results, or their errors, are looked at on the host.
LINEAR_ALGEBRA = {"_linalg_eigh", "_linalg_svd", "linalg_cholesky_ex", "linalg_inv_ex"}
COPIES = {"_to_copy", "copy_", "copy", "_foreach_copy_"}


def _gru_cell(
    x: Tensor, h: Tensor, state: Tensor, b_x: Tensor | None = None, b_h: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    x, h = (gates if b is None else gates + b for gates, b in ((x, b_x), (h, b_h)))
    (x_r, x_z, x_n), (h_r, h_z, h_n) = x.chunk(3, 1), h.chunk(3, 1)
    reset, update = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
    new = (x_n + reset * h_n).tanh()
    return new + update * (state - new), torch.cat([reset, update, new, state, h_n], 1)


def _gru_cell_backward(
    gradient: Tensor, workspace: Tensor, has_bias: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
    reset, update, new, state, h_n = workspace.chunk(5, 1)
    d_update = gradient * (state - new) * (1 - update) * update
    d_new = gradient * (1 - update) * (1 - new * new)
    d_reset = d_new * h_n * (1 - reset) * reset
    d_x = torch.cat([d_reset, d_update, d_new], 1)
    d_h = torch.cat([d_reset, d_update, d_new * reset], 1)
    biases = (d_x.sum(0), d_h.sum(0)) if has_bias else (None, None)
    return d_x, d_h, gradient * update, *biases


# What a CPU has no kernel for.
OURS: dict[str, Callable[..., Any]] = {
    "_thnn_fused_gru_cell": _gru_cell,
    "_thnn_fused_gru_cell_backward": _gru_cell_backward,
}


@dataclass(frozen=True)
class Wait:
    """The host waits for the device.

    Attributes:
        operation: such as "nonzero", or "copy to the device".
        line: file and number of the innermost line of `grap_seq`, else of the caller.
    """

    operation: str
    line: str

    def __str__(self) -> str:
        return f"{self.line}: {self.operation}"


class _Module(backend_registration._DummyBackendModule):
    """What PyTorch asks a device type for."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    # Its random numbers are the host's.
    def get_rng_state(self, device: Any = None) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)


class Remote(Tensor):
    """A tensor on the pretended device; `host` has its values."""

    host: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, host: Tensor) -> Remote:
        made: Remote = torch.Tensor._make_wrapper_subclass(
            cls,
            host.size(),
            strides=host.stride(),
            storage_offset=host.storage_offset(),
            dtype=host.dtype,
            device=torch.device(NAME, 0),
        )
        made.host = host
        return made

    def tolist(self) -> Any:
        # PyTorch refuses it for a class of its own.
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Tensor:
        raise RuntimeError(f"{func} of a tensor on a device that is no longer pretended")


def _empty_strided(size: Any, stride: Any, **options: Any) -> Tensor:
    return Remote(torch.empty_strided(size, stride, dtype=options.get("dtype")))


def _copy_from(source: Tensor, target: Remote, non_blocking: bool = False) -> Tensor:
    """What `torch.tensor(list, device=...)` and an index by a list come to."""
    assert not isinstance(source, Remote)
    Pretended.entered[-1]._wait("copy to the device")
    target.host.copy_(source)
    return target


def _register() -> None:
    """Make the device type known; it stays so as long as the process lives."""
    if torch._C._get_privateuse1_backend_name() == NAME:
        return
    backend_registration._setup_privateuseone_for_python_backend(NAME, _Module())
    # PyTorch makes a tensor of a list without asking the mode.
    library: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    library.impl("empty_strided", _empty_strided, "PrivateUse1")
    library.impl("_copy_from", _copy_from, "PrivateUse1")
    Pretended.library = library


class Pretended(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered there is a device "pretended:0".

    Attributes:
        device: the device.
        waits: all of them, in their order.
    """

    entered: ClassVar[list[Pretended]] = []
    library: ClassVar[Any] = None

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        _register()
        self.device = torch.device(NAME, 0)
        self.waits: list[Wait] = []
        # Storages of pinned memory, which live as long as this.
        self._pinned: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        remote = [isinstance(tensor, Remote) for tensor in tensors]
        target = kwargs.get("device")
        here = any(remote) if target is None else torch.device(target).type == NAME
        if name in ("_pin_memory", "pin_memory"):
            return self._pin(tensors[0].clone())
        if name == "is_pinned":
            return tensors[0].untyped_storage()._cdata in self._pinned
        pinned = kwargs.pop("pin_memory", False)
        if any(remote) or here:
            self._note(func, name, args, kwargs, tensors, here)
        result = self._on_host(func, args, kwargs, here)
        return self._pin(result) if pinned else result

    def _pin(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self._pinned[storage._cdata] = storage
        return tensor

    def _on_host(self, func: Any, args: Any, kwargs: Any, here: bool) -> Any:
        wrappers: dict[int, Remote] = {}

        def unwrapped(value: Any) -> Any:
            if isinstance(value, Remote):
                wrappers[id(value.host)] = value
                return value.host
            if isinstance(value, torch.device) and value.type == NAME:
                return torch.device("cpu")
            return value

        def wrapped(value: Any) -> Any:
            if not isinstance(value, Tensor) or not here:
                return value
            # What was written in place stays the object that it was.
            return wrappers[id(value)] if id(value) in wrappers else Remote(value)

        if torch.Tag.inplace_view in func.tags:
            # The wrapper's shape changes too.
            with no_dispatch():
                func(*args, **kwargs)
        args, kwargs = tree_map(unwrapped, (args, kwargs))
        result = OURS.get(func.overloadpacket.__name__, func)(*args, **kwargs)
        if func.overloadpacket.__name__ == "_to_copy" and result is args[0]:
            result = result.clone()
        return tree_map(wrapped, result)

    def _note(
        self, func: Any, name: str, args: Any, kwargs: Any, tensors: list[Tensor], here: bool
    ) -> None:
        """Write down a wait; refuse tensors of two devices."""
        remote = [isinstance(tensor, Remote) for tensor in tensors]
        if name in COPIES:
            self._note_copy(name, args, kwargs, here)
        elif name in READS | SHAPES | LINEAR_ALGEBRA or (
            name == "repeat_interleave" and kwargs.get("output_size") is None
        ):
            self._wait(name)
        elif name in INDEXED:
            indices = [index for index in args[1] if index is not None]
            if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
                self._wait("boolean index")
            if not all(isinstance(index, Remote) for index in indices):
                self._wait("index on the host")
        elif not all(r or not t.dim() for r, t in zip(remote, tensors, strict=True)) and here:
            shapes = [f"{tuple(t.shape)} on {t.device}" for t in tensors]
            raise RuntimeError(f"{func}: tensors are on two devices: {', '.join(shapes)}")

    def _note_copy(self, name: str, args: Any, kwargs: Any, here: bool) -> None:
        if name == "_to_copy":
            pairs, blocking = [(here, args[0])], not kwargs.get("non_blocking", False)
        else:
            to, source = (x if isinstance(x, (list, tuple)) else [x] for x in args[:2])
            pairs = [(isinstance(t, Remote), s) for t, s in zip(to, source, strict=True)]
            blocking = not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
        for onto, source in pairs:
            if isinstance(source, Remote) and not onto:
                self._wait("copy to the host")
            elif onto and not isinstance(source, Remote):
                pinned = source.untyped_storage()._cdata in self._pinned
                if blocking or not pinned:
                    self._wait("copy to the device")

    def _wait(self, operation: str) -> None:
        self.waits.append(Wait(operation, _line()))


def _line() -> str:
    """The innermost line of the package; outside of it, of whoever is no part of PyTorch."""
    frame, outside = sys._getframe(1), ""
    while frame is not None:
        path, number = Path(frame.f_code.co_filename), frame.f_lineno
        if path.is_relative_to(PACKAGE):
            return f"{path.relative_to(PACKAGE.parent)}:{number}"
        if not outside and "torch" not in path.parts and path != Path(__file__):
            outside = f"{path.name}:{number}"
        frame = frame.f_back  # type: ignore[assignment]
    return outside


@contextmanager
def pretended() -> Iterator[Pretended]:
    """The device; backward passes are in this thread, where lines can be told."""
    threads = torch.autograd.set_multithreading_enabled(False)
    # Wrappers cannot be written to in inference mode.
    inference = mock.patch.object(torch, "inference_mode", torch.no_grad)
    with threads, inference, Pretended() as device:
        Pretended.entered.append(device)
        try:
            yield device
        finally:
            Pretended.entered.pop()


class Steps(lightning.Callback):
    """Where among the device's waits each step begins: before its batch is copied to it."""

    def __init__(self, device: Pretended) -> None:
        self.device, self.begins = device, [len(device.waits)]

    def on_train_batch_end(self, *args: Any) -> None:
        self.begins.append(len(self.device.waits))

    def waits(self) -> list[list[Wait]]:
        """Those of every step."""
        pairs = zip(self.begins, self.begins[1:], strict=False)
        return [self.device.waits[begin:end] for begin, end in pairs]


class _Accelerator(CPUAccelerator):
    """For Lightning: a device of a type that it does not know."""

    def setup_device(self, device: torch.device) -> None:
        assert device.type == NAME


class OnPretended(SingleDeviceStrategy):
    """For `lightning.Trainer`: trains on the device, and leaves the model there.

    An optimiser holds the loss weights, which therefore stay one object when they are moved. The
    data of an ordinary tensor cannot be replaced by a wrapper's, so they are moved here.
    """

    def __init__(self, device: Pretended) -> None:
        super().__init__(device.device, _Accelerator())

    def model_to_device(self) -> None:
        assert self.model is not None
        for part in self.model.modules():
            if isinstance(part, Weighting):
                part.weights = part.weights.to(self.root_device)
        super().model_to_device()

    def teardown(self) -> None:
        pass
