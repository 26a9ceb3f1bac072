"""Which device a model works on, as `device=` says it."""

from __future__ import annotations

import torch

from grap_seq.settings import AUTO


def device_of(name: str | torch.device = AUTO) -> torch.device:
    """The device of a name.

    Args:
        name: auto, for a GPU where there is one; cpu; cuda; or a certain GPU such as cuda:1. Any
            other device of PyTorch is taken as it is.

    Raises:
        ValueError: a GPU is asked for and PyTorch finds none, or not this one.
    """
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if isinstance(name, str) and name == AUTO:
        return torch.device("cuda" if found else "cpu")
    device = torch.device(name)
    if device.type != "cuda":
        return device
    if not found:
        built = (
            ""
            if torch.version.cuda
            else f"; this PyTorch, {torch.__version__}, is one without CUDA"
        )
        raise ValueError(
            f"device={device}: PyTorch finds no GPU on this machine{built}. Use device=cpu, or"
            " device=auto for a GPU where there is one"
        )
    if device.index is not None and device.index >= found:
        last = "cuda:0" if found == 1 else f"cuda:0 to cuda:{found - 1}"
        raise ValueError(f"device={device}: PyTorch finds {found} GPUs here; use {last}")
    return device


def set_threads(threads: int | None) -> None:
    """Use this many CPU threads; None leaves PyTorch's choice."""
    if threads is not None:
        torch.set_num_threads(threads)


def seed_draws(seed: int, device: torch.device) -> None:
    """Seed what draws numbers on the CPU and on a device, in every step.

    `torch.manual_seed` seeds every kind of device that PyTorch knows; for those that are not in use
    it writes down the call stack, which takes half a millisecond in a step of training.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
