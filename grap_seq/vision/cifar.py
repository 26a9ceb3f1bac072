"""CIFAR-10 and CIFAR-100, the binary version: records of labels and 3 x 32 x 32 bytes.

Source: https://www.cs.toronto.edu/~kriz/cifar.html. The Python version is pickles, which can run
code when they are read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from grap_seq.prep.read.archives import contents
from grap_seq.vision.images import Images

# Files and how many images each has; the last one is the test split.
CIFAR10 = dict.fromkeys([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"], 10_000)
CIFAR100 = {"train.bin": 50_000, "test.bin": 10_000}
SHAPE = (3, 32, 32)
# Of the Python version: none of these names is in the binary one.
PICKLED = {"data_batch_1", "batches.meta", "train", "test", "meta"}


def cifar10(source: Path) -> tuple[Images, Images]:
    """50,000 training and 10,000 test images in 10 classes.

    Args:
        source: `cifar-10-binary.tar.gz`, or the folder `cifar-10-batches-bin` that is in it.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the Python version, or a file that is damaged.
    """
    return _read(source, CIFAR10, "batches.meta.txt", (0,), "cifar-10-binary.tar.gz")


def cifar100(source: Path, label: str = "fine") -> tuple[Images, Images]:
    """50,000 training and 10,000 test images in 100 classes, or in 20 coarse ones.

    Args:
        source: `cifar-100-binary.tar.gz`, or the folder `cifar-100-binary` that is in it.
        label: "fine" or "coarse".

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the Python version, a file that is damaged, or another label.
    """
    if label not in ("fine", "coarse"):
        raise ValueError(f"data.reader.label={label}: write fine or coarse")
    order = (0, 1) if label == "coarse" else (1, 0)
    return _read(source, CIFAR100, f"{label}_label_names.txt", order, "cifar-100-binary.tar.gz")


def _read(
    source: Path, sizes: Mapping[str, int], names: str, labels: tuple[int, ...], archive: str
) -> tuple[Images, Images]:
    """Both splits.

    Args:
        source: archive or folder.
        sizes: images of every file.
        names: the file with the names of classes.
        labels: bytes of a record that are labels; the first one is chosen.
        archive: where all of this is from.
    """
    remedy = f"download {archive} from https://www.cs.toronto.edu/~kriz/cifar.html"
    files = _files(source, [*sizes, names], remedy)
    classes = tuple(files[names].decode("utf-8", "replace").split())
    parts = []
    for name, images in sizes.items():
        width = len(labels) + math.prod(SHAPE)
        if len(files[name]) != images * width:
            raise ValueError(
                f"{source}: {name} has {len(files[name]):,} bytes, and {images:,} images have"
                f" {images * width:,}: it is damaged; {remedy}"
            )
        records = np.frombuffer(files[name], np.uint8).reshape(images, width)
        if (found := records[:, labels[0]].max()) >= len(classes):
            raise ValueError(
                f"{source}: a label in {name} is {found}, and {names} names {len(classes)}"
                f" classes: one of them is damaged; {remedy}"
            )
        parts.append(records)
    first, second = (
        Images(
            torch.from_numpy(records[:, len(labels) :].reshape(-1, *SHAPE).copy()),
            records[:, labels[0]].astype(np.int64),
            classes,
        )
        for records in (np.concatenate(parts[:-1]), parts[-1])
    )
    return first, second


def _files(source: Path, wanted: list[str], remedy: str) -> dict[str, bytes]:
    """Contents of the wanted files by name."""
    if source.is_dir():
        there = {path.name for path in source.iterdir() if path.is_file()}
        found = {name: (source / name).read_bytes() for name in wanted if name in there}
    else:
        members = {PurePosixPath(name).name: data for name, data in contents(source, remedy)}
        there, found = set(members), {name: members[name] for name in wanted if name in members}
    if missing := [name for name in wanted if name not in there]:
        if PICKLED & there:
            raise ValueError(
                f"{source} is the Python version, pickles, which can run code and are not read;"
                f" {remedy}"
            )
        raise FileNotFoundError(f"{source} has no {', '.join(missing)}; {remedy}")
    return found
