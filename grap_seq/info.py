"""`grap-seq --info`: what a report of an error should say of the place where it happened."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

from grap_seq import resources

# Of a requirement such as `optuna>=4; extra == "tune"`.
NAME, EXTRA = re.compile(r"[A-Za-z0-9._-]+"), re.compile(r"extra == ['\"]([\w-]+)['\"]")


def info() -> str:
    """Versions, what is missing of each extra, the machine, and where configs and recipes lie."""
    needed, extras = _requirements()
    lines = [f"grap-seq {version('grap-seq')}, Python {platform.python_version()}"]
    lines += [f"{platform.platform()}, {os.cpu_count()} cores", f"device: {_device()}"]
    lines += [
        f"configs: {resources.folder('configs')}",
        f"recipes: {resources.folder('data_prep')}",
    ]
    lines += ["", *(f"{name} {_version(name)}" for name in needed), ""]
    for extra, names in extras.items():
        missing = [name for name in names if _version(name) == ""]
        state = f"without {', '.join(missing)}" if missing else "installed"
        lines.append(f"grap-seq[{extra}]: {state}")
    return "\n".join(lines)


def _requirements() -> tuple[list[str], dict[str, list[str]]]:
    """Names of what is always needed, and of what each extra needs, as they are installed."""
    needed: list[str] = []
    extras: dict[str, list[str]] = {}
    for requirement in requires("grap-seq") or ():
        name, extra = NAME.match(requirement), EXTRA.search(requirement)
        assert name is not None, requirement
        if extra is None:
            needed.append(name[0])
        elif name[0] != "grap-seq":
            extras.setdefault(extra[1], []).append(name[0])
    return sorted(needed, key=str.lower), extras


def _version(name: str) -> str:
    """Nothing where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _device() -> str:
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    names = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
    return f"{', '.join(names)}, CUDA {torch.version.cuda}"
