"""Names that people type: which one did they mean?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Names in an error message.
MAX_SHOWN = 60


def nearest(name: str, known: Iterable[str], nested: Iterable[str] = ()) -> str:
    """End of an error message: the closest known name where one is close, and what there is.

    Args:
        name: what was typed.
        known: names that there are.
        nested: further ones that may be meant, too many to list.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, [*names, *sorted(nested)], n=1, cutoff=0.4)
    rest = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    listing = f"one of {', '.join(names[:MAX_SHOWN]) or '(none)'}{rest}"
    return f"did you mean '{close[0]}'? ({listing})" if close else f"choose {listing}"
