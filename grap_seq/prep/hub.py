"""Fetch a dataset from its public mirror on the Hugging Face hub: resumable, sizes shown."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from rich.filesize import decimal

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


def fetch_mirror(dataset: str, output: Path) -> Path:
    """Fetch the files of a dataset with a mirror into `output`, and unpack archives there.

    The hub's own library continues what an earlier run left and checks what arrives.

    Raises:
        ConnectionError: the hub cannot be reached; the message says how to go on without it.
        ValueError: the repository lacks a file, or an archive is damaged.
    """
    # Imported late: other commands should not wait for it.
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # Of its client.

    mirror = MIRRORS[dataset]
    api = HfApi()
    try:
        info = api.dataset_info(mirror.repository, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        names = _chosen(mirror, list(sizes))
        size = decimal(sum(sizes[name] for name in names))
        say(f"{mirror.address}: {len(names)} files, {size}")
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
        with tarfile.open(archive, "r:gz") as tar:
            # The filter refuses paths that lead out of the folder, links and devices.
            tar.extractall(place, filter="data")
        if not (place / target.name).is_dir():
            raise ValueError(f"it holds no folder {target.name}")
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        shutil.rmtree(place, ignore_errors=True)
        raise ValueError(
            f"{archive} cannot be unpacked ({error}); remove it and run the same command again"
        ) from error
    (place / target.name).rename(target)
    shutil.rmtree(place)
    archive.unlink()
