"""Embeddings of event sequences, pretrained with many losses that learn their own weights.

>>> import grap_seq
>>> model = grap_seq.load("runs/flights_gru_grap")    # doctest: +SKIP
>>> vectors = model.embed(events)                     # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "load"]

if TYPE_CHECKING:
    from grap_seq.evaluation.model import load


def __getattr__(name: str) -> Any:
    # PyTorch takes seconds to import: wait until someone asks for a model.
    if name == "load":
        from grap_seq.evaluation.model import load

        return load
    raise AttributeError(f"module 'grap_seq' has no attribute {name!r}")
