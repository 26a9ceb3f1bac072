"""Which words name a model on the hub rather than a folder."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"


def is_repository(name: str) -> bool:
    """Whether it has the form "owner/name", and nothing on this disk speaks against it.

    A folder wins; and where `runs` is a folder here, `runs/shp` is a slip and no one's model.
    """
    form = re.fullmatch(REPOSITORY, name) is not None
    return form and not Path(name).exists() and not Path(name).parent.is_dir()
