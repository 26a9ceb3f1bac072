"""What a value may be, as data: settings (`grap_seq.settings`) and descriptions of datasets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from os.path import isfile
from pathlib import Path
from typing import Any

from grap_seq.names import nearest

# What 32-bit integers and floats can hold: more is a slip, and overflows where nobody looks.
LARGEST, HUGE = 2**31 - 1, 1e30


@dataclass(frozen=True)
class Kind:
    """A kind of values.

    Attributes:
        says: what to write, for error messages.
        accepts: whether a value is one.
        null: null is one too, wherever it stands.
        as_typed: pattern of the text on a command line that is the value itself; other text is
            parsed as a number, a list and so on.
        words: all that there are, where they are few.
    """

    says: str
    accepts: Callable[[Any], bool]
    null: bool = False
    as_typed: str = r"(?!)"
    words: tuple[str, ...] = ()

    def check(self, what: str, value: Any) -> None:
        """Refuse another value.

        Raises:
            ValueError: `what`, then what to write.
        """
        if self.accepts(value) or (value is None and self.null):
            return
        if self.words and isinstance(value, str):
            raise ValueError(f"{what}: {nearest(value, self.words)}")
        raise ValueError(f"{what}: write {self.says}{' or null' if self.null else ''}")

    def or_null(self) -> Kind:
        return replace(self, null=True)

    def or_word(self, word: str) -> Kind:
        """The same, or one word instead."""
        return replace(
            self,
            says=f"{self.says}, or {word}",
            accepts=lambda value: value == word or self.accepts(value),
        )


def whole(low: int = 0, high: int = LARGEST) -> Kind:
    """Whole numbers in [low, high]."""
    return Kind(
        f"a whole number from {low} {_up_to(high, LARGEST)}",
        lambda value: type(value) is int and low <= value <= high,
    )


def number(
    low: float = -HUGE, high: float = HUGE, *, above: bool = False, below: bool = False
) -> Kind:
    """Numbers in [low, high], without `low` where they are above it, and `high` likewise."""
    first, last = "above " if above else "", "below " if below else ""
    return Kind(
        "a number"
        if low == -HUGE and high == HUGE
        else f"a number from {first}{low:g} {_up_to(high, HUGE, last)}",
        lambda value: (
            type(value) in (int, float)
            # No comparison holds for NaN.
            and low <= value <= high
            and not (above and value == low)
            and not (below and value == high)
        ),
    )


def _up_to(high: float, none: float, below: str = "") -> str:
    """End of a range; that of numbers as large as they can be is not said."""
    return "up" if high == none else f"to {below}{high if isinstance(high, int) else f'{high:g}'}"


def choice(*words: str) -> Kind:
    """One of some words."""
    return Kind(
        f"one of {', '.join(words)}",
        lambda value: isinstance(value, str) and value in words,
        words=words,
    )


def each(kind: Kind, size: int | None = None) -> Kind:
    """Lists of values of a kind, of `size` of them where that is given."""
    what = "a list" if size is None else f"a list of {size}"
    return Kind(
        f"{what} such as [a,b], of which each is {kind.says}",
        lambda value: (
            isinstance(value, list | tuple)
            and size in (None, len(value))
            and all(kind.accepts(one) for one in value)
        ),
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != "" and "\0" not in value and _is_unicode(value)


def _is_unicode(value: str) -> bool:
    # Python stands bytes of a name that are no UTF-8 for by halves of characters.
    return not re.search("[\ud800-\udfff]", value)


ANYTHING = Kind("anything", lambda value: True)
SWITCH = Kind("true or false", lambda value: isinstance(value, bool))
TEXT = Kind("text", _is_text, as_typed=r".*")
PATH = Kind("the path of a file or folder (one called null is ./null)", _is_text, as_typed=r".*")
FOLDER = Kind(
    "the path of a folder, which is no file nor in one (one called null is ./null)",
    lambda value: _is_text(value) and not any(map(isfile, (value, *Path(value).parents))),
    as_typed=r".*",
)
SIZE = Kind(
    "a size such as 2GB or 512MB",
    lambda value: (
        isinstance(value, str)
        # Nothing but zeros is no size.
        and re.fullmatch(r"(?![0.]*[^\d.])\d+(\.\d+)? ?[KMGT]i?B?", value, re.IGNORECASE)
        is not None
    ),
)
MAPPING = Kind("key: value pairs such as {a: 1}", lambda value: isinstance(value, Mapping))
LIST = Kind("a list such as [a,b]", lambda value: isinstance(value, list | tuple))


def like(default: Any) -> Kind:
    """The kind of a default, for settings that only the user's own class knows."""
    if isinstance(default, bool):
        return SWITCH
    if isinstance(default, int):
        return whole(-LARGEST)
    if isinstance(default, float):
        return number()
    if isinstance(default, str):
        return TEXT
    if isinstance(default, Mapping):
        return MAPPING
    return LIST if isinstance(default, list) else ANYTHING
