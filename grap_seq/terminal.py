"""What a terminal shows is plain text, whatever names, labels and paths hold.

Rich reads [markup] and :emoji: in text, and a terminal obeys escape codes. Data may have either.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Progress, ProgressColumn, TextColumn
from rich.segment import Segment

# Control characters, separators of lines, marks that turn the direction of what follows, and
# halves of characters, which stand for undecodable bytes in file names.
HIDDEN = (
    *range(0x20),
    *range(0x7F, 0xA0),
    *(0x61C, 0x200E, 0x200F),
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),
)
LAYOUT = "\n\t"


def visible(text: str, keep: str = "") -> str:
    """The text with every control character as Python writes it, such as `\\x1b` or `\\n`.

    Args:
        text: of data.
        keep: control characters that stay as they are, such as `LAYOUT` in text of many lines.
    """
    return text.translate(_spelled(keep))


@cache
def _spelled(keep: str) -> dict[int, str]:
    return {point: repr(chr(point))[1:-1] for point in HIDDEN if chr(point) not in keep}


class Terminal(Console):
    """A console for text that may be anybody's: no markup, no escape codes but its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            # Control segments are Rich's own: they move the cursor of a progress bar.
            yield Segment(text if control else visible(text, LAYOUT), style, control)


def say(*lines: RenderableType) -> None:
    """Print sentences, unwrapped, so that what is copied from them is whole."""
    for line in lines:
        Terminal().print(line, soft_wrap=True)


def progress(*columns: ProgressColumn, transient: bool = True) -> Progress:
    """A progress bar whose tasks have plain descriptions; by default with Rich's own columns."""
    shown = columns or Progress.get_default_columns()[1:]
    description = TextColumn("{task.description}", markup=False)
    return Progress(description, *shown, console=Terminal(), transient=transient)
