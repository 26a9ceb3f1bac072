"""Omniglot: a crafted zip, and the real one where it is."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grap_seq.vision.readers import read
from tests.data_prep.copies import SHARED

REAL = SHARED / "omniglot_small1"


def png(pixels: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> bytes:
    """One bit a pixel, ink is false, as the original."""
    file = io.BytesIO()
    Image.fromarray(~pixels).save(file, "PNG")
    return file.getvalue()


def crafted(path: Path, drawers: tuple[int, ...] = (1, 16, 17, 20), damaged: str = "") -> Path:
    """Two alphabets, of which Greek has two characters; a drawer's number is the ink's height."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("images_small/", b"")
        for place in ("Latin/character01", "Greek/character01", "Greek/character02"):
            for drawer in drawers:
                ink = np.zeros((105, 105), bool)
                ink[:drawer, :50] = True
                name = f"images_small/{place}/0001_{drawer:02}.png"
                file.writestr(name, png(ink)[: 50 if name.endswith(damaged or "!") else None])
        file.writestr("images_small/README.txt", b"words")
    return path


def test_drawers_are_split_and_alphabets_are_classes(tmp_path: Path) -> None:
    path = str(crafted(tmp_path / "o.zip"))
    train, val = read("omniglot", path)
    assert train.classes == ("Greek", "Latin")
    assert (train.labels.tolist(), val.labels.tolist()) == ([1, 1, 0, 0, 0, 0],) * 2
    train, _ = read("omniglot", path, label="character")
    assert train.classes == ("Greek/character01", "Greek/character02", "Latin/character01")
    assert train.labels.tolist() == [2, 2, 0, 0, 1, 1]
    with pytest.raises(ValueError, match=r"label=word: write alphabet or character"):
        read("omniglot", path, label="word")


def test_a_folder_with_one_zip_is_that_zip(tmp_path: Path) -> None:
    path = crafted(tmp_path / "o.zip")
    assert read("omniglot", str(tmp_path))[0].data == read("omniglot", str(path))[0].data


def test_pixels_are_shares_of_ink(tmp_path: Path) -> None:
    # 105 pixels make 15 of 7 x 7 each.
    train, val = read("omniglot", str(crafted(tmp_path / "o.zip")), size=15)
    ink = np.zeros((105, 105))
    for image, height in ((train[0], 1), (train[1], 16), (val[0], 17), (val[1], 20)):
        ink[:] = 0
        ink[:height, :50] = 255
        wanted = ink.reshape(15, 7, 15, 7).mean((1, 3))
        np.testing.assert_allclose(image[0].numpy(), wanted, atol=1)
    assert 0 < int(val[1][0, 2, 0]) < 255
    assert val[1][0, -1, -1] == 0


def test_a_damaged_image_is_named_or_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(crafted(tmp_path / "o.zip", damaged="Greek/character01/0001_16.png"))
    with pytest.raises(ValueError, match=r"Greek/character01/0001_16.png is no image .*strict=fal"):
        read("omniglot", path)
    train, val = read("omniglot", path, strict=False)
    assert (train.labels.tolist(), len(val)) == ([1, 1, 0, 0, 0], 6)
    assert "1 damaged images are left out" in capsys.readouterr().out


def test_what_is_no_such_zip_is_refused(tmp_path: Path) -> None:
    path = crafted(tmp_path / "o.zip")
    content = bytearray(path.read_bytes())
    place = content.index(b"IDAT") + 10
    content[place] ^= 0xFF
    (tmp_path / "flipped.zip").write_bytes(content)
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:-300])
    for name in ("flipped", "cut"):
        with pytest.raises(ValueError, match=rf"{name}.zip is truncated or damaged .*brendenlake"):
            read("omniglot", str(tmp_path / f"{name}.zip"))
    crafted(tmp_path / "young.zip", drawers=(1, 2))
    with pytest.raises(ValueError, match=r"6 images of drawers 1 to 16 and 0 of others"):
        read("omniglot", str(tmp_path / "young.zip"))
    with pytest.raises(ValueError, match=r"has 4 zip files, and one is wanted; download images_b"):
        read("omniglot", str(tmp_path))
    (tmp_path / "words.txt").write_text("words", "utf-8")
    with pytest.raises(ValueError, match=r"is no zip; download images_background_small1.zip"):
        read("omniglot", str(tmp_path / "words.txt"))


def test_the_real_images() -> None:
    """Every number is of the archive's own list of names."""
    if not REAL.is_dir():
        pytest.skip(f"no images_background_small1.zip in {REAL} (GRAP_SEQ_SHARED)")
    train, val = read("omniglot", str(REAL))
    assert (len(train), len(val)) == (2176, 544)
    assert train.classes == ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin")
    assert np.bincount(train.labels).tolist() == [384, 352, 384, 640, 416]
    share = train.batch(range(len(train))).float().mean() / 255
    assert 0.05 < share < 0.1
    assert len(read("omniglot", str(REAL), label="character")[1].classes) == 136
