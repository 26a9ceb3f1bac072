"""Omniglot: characters of many alphabets, each drawn by 20 people; 105 x 105 pixels of one bit.

Source: https://github.com/brendenlake/omniglot (MIT), `python/images_*.zip`, whose members are
`images_*/ALPHABET/characterNN/NNNN_DRAWER.png`.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from grap_seq.prep.read.archives import contents
from grap_seq.terminal import say
from grap_seq.vision.images import DAMAGED, Images, pixels_of

MEMBER = re.compile(r"(?:.*/)?([^/]+)/(character\d+)/\d+_(\d+)\.png")
# The drawers of a character up to this one are training's.
TRAINING = 16
REMEDY = "download images_background_small1.zip from https://github.com/brendenlake/omniglot"


def read(
    source: Path, size: int = 28, label: str = "alphabet", strict: bool = True
) -> tuple[Images, Images]:
    """Images of drawers 1 to 16, and of 17 to 20, as grey images: ink is 255 and paper 0.

    Args:
        source: a zip of images, or a folder with one.
        size: S: they are made smaller, to so many pixels both ways.
        label: "alphabet", or "character", which is another in each alphabet.
        strict: refuse damaged images; else they are left out and counted.

    Raises:
        ValueError: no such zip, an image that is damaged, or another label.
    """
    if label not in ("alphabet", "character"):
        raise ValueError(f"data.reader.label={label}: write alphabet or character")
    if source.is_dir():
        source = _only_zip(source)
    if source.suffix != ".zip":
        raise ValueError(f"{source} is no zip; {REMEDY}")
    drawn: list[tuple[int, str, Tensor]] = []
    damaged = 0
    for name, content in contents(source, REMEDY):
        if not (found := MEMBER.fullmatch(name)):
            continue
        try:
            pixels = _ink(content, size)
        except DAMAGED as error:
            if strict:
                raise ValueError(
                    f"{source}: {name} is no image that can be read ({error}); {REMEDY}, or leave"
                    " such images out (data.reader.strict=false)"
                ) from error
            damaged += 1
            continue
        alphabet, character, drawer = found.groups()
        of_class = alphabet if label == "alphabet" else f"{alphabet}/{character}"
        drawn.append((int(drawer), of_class, pixels))
    if damaged:
        say(f"{source}: {damaged:,} damaged images are left out.")
    train, val = ([d for d in drawn if (d[0] <= TRAINING) == first] for first in (True, False))
    if not train or not val:
        raise ValueError(
            f"{source} has {len(train):,} images of drawers 1 to {TRAINING} and {len(val):,} of"
            f" others, named ALPHABET/characterNN/NNNN_DRAWER.png; {REMEDY}"
        )
    classes = tuple(sorted({of_class for _, of_class, _ in drawn}))
    return _images(train, classes), _images(val, classes)


def _only_zip(folder: Path) -> Path:
    found = sorted(folder.glob("*.zip"))
    if len(found) != 1:
        raise ValueError(f"{folder} has {len(found)} zip files, and one is wanted; {REMEDY}")
    return found[0]


def _images(drawn: list[tuple[int, str, Tensor]], classes: tuple[str, ...]) -> Images:
    codes = {name: code for code, name in enumerate(classes)}
    labels = np.array([codes[of_class] for _, of_class, _ in drawn], np.int64)
    return Images(torch.stack([pixels for *_, pixels in drawn]), labels, classes)


def _ink(content: bytes, size: int) -> Tensor:
    with Image.open(io.BytesIO(content)) as image:
        # A mean of the pixels that are merged: one bit each becomes grey.
        small = image.convert("L").resize((size, size), Image.Resampling.BOX)
    return 255 - pixels_of(small, 1)
