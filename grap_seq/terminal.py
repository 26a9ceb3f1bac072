"""What a terminal shows is plain text, whatever names, labels and paths hold.

Rich reads [markup] and :emoji: in text, and a terminal obeys escape codes. Data may have either.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from time import monotonic
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Progress, ProgressColumn, Task, TextColumn
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
# Everything that is said goes through it: to the screen, and to the log of a run.
LOG = logging.getLogger("grap_seq")
# Seconds between two lines about progress where there is no terminal to draw in.
MINUTE = 60.0


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


class Screen(logging.Handler):
    """Prints what is said, unwrapped, so that what is copied from it is whole.

    Attributes:
        quiet: keep the last sentence instead, until the command ends.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.quiet = False
        self._last: RenderableType | None = None

    def emit(self, record: logging.LogRecord) -> None:
        # A message may be anything that Rich can draw.
        message: Any = record.msg
        if self.quiet:
            self._last = message
        else:
            Terminal().print(message, soft_wrap=True)

    @contextmanager
    def of_command(self, *, quiet: bool, verbose: bool) -> Iterator[None]:
        """Print less, or more, while a command runs."""
        self.quiet, self._last = quiet, None
        self.setLevel(logging.DEBUG if verbose else logging.INFO)
        try:
            yield
            if self._last is not None:
                Terminal().print(self._last, soft_wrap=True)
        finally:
            self.quiet = False
            self.setLevel(logging.INFO)


SCREEN = Screen()
LOG.setLevel(logging.DEBUG)
LOG.propagate = False
LOG.addHandler(SCREEN)


def say(*lines: RenderableType) -> None:
    """Tell the user, and the log of the run."""
    for line in lines:
        LOG.info(line)


def detail(text: str) -> None:
    """Tell the log of the run; with `-v` the user too."""
    LOG.debug(text)


def plain(message: RenderableType) -> str:
    """What the screen would show, as text."""
    file = io.StringIO()
    Terminal(file=file, width=100).print(message, soft_wrap=True)
    return file.getvalue()


class Bars(Progress):
    """Progress bars in a terminal; elsewhere a line a minute."""

    def __init__(self, *columns: ProgressColumn, transient: bool) -> None:
        console = Terminal()
        self._drawn, self._told = console.is_terminal, monotonic()
        super().__init__(
            *columns,
            console=console,
            transient=transient,
            refresh_per_second=10 if self._drawn else 1,
            disable=SCREEN.quiet,
        )

    def get_renderable(self) -> RenderableType:
        # Rich's thread comes here, whether or not the stage itself gets on.
        if not self._drawn and monotonic() - self._told >= MINUTE:
            self._told = monotonic()
            say(*(_progress_of(task) for task in self.tasks if not task.finished))
        return super().get_renderable()

    def stop(self) -> None:
        # Rich's own puts an empty line behind it in a file.
        self.live.stop()


def _progress_of(task: Task) -> str:
    """Such as "reading: 3 of 7, 120 s"."""
    seconds = f"{task.elapsed or 0:.0f} s"
    if task.total is None:
        return f"{task.description}: {seconds}"
    return f"{task.description}: {task.completed:,.0f} of {task.total:,.0f}, {seconds}"


def progress(*columns: ProgressColumn, transient: bool = True) -> Progress:
    """A progress bar whose tasks have plain descriptions; by default with Rich's own columns."""
    shown = columns or Progress.get_default_columns()[1:]
    description = TextColumn("{task.description}", markup=False)
    return Bars(description, *shown, transient=transient)
