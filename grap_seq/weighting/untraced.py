"""Functions that `torch.compile` leaves to Python, without its import before the first call."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch

Function = TypeVar("Function", bound=Callable[..., Any])


def untraced(function: Function) -> Function:
    """`torch.compiler.disable`, applied at the first call.

    Applied where the function is defined, it would load the compiler, which takes as long as torch
    itself, for everybody who imports the package.
    """
    disabled: Callable[..., Any] | None = None

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal disabled
        if disabled is None:
            # torch declares it without types.
            disabled = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
        return disabled(*arguments, **options)

    return cast(Function, call)
