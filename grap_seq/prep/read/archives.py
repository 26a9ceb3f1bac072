"""Archives, whoever made them: they hold files and folders, lead nowhere else, and have an end.

Limits: `MEMBERS` entries, and altogether `RATIO` times the archive's own size or `SPARE` bytes,
whichever is more. Text shrinks by about ten.
"""

from __future__ import annotations

import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

NAMES = (".tar.gz", ".tgz", ".zip")
MEMBERS, RATIO, SPARE = 100_000, 100, 100_000_000
Errors = tuple[type[Exception], ...]
DAMAGE: Errors = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, gzip.BadGzipFile),
    *(EOFError, RuntimeError, struct.error, KeyError, IndexError, OverflowError, UnicodeError),
)

# Unpacking has errors of its own, such as a full disk.
READING: Errors = (*DAMAGE, OSError)


def leads_out(name: str) -> bool:
    """Whether a name from an archive or a server is more than a path below the folder it is for."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\0" in name


def contents(archive: Path, remedy: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file in a .tar.gz or .zip archive, in its order.

    Args:
        archive: the file.
        remedy: what to do about one that is refused, the end of the error's sentence.

    Raises:
        ValueError: it is no archive by its name, is damaged, exceeds a limit, or holds something
            else than files and folders.
    """
    # Somebody's file, which no message should ask to remove.
    if not archive.name.endswith(NAMES):
        raise ValueError(f"{archive} is no archive ({', '.join(NAMES)}); {remedy}")
    with _named(archive, remedy, READING):
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as file:
                for info in _checked_zip(file, archive):
                    if not info.is_dir():
                        yield info.filename, file.read(info)
        else:
            for tar, member in _tar_members(archive):
                file_in_tar = tar.extractfile(member)
                if file_in_tar is not None:
                    yield member.name, file_in_tar.read()


def content(archive: Path, name: str, remedy: str) -> bytes:
    """Content of one file in a .zip archive; raises as `contents` does, also where it is absent."""
    with _named(archive, remedy, READING), zipfile.ZipFile(archive) as file:
        _checked_zip(file, archive)
        return file.read(name)


def unpack(archive: Path, folder: Path, remedy: str) -> None:
    """Unpack a .tar.gz archive into a folder; files get the user's umask. Raises as `contents`."""
    with _named(archive, remedy):
        for tar, member in _tar_members(archive):
            plain = member.replace(mode=None, mtime=None)  # type: ignore[arg-type]  # None: not set.
            tar.extract(plain, folder, filter="data")


@contextmanager
def _named(archive: Path, remedy: str, damage: Errors = DAMAGE) -> Iterator[None]:
    try:
        yield
    except _Refused as error:
        raise ValueError(f"{archive} is refused: {error}; remove it and {remedy}") from error
    except damage as error:
        raise ValueError(
            f"{archive} is truncated or damaged ({error}); remove it and {remedy}"
        ) from error


class _Refused(Exception):
    """What an archive has that none should have."""


class _Sum:
    """What an archive holds so far, within the limits.

    Args:
        archive: the file.
    """

    def __init__(self, archive: Path) -> None:
        self.limit = max(SPARE, RATIO * archive.stat().st_size)
        self.members = self.bytes = 0

    def add(self, name: str, size: int, kind: str | None) -> None:
        """Count a member.

        Args:
            name: of the member.
            size: in bytes, unpacked.
            kind: what it is, if no file and no folder.
        """
        self.members, self.bytes = self.members + 1, self.bytes + size
        if kind is not None:
            raise _Refused(f"{name!r} in it is {kind}")
        if leads_out(name):
            raise _Refused(f"{name!r} in it leads out of its folder")
        if self.members > MEMBERS:
            raise _Refused(f"it holds more than {MEMBERS:,} files")
        self.check(self.bytes)

    def check(self, size: int) -> None:
        """Refuse more bytes than the limit."""
        if size > self.limit:
            raise _Refused(f"it unpacks to more than {self.limit:,} bytes, {RATIO} times its size")


def _checked_zip(file: zipfile.ZipFile, archive: Path) -> list[zipfile.ZipInfo]:
    # Before anything is read: the directory has all sizes, which zipfile does not exceed.
    total = _Sum(archive)
    for info in file.infolist():
        mode = info.external_attr >> 16
        plain = stat.S_IFMT(mode) in (0, stat.S_IFREG, stat.S_IFDIR)
        total.add(info.filename, info.file_size, None if plain else "a link or a device")
    return file.infolist()


class _Stream:
    """An unpacked stream that ends where the limit is: headers of a tar file count, too."""

    def __init__(self, file: gzip.GzipFile, total: _Sum) -> None:
        self.file, self.total, self.bytes = file, total, 0

    def read(self, size: int) -> bytes:
        block = self.file.read(size)
        self.bytes += len(block)
        self.total.check(self.bytes)
        return block


def _tar_members(archive: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    total = _Sum(archive)
    with gzip.open(archive) as packed:
        stream: Any = _Stream(packed, total)
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                plain = member.isreg() or member.isdir()
                total.add(member.name, member.size, None if plain else "a link or a device")
                yield tar, member
