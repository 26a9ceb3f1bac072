"""Pages from templates, and figures in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from grap_seq import __version__
from grap_seq.report.style import NARROW, WIDE, svg
from grap_seq.terminal import LAYOUT, visible


def render(template: str, **content: Any) -> str:
    """A page; text of the user's stays text, with control characters spelt out."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: visible(value, LAYOUT) if isinstance(value, str) else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content, version=__version__)


def images(draw: Callable[[float], Figure]) -> dict[str, str]:
    """A figure drawn for a page and for a phone, as data URIs."""
    return {"wide": svg(draw(WIDE)), "narrow": svg(draw(NARROW))}
