"""CIFAR's binary files, written byte by byte."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from grap_seq.vision import cifar
from grap_seq.vision.readers import read

NAMES = ["plane", "car", "bird"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files with two images each, or three."""
    for name in cifar.CIFAR10:
        monkeypatch.setitem(cifar.CIFAR10, name, 2)
    monkeypatch.setitem(cifar.CIFAR100, "train.bin", 3)
    monkeypatch.setitem(cifar.CIFAR100, "test.bin", 2)


def record(labels: list[int], red: int, green: int, blue: int) -> bytes:
    """An image of one colour, whose first pixel of the second row is as red as can be."""
    first = bytes([red] * 32 + [255] + [red] * 991)
    return bytes(labels) + first + bytes([green] * 1024) + bytes([blue] * 1024)


def cifar10(folder: Path) -> Path:
    folder.mkdir()
    for number in range(1, 6):
        images = record([number % 3], number, 10, 20) + record([2], 100 + number, 30, 40)
        (folder / f"data_batch_{number}.bin").write_bytes(images)
    (folder / "test_batch.bin").write_bytes(record([0], 7, 8, 9) + record([1], 17, 18, 19))
    # As it is published, with an empty line at the end.
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n", "utf-8")
    return folder


def packed(folder: Path) -> Path:
    archive = folder.with_suffix(".tar.gz")
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, "cifar-10-batches-bin")
    return archive


def test_records_are_labels_and_planes_of_rows(tmp_path: Path) -> None:
    train, test = read("cifar10", str(cifar10(tmp_path / "c")))
    assert train.labels.tolist() == [1, 2, 2, 2, 0, 2, 1, 2, 2, 2]
    assert train.classes == test.classes == tuple(NAMES)
    # The first image of the third file.
    image = train[4]
    assert tuple(image.shape) == (3, 32, 32)
    assert (image[:, 1, 0].tolist(), image[:, 0, 1].tolist()) == ([255, 10, 20], [3, 10, 20])
    assert (image[0] == 3).sum() == 1023
    assert test.batch([1, 0])[:, :, 5, 5].tolist() == [[17, 18, 19], [7, 8, 9]]
    assert test.labels.tolist() == [0, 1]


def test_the_archive_is_read_as_its_folder_is(tmp_path: Path) -> None:
    folder = cifar10(tmp_path / "c")
    for left, right in zip(
        read("cifar10", str(folder)), read("cifar10", str(packed(folder))), strict=True
    ):
        assert left.data == right.data
        assert left.pixels.equal(right.pixels)  # type: ignore[union-attr,arg-type]


def test_of_cifar_100_the_coarse_label_comes_first(tmp_path: Path) -> None:
    train = record([1, 3], 1, 2, 3) + record([0, 2], 4, 5, 6) + record([1, 0], 7, 8, 9)
    (tmp_path / "train.bin").write_bytes(train)
    (tmp_path / "test.bin").write_bytes(record([0, 1], 1, 1, 1) * 2)
    (tmp_path / "fine_label_names.txt").write_text("a\nb\nc\nd\n", "utf-8")
    (tmp_path / "coarse_label_names.txt").write_text("x\ny\n", "utf-8")
    fine = read("cifar100", str(tmp_path))
    coarse = read("cifar100", str(tmp_path), label="coarse")
    assert (fine[0].labels.tolist(), fine[0].classes) == ([3, 2, 0], ("a", "b", "c", "d"))
    assert (coarse[0].labels.tolist(), coarse[0].classes) == ([1, 0, 1], ("x", "y"))
    assert fine[0][1][:, 0, 0].tolist() == [4, 5, 6]
    assert fine[0].data != coarse[0].data
    with pytest.raises(ValueError, match=r"label=middle: write fine or coarse"):
        read("cifar100", str(tmp_path), label="middle")


def test_the_hash_is_that_of_all_bytes(tmp_path: Path) -> None:
    _, test = read("cifar10", str(cifar10(tmp_path / "c")))
    pixels = record([], 7, 8, 9) + record([], 17, 18, 19)
    labels = np.array([0, 1], "<i8").tobytes()
    wanted = b"(2, 3, 32, 32)" + pixels + labels + b"plane\0car\0bird"
    assert test.data == hashlib.sha256(wanted).hexdigest()


def test_a_file_that_is_not_whole_is_named(tmp_path: Path) -> None:
    folder = cifar10(tmp_path / "c")
    third = folder / "data_batch_3.bin"
    third.write_bytes(third.read_bytes()[:-1])
    said = r"data_batch_3.bin has 6,145 bytes, and 2 images have 6,146: .*cifar-10-binary.tar.gz"
    for source in (folder, packed(folder)):
        with pytest.raises(ValueError, match=said):
            read("cifar10", str(source))
    third.unlink()
    with pytest.raises(FileNotFoundError, match=r"has no data_batch_3.bin; download .*kriz/cifar"):
        read("cifar10", str(folder))


def test_a_label_without_a_name_is_refused(tmp_path: Path) -> None:
    folder = cifar10(tmp_path / "c")
    (folder / "test_batch.bin").write_bytes(record([3], 0, 0, 0) * 2)
    with pytest.raises(ValueError, match=r"label in test_batch.bin is 3, and batches.meta.txt nam"):
        read("cifar10", str(folder))


def test_the_python_version_is_not_unpickled(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "exploded",))  # type: ignore[return-value]

    for name in ("data_batch_1", "test_batch", "batches.meta"):
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    for source in (folder, archive):
        with pytest.raises(ValueError, match=r"Python version, pickles, .* cifar-10-binary.tar.gz"):
            read("cifar10", str(source))
    assert not (tmp_path / "exploded").exists()


def test_an_archive_that_is_none_is_refused(tmp_path: Path) -> None:
    archive = packed(cifar10(tmp_path / "c"))
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"truncated or damaged .* download cifar-10-binary"):
        read("cifar10", str(archive))
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("../data_batch_1.bin")
        tar.addfile(member, io.BytesIO())
    with pytest.raises(ValueError, match=r"leads out of its folder"):
        read("cifar10", str(archive))


def test_folders_of_images_are_no_pickles(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
    with pytest.raises(FileNotFoundError, match=r"has no train\.bin, test\.bin"):
        read("cifar100", str(tmp_path))
