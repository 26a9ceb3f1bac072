"""The backbone of a finished run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from grap_seq import seal
from grap_seq.evaluation.origin import REMEDY
from grap_seq.evaluation.parameters import fill, read
from grap_seq.nn.build import allow
from grap_seq.vision.backbone import build_backbone


def load(
    run: str | PathLike[str], allow_classes: Iterable[str] = ()
) -> tuple[nn.Module, dict[str, Any]]:
    """The trained backbone of a run of `grap-seq vision`, in evaluation mode.

    Args:
        run: its folder, which is data: no code of its own is run.
        allow_classes: dotted paths of backbones of your own that the run may name; they stay
            allowed in this process.

    Returns:
        A module from normalised images (B, C, S, S) to features (B, D); and what it was trained
        with: `size` S, `channels` C, `mean` and `std` of every channel of pixels in [0, 1], and
        names of `classes`.

    Raises:
        FileNotFoundError: there is no finished run.
        ValueError: a file is damaged, the run names a class that is not allowed, or it is one of
            event sequences.

    Example:
        >>> backbone, about = grap_seq.vision.load("runs/digits_convnet_grap")  # doctest: +SKIP
        >>> features = backbone(torch.rand(2, about["channels"], 16, 16))  # doctest: +SKIP
    """
    allow(*allow_classes)
    folder = Path(run)
    if not (folder / "model.json").is_file():
        raise FileNotFoundError(f"{folder} is no finished run; make one with `grap-seq vision`")
    about = json.loads(seal.check(folder, "model.json", REMEDY).read_text("utf-8"))
    if "backbone" not in about:
        raise ValueError(f"{folder} is a run of event sequences: open it with grap_seq.load")
    backbone, _ = build_backbone(about["backbone"], about["channels"], about["size"])
    fill(backbone, read(folder, "model.safetensors", about["weights"]), folder)
    return backbone.eval(), about
