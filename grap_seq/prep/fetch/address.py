"""Tables at an address such as s3://bucket/events/: fetched once, then read like other files.

fsspec lists and fetches, with the package of the address's protocol. What was fetched is kept until
the preparation is complete, so that the same command goes on behind the last whole file.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from grap_seq.files import atomic_write, remove_leftovers, write_json
from grap_seq.prep.fetch.remote import Remote, said, shown
from grap_seq.terminal import progress

LISTING = "listing.json"
HERE = "file://"
# What an info says of a file's place and not of its content.
PLACE = ("name", "url")


def as_source(text: str | Path) -> Path | str:
    """A path, or an address as it is; `file://` is a path."""
    text = str(text)
    if text.startswith(HERE):
        return Path(text.removeprefix(HERE))
    return text if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) else Path(text)


def fetch(address: str, folder: Path, recipe: str, spec: Path | None, like: Path | None) -> Path:
    """The files at an address, with the description and the labels beside them.

    Args:
        address: of a file or a folder.
        folder: where they go; what an earlier call left there and has not changed since stays.
        recipe: of which dataset they are.
        spec: description of a table, if it does not lie beside it.
        like: prepared folder or run, whose description stands in for a missing one.

    Returns:
        The file or folder in `folder`.

    Raises:
        ValueError: a package is missing, or a file changed while others were fetched.
        FileNotFoundError: nothing there, no description, or a file that was there no longer is.
        FileExistsError: `folder` is the user's.
        ConnectionError: whatever the other side says.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / LISTING).is_file():
        raise FileExistsError(f"{folder} is needed for what is fetched; rename your folder")
    remote = Remote(address)
    wanted = remote.wanted(recipe, spec, like)
    _forget_changed(folder, {name: _state(info) for name, info in wanted.items()})
    _fetch(remote, wanted, folder)
    again = remote.wanted(recipe, spec, like)
    for name, info in wanted.items():
        if name not in again or _state(again[name]) != _state(info):
            raise _changed(address, name)
    return folder / remote.name


def _fetch(remote: Remote, wanted: dict[str, Any], folder: Path) -> None:
    from fsspec.callbacks import Callback

    sizes = {name: info.get("size") for name, info in wanted.items()}
    total = None if None in sizes.values() else sum(sizes.values())
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with progress(*columns) as bar:
        task = bar.add_task(f"fetching {shown(remote.address)}", total=total)
        done = 0
        for name, info in wanted.items():
            path = folder / name
            if not path.exists():
                with atomic_write(path) as temporary:
                    shows = Callback(hooks={"bar": partial(_move, bar, task, done)})
                    with said(remote.address, name):
                        remote.files.get_file(info["name"], str(temporary), callback=shows)
                    if sizes[name] not in (None, temporary.stat().st_size):
                        raise _changed(remote.address, name)
            done += path.stat().st_size
            bar.update(task, completed=done)


def _move(bar: Progress, task: TaskID, done: int, size: int | None, value: int) -> None:
    """What a callback of fsspec calls, with the bytes of a file and those that are there."""
    bar.update(task, completed=done + value)


def _forget_changed(folder: Path, states: dict[str, str]) -> None:
    """Remove what an earlier call fetched and is another file now, and write down what is."""
    listing = folder / LISTING
    earlier = json.loads(listing.read_text("utf-8")) if listing.is_file() else {}
    for name, state in earlier.items():
        if states.get(name) != state:
            (folder / name).unlink(missing_ok=True)
    write_json(listing, states)
    remove_leftovers(folder)


def _state(info: dict[str, Any]) -> str:
    """What changes when a file does: size, time, checksum, whatever the other side tells of it."""
    told = {key: str(value) for key, value in info.items() if key not in PLACE}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _changed(address: str, name: str) -> ValueError:
    return ValueError(
        f"{name} at {shown(address)} changed while files were fetched; run the same command again "
        "when nobody writes there"
    )
