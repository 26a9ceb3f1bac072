"""A folder for each class, with images of many sizes, modes and conditions."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grap_seq.vision.readers import read
from tests.vision.pictures import write_folders


def test_folders_are_classes(tmp_path: Path) -> None:
    train, val = read("folders", str(write_folders(tmp_path, val="test")))
    assert train.classes == val.classes == ("cat", "dog")
    assert (train.labels.tolist(), val.labels.tolist()) == ([0, 0, 0, 1, 1, 1], [0, 1])
    assert [train.name(row) for row in (2, 3)] == ["cat/2.png", "dog/0.png"]
    for row in range(len(train)):
        wanted = np.asarray(Image.open(tmp_path / "train" / str(train.name(row))))
        np.testing.assert_array_equal(train[row].permute(1, 2, 0).numpy(), wanted)
    with pytest.raises(ValueError, match=r"several sizes make no batch"):
        train.batch(range(len(train)))


def test_every_mode_becomes_rgb_or_grey(tmp_path: Path) -> None:
    folder = write_folders(tmp_path) / "train" / "dog"
    red = Image.new("RGB", (4, 3), (255, 0, 0))
    transparent = Image.new("RGBA", (4, 3), (255, 0, 0, 7))
    grey = Image.new("L", (4, 3), 76)
    for name, image in (("p.png", red.convert("P")), ("rgba.png", transparent), ("l.png", grey)):
        image.save(folder / name)
    red.convert("CMYK").save(folder / "cmyk.JPEG", quality=100)
    names = {}
    for channels in (3, 1):
        train, _ = read("folders", str(tmp_path), channels=channels)
        found = {str(train.name(row)).removeprefix("dog/"): train[row] for row in range(len(train))}
        assert {len(image) for image in found.values()} == {channels}
        names[channels] = {name: image[:, 0, 0].tolist() for name, image in found.items()}
    for name in ("p.png", "rgba.png"):
        assert names[3][name] == [255, 0, 0]
        # 0.299 of red.
        assert names[1][name] == [76]
    assert names[3]["l.png"] == [76, 76, 76]
    np.testing.assert_allclose(names[3]["cmyk.JPEG"], [255, 0, 0], atol=3)


def test_a_damaged_image_is_named_or_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folders(tmp_path)
    whole, _ = read("folders", str(folder))
    damaged = folder / "train" / "cat" / "1.png"
    content = damaged.read_bytes()
    deep = Image.fromarray(np.full((4, 4), 1000, np.uint16))
    for change in ("flipped", "cut", "none", "deep"):
        if change == "deep":
            deep.save(damaged)
        else:
            flipped = bytearray(content)
            flipped[60] ^= 0xFF
            changed = {"flipped": bytes(flipped), "cut": content[:90], "none": b"no image"}
            damaged.write_bytes(changed[change])
        train, _ = read("folders", str(folder))
        with pytest.raises(ValueError, match=r"train/cat/1.png is no image .*reader.strict=false"):
            train[1]
        train, _ = read("folders", str(folder), strict=False)
        assert "cat/1.png" in capsys.readouterr().out
        assert [train.name(row) for row in range(len(train))] == [
            whole.name(row) for row in (0, 2, 3, 4, 5)
        ]
        assert train.labels.tolist() == [0, 0, 1, 1, 1]
        assert train[1].equal(whole[2])


def test_the_hash_is_that_of_names_and_sizes(tmp_path: Path) -> None:
    _, val = read("folders", str(write_folders(tmp_path)))
    names = ("cat/0.png", "dog/0.png")
    sizes = [(tmp_path / "val" / name).stat().st_size for name in names]
    text = "".join(f"{name}\0{size}\0" for name, size in zip(names, sizes, strict=True))
    labels = np.array([0, 1], "<i8").tobytes()
    assert val.data == hashlib.sha256(text.encode() + labels + b"cat\0dog").hexdigest()


def test_folders_that_are_none(tmp_path: Path) -> None:
    folder = write_folders(tmp_path / "a")
    (folder / "val" / "cat").rename(folder / "val" / "fox")
    with pytest.raises(ValueError, match=r"val has classes that training has not: fox; move"):
        read("folders", str(folder))
    shutil.rmtree(folder / "val")
    with pytest.raises(FileNotFoundError, match=r"test is missing: .* needs the folders train"):
        read("folders", str(folder))
    (folder / "val" / "cat").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"val has no images that can be read"):
        read("folders", str(folder))
    with pytest.raises(FileNotFoundError, match=r"train is missing"):
        read("folders", str(tmp_path))
    one = write_folders(tmp_path / "b")
    for split in ("train", "val"):
        shutil.rmtree(one / split / "dog")
    with pytest.raises(ValueError, match=r"all images are of one class \(cat\)"):
        read("folders", str(one))
    with pytest.raises(FileNotFoundError, match=r"there is no such file or folder"):
        read("folders", str(tmp_path / "none"))
