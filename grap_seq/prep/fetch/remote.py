"""What lies at an address, as fsspec sees it, without secrets in any message."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import yaml

from grap_seq.prep.describe.recipes import suggested_path
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.folder.state import State
from grap_seq.prep.read.archives import leads_out
from grap_seq.prep.read.files import CSV, PARQUET, ends, is_part

# Seconds without a byte from a web server, which has no other limit.
SILENCE = 60


def shown(address: str) -> str:
    """An address without what may be a secret in it: all before an @, and a query."""
    protocol, _, rest = address.partition("://")
    owner, _, place = rest.rpartition("@")
    place, mark, _ = place.partition("?")
    return f"{protocol}://{'***@' if owner else ''}{place}{'?***' if mark else ''}"


class Remote:
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
        with said(self.address), suppress(FileNotFoundError):
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
        with said(self.address):
            with suppress(FileNotFoundError):
                info = self._info(path)
                # A web server calls everything a file, and Spark a folder of parts x.parquet.
                if info["type"] == "file" and ends(PurePosixPath(name), CSV + PARQUET):
                    return {name: info}
            root = path.rstrip("/") + "/"
            found = {}
            for place, info in sorted(self.files.find(path, detail=True).items()):
                below = self._decoded(place.removeprefix(root))
                part = not table or is_part(PurePosixPath(below))
                if place.startswith(root) and below and part:
                    known = info.get("size") is not None
                    found[f"{name}/{below}"] = info if known else self.files.info(place)
            return found

    def _info(self, path: str) -> dict[str, Any]:
        try:
            info: dict[str, Any] = self.files.info(path)
        except FileNotFoundError as error:
            # So fsspec calls a file of a server that it could not reach.
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            raise
        return info

    def _decoded(self, name: str) -> str:
        return unquote(name) if self.web else name


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
        with said(address):
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
def said(address: str, name: str | None = None) -> Iterator[None]:
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
