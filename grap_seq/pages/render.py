"""Pages from templates, and figures in them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from grap_seq import __version__
from grap_seq.pages.style import NARROW, WIDE, svg
from grap_seq.pages.told import ToldFigure
from grap_seq.terminal import LAYOUT, visible

FOLDER = Path(__file__).parent


def render(template: str, **content: Any) -> str:
    """A page; text of the user's stays text, with control characters spelt out.

    A browser runs the page's own script and no other, and fetches nothing: the page says so to it.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        finalize=lambda value: visible(value, LAYOUT) if isinstance(value, str) else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (FOLDER / "hover.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        **content,
        version=__version__,
        style=Markup((FOLDER / "page.css").read_text("utf-8")),
        script=Markup(script),
        script_hash=digest,
    )


def images(draw: Callable[[float], ToldFigure]) -> dict[str, Any]:
    """A figure drawn for a page and for a phone, as data URIs, with what is said of its points."""
    figures = {"wide": draw(WIDE), "narrow": draw(NARROW)}
    drawn = {width: svg(figure) for width, figure in figures.items()}
    return {**drawn, "told": {width: figure.told() for width, figure in figures.items()}}
