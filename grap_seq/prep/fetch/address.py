"""Tables at an address such as s3://bucket/events/: fetched once, then read like other files.

fsspec lists and fetches, with the package of the address's protocol. What was fetched is kept until
the preparation is complete, so that the same command goes on behind the last whole file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import yaml
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from grap_seq.files import atomic_write, remove_leftovers, write_json
from grap_seq.prep.describe.recipes import suggested_path
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.folder.state import State
from grap_seq.prep.read.archives import leads_out
from grap_seq.prep.read.files import CSV, PARQUET, ends, is_part
from grap_seq.terminal import progress

LISTING = "listing.json"
HERE = "file://"
# What an info says of a file's place and not of its content.
PLACE = ("name", "url")
# Seconds without a byte from a web server, which has no other limit.
SILENCE = 60


def as_source(text: str | Path) -> Path | str:
    """A path, or an address as it is; `file://` is a path."""
    text = str(text)
    if text.startswith(HERE):
        return Path(text.removeprefix(HERE))
    return text if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) else Path(text)


def shown(address: str) -> str:
    """An address without what may be a secret in it: all before an @, and a query."""
    protocol, _, rest = address.partition("://")
    owner, _, place = rest.rpartition("@")
    place, mark, _ = place.partition("?")
    return f"{protocol}://{'***@' if owner else ''}{place}{'?***' if mark else ''}"


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
    remote = _Remote(address)
    wanted = remote.wanted(recipe, spec, like)
    _forget_changed(folder, {name: _state(info) for name, info in wanted.items()})
    _fetch(remote, wanted, folder)
    again = remote.wanted(recipe, spec, like)
    for name, info in wanted.items():
        if name not in again or _state(again[name]) != _state(info):
            raise _changed(address, name)
    return folder / remote.name


class _Remote:
    """What lies at an address and beside it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files, path = _filesystem(address)
        self.web = path.startswith(("http://", "https://"))
        plain = path.partition("?")[0] if self.web else path
        self.path = path
        self.parent, _, name = plain.rstrip("/").rpartition("/")
        self.name = self._decoded(name)
        if not self.name:
            raise ValueError(f"source={shown(address)} is no file or folder; name one")

    def wanted(self, recipe: str, spec: Path | None, like: Path | None) -> dict[str, Any]:
        """Infos by the names that their files get here."""
        table = recipe == "table"
        # Another process may have written since.
        self.files.invalidate_cache()
        found = self._listed(self.path, self.name, table)
        if not found:
            kinds = "no .csv or .parquet file" if table else "no file"
            raise FileNotFoundError(f"{kinds} at {shown(self.address)}; correct the address")
        if table and spec is None:
            found |= self._beside(like)
        for name in found:
            if leads_out(name):
                raise ValueError(f"{shown(self.address)} lists {name!r}, which leads out of it")
        return found

    def _beside(self, like: Path | None) -> dict[str, Any]:
        """The description, if there is one, and the label file that it names."""
        name = suggested_path(Path(self.name)).name
        place = f"{self.parent}/{name}"
        found, text = {}, ""
        with _said(self.address), suppress(FileNotFoundError):
            found = {name: self.files.info(place)}
            text = self.files.cat_file(place)
        if text:
            where = f"{name} beside {shown(self.address)}"
            described = DatasetSpec.from_dict(yaml.safe_load(text), where)
        elif like is not None:
            described = State.load(like).spec
        else:
            raise FileNotFoundError(
                f"no description {name} beside {shown(self.address)}; put one there, or give "
                "spec=FILE"
            )
        labels = described.labels
        if labels is None or leads_out(labels):
            return found
        return found | self._listed(f"{self.parent}/{labels}", labels, table=True)

    def _listed(self, path: str, name: str, table: bool) -> dict[str, Any]:
        """A file, or the files in a folder; of a table only its parts."""
        with _said(self.address):
            # A web server calls everything a file.
            if ends(PurePosixPath(name), CSV + PARQUET) and self.files.isfile(path):
                return {name: self.files.info(path)}
            root = path.rstrip("/") + "/"
            found = {}
            for place, info in sorted(self.files.find(path, detail=True).items()):
                below = self._decoded(place.removeprefix(root))
                part = not table or is_part(PurePosixPath(below))
                if place.startswith(root) and below and part:
                    known = info.get("size") is not None
                    found[f"{name}/{below}"] = info if known else self.files.info(place)
            return found

    def _decoded(self, name: str) -> str:
        return unquote(name) if self.web else name


def _fetch(remote: _Remote, wanted: dict[str, Any], folder: Path) -> None:
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
                    with _said(remote.address, name):
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


def _filesystem(address: str) -> tuple[Any, str]:
    """fsspec's file system for an address, and what it calls the place.

    Raises:
        ValueError: an unknown protocol, or its package is missing.
    """
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    protocol = address.partition("://")[0].lower()
    if "::" in address or protocol not in known_implementations:
        raise ValueError(
            f"source={shown(address)}: fsspec knows no such protocol; give a path, or an address "
            "such as s3://bucket/events/ or https://host/events.parquet"
        )
    options: dict[str, Any] = {}
    try:
        if protocol in ("http", "https"):
            from aiohttp import ClientTimeout

            # The default is five minutes a file, however large.
            limit = ClientTimeout(total=None, sock_connect=SILENCE, sock_read=SILENCE)
            options["client_kwargs"] = {"timeout": limit}
        with _said(address):
            files, path = url_to_fs(address, **options)
    except ImportError:
        package = known_implementations[protocol]["class"].partition(".")[0]
        if package == "fsspec":
            package = f"fsspec[{'http' if protocol == 'https' else protocol}]"
        raise ValueError(
            f"source={shown(address)} needs a package for {protocol}://; run "
            f"`pip install '{package}'`"
        ) from None
    return files, path


@contextmanager
def _said(address: str, name: str | None = None) -> Iterator[None]:
    """Turn errors of fsspec and its many packages into ours, without secrets.

    None is raised from another, whose message would be in a traceback.
    """
    what = shown(address) if name is None else f"{name} at {shown(address)}"
    try:
        yield
    except ImportError:
        raise
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{what} is not there any more; run the same command again when nobody writes there"
        ) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        said = _without_secrets(f"{type(error).__name__} {error}", address)
        raise ConnectionError(
            f"{what} cannot be fetched ({said}); see to it that you may read it, and run the same "
            "command again: it continues"
        ) from None


def _without_secrets(text: str, address: str) -> str:
    owner, _, place = address.partition("://")[2].rpartition("@")
    key, _, word = owner.partition(":")
    secrets = {owner, key, word, place.partition("?")[2]}
    for secret in sorted(secrets | {*map(unquote, secrets)}, key=len, reverse=True):
        text = text.replace(secret, "***") if secret else text
    return text
