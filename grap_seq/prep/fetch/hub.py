"""Fetch a dataset from its public mirror on the Hugging Face hub: resumable, sizes shown."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from rich.filesize import decimal

from grap_seq.files import sha256
from grap_seq.prep.read.archives import leads_out, unpack
from grap_seq.terminal import say


@dataclass(frozen=True)
class Mirror:
    """A dataset repository of the hub and the patterns of the files that a recipe reads."""

    repository: str
    patterns: tuple[str, ...]

    @property
    def address(self) -> str:
        return f"https://huggingface.co/datasets/{self.repository}"


MIRRORS = {
    "churn": Mirror("dllllb/rosbank-churn", ("train.csv.gz", "test.csv.gz")),
    "agepred": Mirror(
        "dllllb/age-group-prediction",
        ("transactions_train.csv*", "transactions_test.csv*", "train_target.csv*"),
    ),
    "alfabattle": Mirror(
        "dllllb/alfa-scoring-trx",
        ("train_transactions/*", "test_transactions/*", "train_target.csv*"),
    ),
    "mbd_mini": Mirror("ai-lab/MBD-mini", ("ptls.tar.gz", "targets.tar.gz")),
}
ARCHIVE = ".tar.gz"
AGAIN = "run the same command again"


def fetch_mirror(dataset: str, output: Path) -> Path:
    """Fetch the files of a dataset with a mirror into `output`, and unpack archives there.

    The hub's own library continues what an earlier run left. Files are those of one commit, and
    have the SHA-256 that the repository lists for them (for all but small text files it does).

    Raises:
        ConnectionError: the hub cannot be reached; the message says how to go on without it.
        ValueError: the repository lacks a file or has one whose name leads elsewhere, one has
            another SHA-256 than it says, or an archive is damaged or unsafe.
    """
    # Imported late: other commands should not wait for it.
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # Of its client.

    mirror = MIRRORS[dataset]
    api = HfApi()
    try:
        info = api.dataset_info(mirror.repository, files_metadata=True)
        files = {file.rfilename: file for file in info.siblings or ()}
        names = _chosen(mirror, list(files))
        size = decimal(sum(files[name].size or 0 for name in names))
        say(f"{mirror.address}: {len(names)} files, {size}, commit {info.sha}")
        for name in names:
            if name.endswith(ARCHIVE) and _unpacked(output / name).exists():
                continue
            api.hf_hub_download(
                mirror.repository,
                name,
                repo_type="dataset",
                revision=info.sha,
                local_dir=output,
            )
            lfs = files[name].lfs
            if lfs is not None and sha256(output / name) != lfs.sha256:
                (output / name).unlink()
                raise ValueError(
                    f"{name} arrived with another SHA-256 than {mirror.address} lists and was "
                    f"removed; {AGAIN}"
                )
    except (HTTPError, OSError) as error:
        reason = " ".join(str(error).split())
        archives = " and unpack it" if any(p.endswith(ARCHIVE) for p in mirror.patterns) else ""
        raise ConnectionError(
            f"could not fetch {dataset} from {mirror.address} ({reason}); run the same command "
            f"again to continue, or put {', '.join(mirror.patterns)} of it into {output} by other "
            f"means{archives}, and run `grap-seq prepare dataset={dataset} source={output}`"
        ) from error
    for name in names:
        if name.endswith(ARCHIVE) and not _unpacked(output / name).exists():
            _unpack(output / name)
    return output


def _chosen(mirror: Mirror, names: list[str]) -> list[str]:
    chosen = []
    for pattern in mirror.patterns:
        found = sorted(name for name in names if fnmatch(name, pattern))
        if not found:
            raise ValueError(
                f"{mirror.address} no longer holds {pattern}; look there for its files"
            )
        chosen += found
    for name in chosen:
        # A pattern's * takes any number of folders, up as well as down.
        if leads_out(name):
            raise ValueError(f"{mirror.address} names a file {name!r}, which leads elsewhere")
    return chosen


def _unpacked(path: Path) -> Path:
    """The folder that an archive holds."""
    return path.with_name(path.name.removesuffix(ARCHIVE))


def _unpack(archive: Path) -> None:
    """Unpack beside the archive: the folder of its name appears when it is complete."""
    target = _unpacked(archive)
    place = archive.with_name(f"{target.name}.unpacking")
    shutil.rmtree(place, ignore_errors=True)
    try:
        unpack(archive, place, AGAIN)
        if not (place / target.name).is_dir():
            raise ValueError(f"{archive} holds no folder {target.name}; remove it and {AGAIN}")
    except ValueError:
        shutil.rmtree(place, ignore_errors=True)
        raise
    (place / target.name).rename(target)
    shutil.rmtree(place)
    archive.unlink()
