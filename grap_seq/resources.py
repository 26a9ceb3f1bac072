"""Where the shipped configs and recipes lie.

In a checkout they are top-level folders; a wheel carries them inside the package.
"""

from __future__ import annotations

from pathlib import Path


def folder(name: str) -> Path:
    """Folder `configs` or `data_prep`, installed or in the checkout."""
    package = Path(__file__).resolve().parent
    installed = package / name
    return installed if installed.is_dir() else package.parent / name
