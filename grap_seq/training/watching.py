"""Callbacks of who calls a command in Python, for the run that it trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from lightning.pytorch.callbacks import Callback

_watching: ContextVar[tuple[Callback, ...]] = ContextVar("watching", default=())


@contextmanager
def watching(callback: Callback) -> Iterator[None]:
    """Give a callback to the runs that are trained inside, behind those that score their epochs."""
    token = _watching.set((*_watching.get(), callback))
    try:
        yield
    finally:
        _watching.reset(token)


def watchers() -> tuple[Callback, ...]:
    """The callbacks that a run gets."""
    return _watching.get()
