"""Crafted archives: nothing outside, no links, no devices, no bombs; damage is a sentence."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from grap_seq.prep.describe.recipes import module
from grap_seq.prep.read import archives
from grap_seq.prep.read.archives import content, contents, leads_out, unpack

REMEDY = "fetch it again"


def tar_of(path: Path, *members: tarfile.TarInfo, data: bytes = b"1,2\n") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            member.size = len(data) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


# What follows a good member `set-a/1.txt`.
BAD_MEMBERS = {
    "up": [member("set-a/../../escaped.txt")],
    "absolute": [member("/tmp/escaped.txt")],
    "symbolic link": [member("set-a/2.txt", tarfile.SYMTYPE, "1.txt")],
    "link that leads out": [member("set-a/2.txt", tarfile.SYMTYPE, "/etc/passwd")],
    "link to itself": [member("set-a/2.txt", tarfile.SYMTYPE, "2.txt")],
    "links in a circle": [
        *(member("set-a/2.txt", tarfile.LNKTYPE, "set-a/3.txt"),),
        *(member("set-a/3.txt", tarfile.LNKTYPE, "set-a/2.txt"),),
    ],
    "link to a folder, then through it": [
        *(member("set-a/d", tarfile.SYMTYPE, ".."), member("set-a/d/escaped.txt")),
    ],
    "hard link": [member("set-a/2.txt", tarfile.LNKTYPE, "set-a/1.txt")],
    "link to nothing": [member("set-a/2.txt", tarfile.LNKTYPE, "nowhere")],
    "device": [member("set-a/2.txt", tarfile.CHRTYPE)],
    "block device": [member("set-a/2.txt", tarfile.BLKTYPE)],
    "pipe": [member("set-a/2.txt", tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("case", BAD_MEMBERS)
def test_what_no_archive_should_hold_is_refused(case: str, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    archive = tar_of(tmp_path / "set-a.tar.gz", member("set-a/1.txt"), *BAD_MEMBERS[case])
    before = sorted(tmp_path.rglob("*"))
    message = r"set-a\.tar\.gz is refused: '.*' in it (is a link or a device|leads out)"
    with pytest.raises(ValueError, match=rf"{message}.*; remove it and {REMEDY}"):
        list(contents(archive, REMEDY))
    with pytest.raises(ValueError, match=message):
        unpack(archive, folder, REMEDY)
    left = sorted(set(tmp_path.rglob("*")) - set(before) - {folder.parent})
    assert left == [folder, folder / "set-a", folder / "set-a" / "1.txt"]
    assert not Path("/tmp/escaped.txt").exists()


def test_the_recipe_says_it_in_a_sentence(tmp_path: Path) -> None:
    for name in ("a", "b"):
        bad = [member(f"set-{name}/2.txt", tarfile.SYMTYPE, "2.txt")]
        good, record = member(f"set-{name}/1.txt"), b"Time,Parameter,Value\n00:00,Age,5\n"
        tar_of(tmp_path / f"set-{name}.tar.gz", good, *bad, data=record)
        (tmp_path / f"Outcomes-{name}.txt").write_text("RecordID,In-hospital_death\n1,0\n")
    with pytest.raises(ValueError, match=r"set-a\.tar\.gz is refused: .*grap-seq download"):
        module("physionet2012").read(None, tmp_path)


def test_links_and_ways_out_of_a_zip(tmp_path: Path) -> None:
    for name, mode in (("../x.txt", 0o100644), ("/x.txt", 0o100644), ("x.txt", 0o120777)):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, "/etc/passwd")
        for read in (lambda p: list(contents(p, REMEDY)), lambda p: content(p, "x.txt", REMEDY)):
            with pytest.raises(ValueError, match=rf"a\.zip is refused: .*; remove it and {REMEDY}"):
                read(path)


def zeros(path: Path, size: int) -> Path:
    """A gzip file of so many zeros behind a tar header that announces as many."""
    info = member("set-a/1.txt")
    info.size = size
    with gzip.open(path, "wb") as file:
        file.write(info.tobuf())
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    return path


def long_name(path: Path, size: int) -> Path:
    """A header whose name alone has so many bytes."""
    info = member("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    info.size = size
    with gzip.open(path, "wb") as file:
        file.write(info.tobuf() + b"x" * size)
    return path


def zip_of_zeros(path: Path, size: int) -> Path:
    path = path.with_name("set-a.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("set-a/1.txt", bytes(size))
    return path


def announced(path: Path, size: int) -> Path:
    """A sparse file, which says that it is large and holds nothing."""
    info = member("set-a/1.txt")
    info.pax_headers = {
        **{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
        **{"GNU.sparse.realsize": str(1 << 50), "GNU.sparse.name": "set-a/1.txt"},
    }
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        data = b"0\n".ljust(512, b"\0")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("bomb", [zeros, long_name, zip_of_zeros, announced])
def test_a_bomb_by_size_ends_at_the_limit(
    bomb: Callable[[Path, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "SPARE", 1 << 20)
    path = bomb(tmp_path / "set-a.tar.gz", 64 << 20)
    assert path.stat().st_size * archives.RATIO < 64 << 20
    with pytest.raises(ValueError, match=r"refused: it unpacks to more than [0-9,]+ bytes"):
        list(contents(path, REMEDY))
    if path.suffix == ".gz":
        with pytest.raises(ValueError, match=r"refused: it unpacks to more than"):
            unpack(path, tmp_path / "out", REMEDY)
    written = sum(p.stat().st_size for p in tmp_path.rglob("*") if p != path and p.is_file())
    assert written <= archives.RATIO * path.stat().st_size


def test_a_bomb_by_count_ends_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MEMBERS", 50)
    tar = tar_of(tmp_path / "set-a.tar.gz", *(member(f"set-a/{n}.txt") for n in range(51)))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(51):
            archive.writestr(f"{number}.txt", "")
    for path in (tar, tmp_path / "a.zip"):
        with pytest.raises(ValueError, match="refused: it holds more than 50 files"):
            list(contents(path, REMEDY))
    monkeypatch.setattr(archives, "MEMBERS", 51)
    assert len(list(contents(tar, REMEDY))) == 51


def test_a_good_archive_is_unpacked_with_the_users_umask(tmp_path: Path) -> None:
    info = member("set-a/1.txt")
    info.mode, info.mtime, info.uid = 0o4777, 5, 12345
    folder = member("./", tarfile.DIRTYPE)
    path = tar_of(tmp_path / "set-a.tar.gz", folder, info)
    unpack(path, tmp_path / "out", REMEDY)
    (tmp_path / "own").touch()
    assert (tmp_path / "out/set-a/1.txt").read_bytes() == b"1,2\n"
    assert (tmp_path / "out/set-a/1.txt").stat().st_mode == (tmp_path / "own").stat().st_mode
    assert list(contents(path, REMEDY)) == [("set-a/1.txt", b"1,2\n")]


def test_damage_is_a_sentence_wherever_it_is(tmp_path: Path) -> None:
    draw = random.Random(0)
    good = tar_of(tmp_path / "a.tar.gz", *(member(f"set-a/{n}.txt") for n in range(5)))
    plain = gzip.decompress(good.read_bytes())
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            archive.writestr(f"set-a/{number}.txt", "1,2\n" * 9)
    zipped = (tmp_path / "a.zip").read_bytes()
    refused = 0
    for number in range(600):
        packed = number % 3
        content = bytearray((good.read_bytes(), plain, zipped)[packed])
        for _ in range(draw.choice((1, 1, 4))):
            content[draw.randrange(len(content))] = draw.randrange(256)
        if number % 5 == 0:
            del content[draw.randrange(len(content)) :]
        path = tmp_path / ("b.zip" if packed == 2 else "b.tar.gz")
        path.write_bytes(gzip.compress(content, 1) if packed == 1 else content)
        try:
            list(contents(path, REMEDY))
            if packed != 2:
                unpack(path, tmp_path / f"out{number}", REMEDY)
        except ValueError as error:
            refused += REMEDY in str(error)
    assert refused > 200


def test_names_that_lead_out() -> None:
    for name in ("..", "../x", "a/../../x", "/x", "//x", "a/..", "a\0b"):
        assert leads_out(name)
    for name in ("x", "a/b.txt", "./a", "a..b", "...", "a/.b"):
        assert not leads_out(name)


def test_somebodys_file_is_not_called_a_damaged_archive(tmp_path: Path) -> None:
    path = tmp_path / "my_only_copy.csv"
    path.write_text("a,b\n")
    with pytest.raises(ValueError, match=r"my_only_copy.csv is no archive \(.tar.gz, .tgz, .zip\)"):
        list(contents(path, REMEDY))
