"""Views of an image: where it is cut is drawn in the loader, its colours on the device.

Both follow the order of the reference, solo-learn: crop; jitter, grey, blur, solarisation, flip;
normalisation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from grap_seq.vision.images import resampled

try:
    from kornia import augmentation
except ImportError as error:
    raise ValueError("views need kornia; run `pip install 'grap-seq[vision]'`") from error

# Of an image in training.
VIEWS = 2
# Standard deviation of a blur, smallest and largest, in pixels.
BLUR = (0.1, 2.0)
# Three of the largest to each side; pillow, which the reference uses, has no end.
KERNEL = (13, 13)


class Crops:
    """Random parts of images, resampled to one size.

    kornia draws them, as torchvision does; they are resampled as pillow does it: bicubic, with
    antialiasing where a part is larger than the view, in eight bits, which cannot overshoot.

    Args:
        size: S, pixels of a view, both ways.
        options: `scale`: share of the image's area, smallest and largest; `turn`: degrees that a
            view is turned by at most; `shift`: share of its size that it is shifted by at most.
    """

    def __init__(self, size: int, options: Mapping[str, Any]) -> None:
        self.size = size
        self._crop = augmentation.RandomResizedCrop((size, size), tuple(options["scale"]))
        turn, shift = options["turn"], options["shift"]
        self._affine = (
            augmentation.RandomAffine(float(turn), (shift, shift), p=1.0) if turn or shift else None
        )

    def __call__(self, images: Sequence[Tensor], seed: int) -> Tensor:
        """Two views of each image, float32 in [0, 1], shape (2, B, C, S, S); not random besides.

        Args:
            images: uint8, shape (C, H, W) each; of any sizes.
            seed: of what is drawn.
        """
        # The devices' generators are those of the training step.
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would seed them too.
            torch.default_generator.manual_seed(seed)
            repeated = [*images] * VIEWS
            size = (self.size, self.size)
            parts = [resampled(part, size) for part in self._parts(repeated)]
            found = torch.stack(parts).float() / 255
            if self._affine is not None:
                found = self._affine(found)
        return found.view(VIEWS, len(images), *found.shape[1:])

    def _parts(self, images: Sequence[Tensor]) -> Iterator[Tensor]:
        # One draw for all images in a row of one size: a draw takes longer than a crop.
        for shape, group in groupby(images, key=lambda image: image.shape):
            same = list(group)
            corners = self._crop.generate_parameters(torch.Size((len(same), *shape)))["src"]
            for image, (first, _, last, _) in zip(same, corners.int().tolist(), strict=True):
                (left, top), (right, bottom) = first, last
                yield image[:, top : bottom + 1, left : right + 1]


class Centre:
    """The middle of an image, for validation.

    Args:
        size: S.
        resize: what the shorter side becomes first, in pixels; None: S, and all of it is seen.
    """

    def __init__(self, size: int, resize: int | None = None) -> None:
        self.size, self.resize = size, resize or size
        if self.resize < size:
            raise ValueError(
                f"data.resize={resize} leaves less than a view of {size} pixels; give {size} or"
                " more"
            )

    def __call__(self, images: Sequence[Tensor]) -> Tensor:
        """One view of each image, float32 in [0, 1], shape (1, B, C, S, S)."""
        return torch.stack([self._middle(image) for image in images])[None].float() / 255

    def _middle(self, image: Tensor) -> Tensor:
        shorter = min(image.shape[1:])
        if shorter != self.resize:
            image = resampled(image, [side * self.resize // shorter for side in image.shape[1:]])
        top, left = ((side - self.size) // 2 for side in image.shape[1:])
        return image[:, top : top + self.size, left : left + self.size]


class Colours(nn.Module):
    """What makes views of an image differ besides where they are cut, and their normalisation.

    Random numbers are those of the global generators. Nothing is random in validation.

    Args:
        options: `kind`, and of the kind "colour" `jitter`: of brightness, contrast, saturation and
            hue; shares of images: `jitter_p`, `grey_p`, `flip_p`, and as lists with that of each
            view `blur_p` and `solarise_p`. Of the kind "strokes", whose meaning colours, negatives
            and mirrors would change, `noise`: standard deviation of what is added to a pixel.
        mean: mean of each channel, C numbers.
        std: standard deviation of each.

    Raises:
        ValueError: another kind, or colours of one channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, options: Mapping[str, Any], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        kind = options["kind"]
        if kind not in KINDS:
            raise ValueError(f"data.views.kind={kind}: write {' or '.join(KINDS)}")
        if kind == "colour" and len(mean) != 3:
            raise ValueError(
                f"data.views.kind=colour needs red, green and blue, and images have {len(mean)}"
                " channel; write data.views.kind=strokes, or data.channels=3"
            )
        # Neither learned nor saved nor moved: what is drawn is drawn on the host.
        self._of_view = [nn.Sequential(*KINDS[kind](options, view)) for view in range(VIEWS)]
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)

    @torch.no_grad()
    def forward(self, views: Tensor) -> Tensor:
        """Normalised views, and in training coloured ones, float32, shape (V, B, C, S, S).

        Args:
            views: float32 in [0, 1], shape (V, B, C, S, S); in training V is 2.
        """
        # Half precision would round colours, and blur is a convolution.
        with torch.autocast(views.device.type, enabled=False):
            if self.training:
                pairs = zip(self._of_view, views, strict=True)
                views = torch.stack([coloured(view) for coloured, view in pairs]).clamp(0, 1)
            return (views - self.mean) / self.std


def _colour(options: Mapping[str, Any], view: int) -> Iterator[nn.Module]:
    """What is done to the colours of one view, in this order."""
    blur, solarise = (options[name][view] for name in ("blur_p", "solarise_p"))
    yield augmentation.ColorJitter(*options["jitter"], p=options["jitter_p"])
    yield augmentation.RandomGrayscale(p=options["grey_p"])
    if blur:
        yield augmentation.RandomGaussianBlur(KERNEL, BLUR, border_type="replicate", p=blur)
    if solarise:
        yield augmentation.RandomSolarize((0.5, 0.5), (0.0, 0.0), p=solarise)
    yield augmentation.RandomHorizontalFlip(p=options["flip_p"])


def _strokes(options: Mapping[str, Any], view: int) -> Iterator[nn.Module]:
    """What is done to pixels that have no colour."""
    del view
    if options["noise"]:
        yield augmentation.RandomGaussianNoise(std=options["noise"], p=1.0)


KINDS = {"colour": _colour, "strokes": _strokes}
