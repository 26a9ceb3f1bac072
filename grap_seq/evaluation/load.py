"""The model of a run, from a folder or from the hub."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import torch

from grap_seq.device import device_of
from grap_seq.evaluation.model import EmbeddingModel
from grap_seq.evaluation.save import WEIGHTS
from grap_seq.hub.address import is_repository
from grap_seq.nn.build import allow
from grap_seq.settings import AUTO


def load(
    run: str | PathLike[str],
    allow_classes: Iterable[str] = (),
    *,
    device: str | torch.device = AUTO,
    revision: str | None = None,
    warm: bool = True,
) -> EmbeddingModel:
    """The embedding model of a run folder, or of a repository of the Hugging Face hub.

    Args:
        run: a folder written by `grap-seq pretrain`, or "owner/name" of a model that was pushed. A
            folder wins, and where `owner` is a folder here the hub is not asked. Both are data: no
            code of theirs is run.
        allow_classes: dotted paths of encoders of your own that the run may name; they stay allowed
            in this process.
        device: where it works: auto for a GPU where there is one, cpu, cuda, cuda:1, ...
        revision: of a repository: a branch, tag or commit; None: the newest.
        warm: whether to get ready for raw events now, which takes half a second; otherwise the
            first `embed` does.

    Raises:
        ConnectionError: the hub cannot be reached, and the model is not in its cache.
        FileNotFoundError: the folder holds no finished run, or the repository no model.
        ValueError: a file of the run is damaged or of another run, another version made it, it
            names a class that is not allowed, a parameter is not finite, or there is no such
            device.
    """
    allow(*allow_classes)
    place = device_of(device)
    folder = Path(run)
    if isinstance(run, str) and is_repository(run):
        from grap_seq.hub.fetch import fetch

        folder = fetch(run, revision)
    for name in (WEIGHTS, "model.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} holds no finished run (no {name}); make it with"
                " `grap-seq pretrain run=...`, or continue an interrupted one with resume=true"
            )
    model = EmbeddingModel(folder, place)
    if warm:
        model.warm()
    return model
