"""Where views are cut and how they are coloured, by hand, by pillow and by definition."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from grap_seq.vision.images import resampled
from grap_seq.vision.views import Centre, Colours, Crops
from tests.vision.pictures import random_images

WHOLE = {"scale": [1.0, 1.0], "turn": 0, "shift": 0.0}
NO_COLOUR: dict[str, Any] = {
    **{"kind": "colour", "jitter": [0.4, 0.4, 0.2, 0.1], "jitter_p": 0.0, "grey_p": 0.0},
    **{"flip_p": 0.0, "blur_p": [0.0, 0.0], "solarise_p": [0.0, 0.0]},
}
MEAN, STD = [0.5, 0.25, 0.1], [0.5, 0.2, 0.3]


def by_pillow(image: Tensor, width: int, height: int) -> Tensor:
    whole = Image.fromarray(image.permute(1, 2, 0).numpy())
    found = np.asarray(whole.resize((width, height), Image.Resampling.BICUBIC))
    return torch.from_numpy(found.copy()).permute(2, 0, 1)


def marked(height: int, width: int) -> Tensor:
    """Red is a pixel's row, green its column."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns, torch.zeros_like(rows)]).to(torch.uint8)


def coloured(views: Tensor, seed: int = 0, **changed: Any) -> Tensor:
    """Coloured views with the normalisation taken back."""
    colours = Colours({**NO_COLOUR, **changed}, MEAN, STD)
    torch.manual_seed(seed)
    found: Tensor = colours(views)
    return found * colours.std + colours.mean


def test_resampling_is_pillows_bicubic_filter_up_and_down() -> None:
    image = random_images(1, size=13)[0]
    for width, height in ((7, 5), (29, 31), (13, 20)):
        wanted = by_pillow(image, width, height)
        found = resampled(image, (height, width))
        assert (found.int() - wanted.int()).abs().max() <= 1
    assert resampled(image, (13, 13)) is image


def test_a_crop_is_a_part_of_its_image_in_the_views_size() -> None:
    """The part is sought among all that there are."""
    image = random_images(1, size=6)[0]
    crops = Crops(4, {**WHOLE, "scale": [0.2, 1.0]})
    found = (crops([image] * 8, 3).flatten(0, 1) * 255).round()
    parts = {
        (left, top, right, bottom): resampled(image[:, top:bottom, left:right], (4, 4)).float()
        for left in range(6)
        for top in range(6)
        for right in range(left + 1, 7)
        for bottom in range(top + 1, 7)
    }
    boxes = []
    for view in found:
        same = [box for box, part in parts.items() if part.equal(view)]
        assert len(same) == 1
        boxes += same
    assert len(set(boxes)) > 8
    for left, top, right, bottom in boxes:
        width, height = right - left, bottom - top
        # Sides are rounded to whole pixels.
        assert 0.2 * 36 - 3 <= width * height <= 36
        assert 0.4 < width / height < 2.5


def test_places_and_areas_of_crops_are_spread_as_asked() -> None:
    image = marked(60, 40)
    crops = Crops(1, {**WHOLE, "scale": [0.25, 0.5]})
    # The mean of a part's rows and columns is its middle.
    middles = crops([image] * 500, 0).flatten(0, 1)[:, :2, 0, 0] * 255
    assert (middles.mean(0) - torch.tensor([29.5, 19.5])).abs().max() < 1
    assert middles[:, 0].std() > 5
    assert middles[:, 1].std() > 3
    first, second = crops([image] * 500, 0)[:, :, 0, 0, 0]
    # The two views of an image are cut independently.
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15


def test_crops_are_a_function_of_images_and_seed() -> None:
    images = [random_images(1, size=size, seed=size)[0] for size in (8, 8, 9, 12, 9)]
    crops = Crops(6, {"scale": [0.3, 1.0], "turn": 10, "shift": 0.1})
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    first = crops(images, 1)
    # Nobody else's random numbers are used up.
    assert torch.rand(3).equal(wanted)
    assert first.equal(crops(images, 1))
    assert first.equal(Crops(6, {"scale": [0.3, 1.0], "turn": 10, "shift": 0.1})(images, 1))
    assert not first.equal(crops(images, 2))
    assert tuple(first.shape) == (2, 5, 3, 6, 6)
    assert first.dtype == torch.float32
    assert first.min() >= 0
    assert first.max() <= 1


