"""A folder of images for each class, as ImageNet-100 has it: train/CLASS/*.jpg, val/CLASS/*.jpg."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from grap_seq.terminal import say
from grap_seq.vision.images import Files, Images

ENDINGS = {".jpg", ".jpeg", ".png"}


def read(source: Path, channels: int = 3, strict: bool = True) -> tuple[Images, Images]:
    """Images that are decoded when they are asked for, which may have many sizes.

    Args:
        source: holds `train`, and `val` or `test`, with a folder of images for each class.
        channels: 3: red, green and blue; 1: grey.
        strict: refuse a damaged image when it is asked for; else every image is decoded once here,
            and damaged ones are left out and named.

    Raises:
        FileNotFoundError: a split is missing.
        ValueError: a split without images, or with a class that training has not.
    """
    folder = source / ("test" if not (source / "val").is_dir() else "val")
    for wanted in (source / "train", folder):
        if not wanted.is_dir():
            raise FileNotFoundError(
                f"{source} needs the folders train and val (or test), with a folder of images for"
                f" each class in them; there is no {wanted.name}"
            )
    classes = _classes(source / "train")
    if strange := set(_classes(folder)) - set(classes):
        raise ValueError(
            f"{folder} has classes that training has not: {', '.join(sorted(strange)[:5])}; move"
            " them to train, or take them away"
        )
    train, val = (_split(one, classes, channels, strict) for one in (source / "train", folder))
    return train, val


def _classes(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))


def _split(folder: Path, classes: tuple[str, ...], channels: int, strict: bool) -> Images:
    found = [
        (path.relative_to(folder).as_posix(), code)
        for code, name in enumerate(classes)
        for path in sorted((folder / name).glob("**/*"))
        if path.suffix.lower() in ENDINGS
    ]
    if not strict:
        found = [one for one in found if _is_readable(Files(folder, [one[0]], channels))]
    if not found:
        raise ValueError(
            f"{folder} has no images that can be read (.jpg, .jpeg or .png) in folders of classes,"
            f" such as {folder.name}/cat/one.jpg"
        )
    labels = np.array([code for _, code in found], np.int64)
    return Images(Files(folder, [name for name, _ in found], channels), labels, classes)


def _is_readable(file: Files) -> bool:
    try:
        file[0]
    except ValueError as error:
        say(f"Left out: {error}")
        return False
    return True
