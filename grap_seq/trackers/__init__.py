"""Experiment trackers that are told about a run beside its own files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

# The run's own metrics.csv and weights.parquet, which are written in every case.
CSV = "csv"
# Each is the name of its package and of grap_seq's extra.
PACKAGES = ("tensorboard", "mlflow", "wandb")
NAMES = (CSV, *PACKAGES)


def chosen(setting: str | Sequence[str]) -> tuple[str, ...]:
    """The trackers of a `tracker` setting, each once, beside the run's own files.

    Args:
        setting: one of `NAMES`, or several.

    Raises:
        ValueError: the package of one is not installed.
    """
    given = (setting,) if isinstance(setting, str) else setting
    names = tuple(dict.fromkeys(name for name in given if name != CSV))
    for name in names:
        found = find_spec(name)
        # A folder of the same name here, such as wandb's own, is a package to Python too.
        if found is None or found.origin is None:
            raise ValueError(
                f"tracker={name}: its package is not installed; pip install 'grap-seq[{name}]'"
            )
    return names