def test_strokes_are_turned_and_shifted_by_so_much_at_most() -> None:
    dot = torch.zeros(1, 21, 21, dtype=torch.uint8)
    dot[0, 9:12, 14:17] = 255
    moved = []
    for options in ({"turn": 20}, {"shift": 0.1}):
        # A square's only part of its whole area, up to a rounded side, is itself.
        views = Crops(21, {**WHOLE, **options})([dot] * 100, 0).flatten(0, 2)
        places = torch.arange(21.0) - 10
        mass = views.sum((1, 2))
        y, x = (views.sum(2) @ places) / mass, (views.sum(1) @ places) / mass
        moved.append((x, y))
    (x, y), (right, down) = moved
    angles = torch.atan2(y, x).rad2deg()
    assert 15 < angles.abs().max() < 23
    assert (torch.hypot(x, y) - 5).abs().max() < 0.7
    assert 1.5 < (right - 5).abs().max() < 2.8
    assert 1.5 < down.abs().max() < 2.8


def test_the_middle_is_cut_out_after_resizing() -> None:
    wide = random_images(1, size=24)[0][:, :12]
    found = Centre(6, resize=8)([wide])
    assert tuple(found.shape) == (1, 1, 3, 6, 6)
    whole = by_pillow(wide, 16, 8)
    assert ((found[0, 0] * 255).round().int() - whole[:, 1:7, 5:11].int()).abs().max() <= 1
    same = random_images(2, size=6)
    assert (Centre(6)([same[0], same[1]])[0] * 255).round().equal(same.batch([0, 1]).float())
    assert tuple(Centre(6)([random_images(1, size=3)[0]]).shape) == (1, 1, 3, 6, 6)
    with pytest.raises(ValueError, match=r"resize=5 leaves less than a view of 6 pixels; give 6"):
        Centre(6, resize=5)


def test_in_validation_views_are_normalised_alone() -> None:
    options = {**NO_COLOUR, "jitter_p": 1.0, "flip_p": 1.0, "solarise_p": [1.0, 1.0]}
    colours = Colours(options, MEAN, STD).eval()
    pixel = torch.tensor([1.0, 0.45, 0.1]).view(1, 1, 3, 1, 1)
    torch.testing.assert_close(colours(pixel).flatten(), torch.tensor([1.0, 1.0, 0.0]))
    assert not colours.state_dict()


def test_one_view_is_solarised_and_the_other_is_not() -> None:
    values = torch.tensor([0.0, 0.2, 0.49, 0.51, 0.7, 1.0]).expand(2, 1, 3, 1, 6)
    found = coloured(values, solarise_p=[0.0, 1.0])
    torch.testing.assert_close(found[0], values[0])
    inverted = torch.tensor([0.0, 0.2, 0.49, 0.49, 0.3, 0.0])
    torch.testing.assert_close(found[1], inverted.expand(1, 3, 1, 6))


def test_a_flip_mirrors_and_grey_has_the_weights_of_the_eye() -> None:
    views = torch.rand(2, 3, 3, 4, 4)
    torch.testing.assert_close(coloured(views, flip_p=1.0), views.flip(-1))
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    wanted = (views * weights).sum(2, keepdim=True).expand_as(views)
    torch.testing.assert_close(coloured(views, grey_p=1.0), wanted, atol=1e-3, rtol=0)


def test_shares_are_those_of_images() -> None:
    views = torch.rand(2, 400, 3, 2, 2)
    for options, wanted in (
        ({"flip_p": 0.5}, (0.5, 0.5)),
        ({"grey_p": 0.2}, (0.2, 0.2)),
        ({"jitter_p": 0.8}, (0.8, 0.8)),
        ({"solarise_p": [0.0, 0.2]}, (0.0, 0.2 * (1 - 0.5**12))),
        ({"blur_p": [1.0, 0.1]}, (1.0, 0.1)),
    ):
        changed = ((coloured(views, **options) - views).abs() > 1e-6).flatten(2).any(-1)
        np.testing.assert_allclose(changed.float().mean(1), wanted, atol=0.06)


