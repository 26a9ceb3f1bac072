"""The data sets that can be read: a config's `reader.name` is one of these names."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from grap_seq.names import nearest
from grap_seq.vision import cifar, digits, folders, omniglot
from grap_seq.vision.images import Images

READERS: dict[str, Callable[..., tuple[Images, Images]]] = {
    "cifar10": cifar.cifar10,
    "cifar100": cifar.cifar100,
    "folders": folders.read,
    "omniglot": omniglot.read,
}
# Their images come with a package.
BUILT_IN: dict[str, Callable[..., tuple[Images, Images]]] = {"digits": digits.read}


def read(name: str, source: str | None = None, **options: Any) -> tuple[Images, Images]:
    """Training and validation images of a data set.

    Args:
        name: its reader.
        source: folder or file that they are in; None: they come with a package.
        options: the reader's own.

    Raises:
        ValueError: another name, packages of [vision] are not installed, no source or one too many,
            fewer than two classes, or as the reader says.
        FileNotFoundError: no such source, or not all of it.
    """
    if find_spec("kornia") is None:
        raise ValueError("images need kornia; run `pip install 'grap-seq[vision]'`")
    if name in BUILT_IN:
        if source is not None:
            raise ValueError(f"{name} comes with scikit-learn; take source={source} away")
        splits = BUILT_IN[name](**options)
    elif name not in READERS:
        raise ValueError(f"data.reader.name={name}: {nearest(name, [*READERS, *BUILT_IN])}")
    elif source is None:
        raise ValueError(f"{name} needs source=..., the folder or file that its images are in")
    elif not Path(source).exists():
        raise FileNotFoundError(f"source={source}: there is no such file or folder")
    else:
        splits = READERS[name](Path(source), **options)
    if len(splits[0].classes) < 2:
        raise ValueError(
            f"all images are of one class ({splits[0].classes[0]}), and a classifier needs two or"
            " more; a folder for each class belongs into train/"
        )
    return splits
