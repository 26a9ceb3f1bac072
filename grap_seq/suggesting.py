"""`prepare --suggest`: what is known of a table, and the description that is written of it."""

from __future__ import annotations

from pathlib import Path

from grap_seq import config
from grap_seq.usage import next_command

# What need not be guessed.
KNOWN = ("id", "time", "label", "labels")


def suggest(arguments: list[str]) -> tuple[Path, str]:
    """Write a first description of a table.

    Args:
        arguments: `key=value` as typed, with what need not be guessed among them.

    Returns:
        The file, and the command to go on with.

    Raises:
        ValueError: no table, or one that cannot be looked at; and as of `describe.suggest`.
    """
    from grap_seq.prep.describe.guess import Known
    from grap_seq.prep.describe.suggest import suggest as look
    from grap_seq.prep.fetch.address import as_source
    from grap_seq.prep.fetch.remote import shown

    said = [a.partition("=")[::2] for a in arguments if a.partition("=")[0] in KNOWN]
    known = dict(said)
    settings = config.compose("prepare", [a for a in arguments if a.partition("=")[0] not in known])
    if settings.source is None:
        raise ValueError("--suggest looks at a table: name it with source=FILE")
    source = as_source(settings.source)
    if isinstance(source, str):
        raise ValueError(
            f"--suggest looks at a table on this machine: copy one part of {shown(source)}, "
            "name that, and give the description that it writes with spec=FILE"
        )
    label, labels = known.get("label"), known.get("labels")
    written = look(
        source,
        None if settings.spec is None else Path(settings.spec),
        Known(
            known.get("id"),
            known.get("time"),
            None if label is None else _several(label),
            None if labels is None else Path(labels).expanduser(),
        ),
    )
    return written, next_command("prepare", dataset="table", source=source)


def _several(text: str) -> tuple[str, ...]:
    """One name, or those of a list such as [a,b]."""
    several = text.startswith("[") and text.endswith("]")
    return tuple(name.strip() for name in text[1:-1].split(",")) if several else (text,)