def test_a_blur_is_a_gaussian_of_at_most_two_pixels() -> None:
    point = torch.zeros(2, 100, 3, 33, 33)
    point[..., 16, 16] = 1
    found = coloured(point, blur_p=[1.0, 0.0])
    assert found[1].equal(coloured(point)[1])
    torch.testing.assert_close(found[0].sum((-2, -1)), torch.ones(100, 3))
    profile, places = found[0, :, 0].sum(-1), torch.arange(33.0) - 16
    deviations = (profile @ places**2).sqrt()
    assert 0.0 <= deviations.min() < 0.3 < 1.8 < deviations.max() < 2.0
    clear = (deviations > 1.0) & (deviations < 1.5)
    sigma = deviations[clear][:, None]
    wanted = torch.exp(-(places**2) / (2 * sigma**2))
    near = profile[clear]
    torch.testing.assert_close(near, wanted / wanted.sum(1, keepdim=True), atol=1e-3, rtol=0)


def test_jitter_is_torchvisions_by_its_definition() -> None:
    """Brightness alone multiplies, saturation alone moves to or from grey; by at most so much."""
    views = torch.rand(2, 200, 3, 4, 4) * 0.5 + 0.1
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    brighter = coloured(views, jitter=[0.4, 0.0, 0.0, 0.0], jitter_p=1.0) / views
    factors = brighter.flatten(2).mean(-1)
    torch.testing.assert_close(brighter, factors[..., None, None, None].expand_as(brighter))
    assert 0.59 < factors.min() < 0.65 < 1.35 < factors.max() < 1.41
    grey = (views * weights).sum(2, keepdim=True)
    paler = (coloured(views, jitter=[0.0, 0.0, 0.2, 0.0], jitter_p=1.0) - grey) / (views - grey)
    clear = (views - grey).abs() > 0.05
    assert 0.79 < paler[clear].min() < 0.83 < 1.17 < paler[clear].max() < 1.21


def test_colours_are_drawn_from_the_global_generator_in_full_precision() -> None:
    views = torch.rand(2, 5, 3, 32, 32)
    options = {"jitter_p": 1.0, "grey_p": 0.5, "blur_p": [1.0, 1.0], "solarise_p": [0.5, 0.5]}
    first = coloured(views, 1, **options)
    assert first.equal(coloured(views, 1, **options))
    assert not first.equal(coloured(views, 2, **options))
    with torch.autocast("cpu", torch.bfloat16):
        assert coloured(views, 1, **options).equal(first)
    assert len(set(Counter(map(float, first.flatten())))) > 10_000


def test_strokes_have_noise_and_keep_their_range() -> None:
    views = torch.zeros(2, 50, 1, 8, 8)
    views[..., 4:] = 0.5
    colours = Colours({"kind": "strokes", "noise": 0.05}, [0.25], [0.5])
    added = colours(views) * 0.5 + 0.25 - views
    assert abs(float(added[..., 4:].std()) - 0.05) < 0.002
    assert abs(float(added[..., 4:].mean())) < 0.003
    assert added[..., :4].min() > -1e-6
    none = Colours({"kind": "strokes", "noise": 0.0}, [0.25], [0.5])
    torch.testing.assert_close(none(views) * 0.5 + 0.25, views)


def test_kinds_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match=r"views.kind=color: write colour or strokes"):
        Colours({**NO_COLOUR, "kind": "color"}, MEAN, STD)
    with pytest.raises(ValueError, match=r"kind=colour needs red, green and blue, .* have 1 chan"):
        Colours(NO_COLOUR, [0.5], [0.5])


def test_without_kornia_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # To Python this is a package that there is not.
    monkeypatch.setitem(sys.modules, "kornia", None)
    monkeypatch.delitem(sys.modules, "grap_seq.vision.views")
    with pytest.raises(ValueError, match=r"pip install 'grap-seq\[vision\]'"):
        importlib.import_module("grap_seq.vision.views")
