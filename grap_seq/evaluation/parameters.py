"""Parameters in a run: safetensors, sealed, finite, and known to model.json by their hash."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from safetensors.torch import save as serialize
from torch import nn

from grap_seq import seal
from grap_seq.evaluation.origin import REMEDY
from grap_seq.files import sha256


def write(module: nn.Module, run: Path, name: str) -> str:
    """Write a module's parameters into a run; returns the file's SHA-256.

    Raises:
        ValueError: a parameter is not finite.
    """
    tensors = {key: tensor.contiguous() for key, tensor in module.state_dict().items()}
    _check_finite(tensors, run)
    with seal.write(run, name) as temporary:
        # Not by save_file, whose file nobody else may read, whatever the user's umask says.
        temporary.write_bytes(serialize(tensors))
    return sha256(run / name)


def read(run: Path, name: str, expected: str) -> dict[str, torch.Tensor]:
    """The parameters in a file of a run.

    Args:
        run: the run.
        name: of the file in it.
        expected: SHA-256 that model.json has.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: it is damaged, of another model, or has a parameter that is not finite.
    """
    path = seal.check(run, name, REMEDY)
    if expected != sha256(path):
        raise ValueError(f"{run}/model.json belongs to other weights than {name}; {REMEDY}")
    tensors: dict[str, torch.Tensor] = load_file(path)
    _check_finite(tensors, run)
    return tensors


def fill(module: nn.Module, tensors: Mapping[str, torch.Tensor], run: Path) -> None:
    """Give a module the parameters of a run.

    Raises:
        ValueError: it has others.
    """
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(
            f"{run} was trained by another version of grap_seq, whose models have other"
            " parameters; train it again, or install that version"
        ) from error


def _check_finite(tensors: Mapping[str, torch.Tensor], run: Path) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(
                f"the model of {run} is of no use: its parameter '{name}' is not finite; train it"
                " again, with a lower lr"
            )
