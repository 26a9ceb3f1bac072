"""Embeddings of event sequences, pretrained with many losses that learn their own weights.

>>> import grap_seq
>>> prepared = grap_seq.prepare(events, id="customer", time="bought", ...)    # doctest: +SKIP
>>> run = grap_seq.pretrain(prepared)                                         # doctest: +SKIP
>>> grap_seq.evaluate(run)                                                    # doctest: +SKIP
>>> vectors = grap_seq.load(run).embed(new_events)                            # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Evaluation",
    "EventEmbedder",
    "Prepared",
    "Report",
    "Run",
    "States",
    "__version__",
    "embed",
    "evaluate",
    "finetune",
    "load",
    "nest",
    "predict",
    "prepare",
    "pretrain",
    "report",
    "suggest",
    "tune",
]

if TYPE_CHECKING:
    from grap_seq.api.embedder import EventEmbedder, nest
    from grap_seq.api.functions import (
        embed,
        evaluate,
        finetune,
        predict,
        prepare,
        pretrain,
        report,
        suggest,
        tune,
    )
    from grap_seq.api.results import Evaluation, Prepared, Report, Run
    from grap_seq.evaluation.load import load
    from grap_seq.evaluation.states import States

# PyTorch takes seconds to import: everything waits until someone asks for it. What is not named
# here is a function of the API.
_ELSEWHERE = {
    "EventEmbedder": "grap_seq.api.embedder",
    "nest": "grap_seq.api.embedder",
    **dict.fromkeys(("Evaluation", "Prepared", "Report", "Run"), "grap_seq.api.results"),
    "load": "grap_seq.evaluation.load",
    "States": "grap_seq.evaluation.states",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'grap_seq' has no attribute {name!r}")
    return getattr(import_module(_ELSEWHERE.get(name, "grap_seq.api.functions")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
