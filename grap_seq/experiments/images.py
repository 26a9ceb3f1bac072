"""Which images there are for the paper's Table 3."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from grap_seq import choices
from grap_seq.vision.readers import BUILT_IN


def on_disk(data: Path) -> list[str]:
    """The image datasets that are in a folder, each by its name, or come with a package."""
    return [name for name in choices.names("data") if name in BUILT_IN or (data / name).exists()]


def check_images(datasets: Sequence[str], data: Path) -> None:
    """Raise FileNotFoundError for images that are not there; it says where they belong."""
    missing = [name for name in datasets if name not in on_disk(data)]
    if missing:
        raise FileNotFoundError(
            f"no {', '.join(missing)} in {data}: put the images there under that name, folder,"
            " archive or link (docs/vision.md), name the folder that has them with data=, or leave"
            " out datasets= for all that are there"
        )
