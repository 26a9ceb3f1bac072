"""Backbones: sizes, shapes, a forward pass by hand, and those of a user."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq import classes
from grap_seq.vision.backbone import ConvNet, ResNet18, build_backbone


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_resnet18_has_the_published_number_of_parameters() -> None:
    """torchvision's has 11,689,512, of which 513,000 in its last layer; CIFAR's stem is smaller."""
    assert count(ResNet18(stem="imagenet")) == 11_689_512 - 513_000
    assert count(ResNet18()) == 11_689_512 - 513_000 - 64 * 3 * (49 - 9)


@pytest.mark.parametrize(
    ("stem", "padding", "size", "sides"),
    [
        ("cifar", 1, 32, [32, 32, 16, 8, 4]),
        ("cifar", 2, 32, [34, 34, 17, 9, 5]),
        ("imagenet", 1, 64, [16, 16, 8, 4, 2]),
    ],
)
def test_resnet18_shapes(stem: Any, padding: int, size: int, sides: list[int]) -> None:
    backbone = ResNet18(1, stem, padding).eval()
    shapes = []
    images = torch.rand(2, 1, size, size)
    with torch.no_grad():
        for layer in backbone:
            images = layer(images)
            shapes.append(tuple(images.shape[1:]))
    blocks = shapes[-10:-2]
    widths = (64, 128, 256, 512)
    assert shapes[-11] == (64, sides[0], sides[0])
    assert blocks == [(w, s, s) for w, s in zip(widths, sides[1:], strict=True) for _ in range(2)]
    assert images.shape == (2, ResNet18.features)


def test_resnet18_by_hand() -> None:
    """From the list of its parameters alone."""
    torch.manual_seed(0)
    backbone = ResNet18()
    images = torch.rand(3, 3, 8, 8)
    weights = list(backbone.parameters())

    def step(x: Tensor, stride: int = 1, padding: int = 1) -> Tensor:
        kernel, weight, bias = weights.pop(0), weights.pop(0), weights.pop(0)
        x = F.conv2d(x, kernel, stride=stride, padding=padding)
        mean = x.mean((0, 2, 3), keepdim=True)
        variance = (x - mean).square().mean((0, 2, 3), keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt() * weight[:, None, None] + bias[:, None, None]

    with torch.no_grad():
        found = backbone(images)
        x = step(images).relu()
        for stage in range(4):
            for block in range(2):
                stride = 2 if stage and not block else 1
                y = step(step(x, stride).relu())
                x = (y + (step(x, stride, padding=0) if stride == 2 else x)).relu()
        assert not weights
        torch.testing.assert_close(found, x.mean((2, 3)), rtol=1e-3, atol=1e-3)


def test_another_stem_is_refused() -> None:
    with pytest.raises(ValueError, match="stem=small: choose cifar or imagenet"):
        ResNet18(stem="small")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [8, 16, 28])
def test_convnet(size: int) -> None:
    backbone = ConvNet(1, 32)
    assert count(backbone) == 9 * (32 + 32 * 32 + 32 * 64 + 64 * 128) + 2 * (32 + 32 + 64 + 128)
    assert backbone(torch.rand(2, 1, size, size)).shape == (2, backbone.features) == (2, 128)


class Shaped(nn.Module):
    """A user's: gives features of the shape that it is told."""

    def __init__(self, channels: int, *, shape: list[int]) -> None:
        super().__init__()
        self.norm, self.shape = nn.BatchNorm2d(channels), shape

    def forward(self, images: Tensor) -> Tensor:
        self.norm(images)
        return images.new_zeros(self.shape)


class Several(Shaped):
    def forward(self, images: Tensor) -> Any:
        return [images]


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {f"{__name__}.{name}" for name in ("Shaped", "Several")}
    monkeypatch.setattr(classes, "allowed", {*own, "fractions.Fraction"})


def describe(name: str, **options: Any) -> dict[str, Any]:
    return {"class": f"{__name__}.{name}", **options}


def test_backbones_of_the_package_are_built_by_their_class() -> None:
    path = "grap_seq.vision.backbone."
    resnet, width = build_backbone({"class": path + "ResNet18", "padding": 2}, 3, 32)
    assert isinstance(resnet, ResNet18)
    assert width == 512
    small, width = build_backbone({"name": "convnet", "class": path + "ConvNet", "width": 4}, 1, 16)
    assert isinstance(small, ConvNet)
    assert width == small.features == 16


@pytest.mark.usefixtures("allowed")
def test_a_users_backbone_is_tried_without_a_trace() -> None:
    backbone, width = build_backbone(describe("Shaped", shape=[2, 7]), 3, 8)
    assert width == 7
    assert all(part.training for part in backbone.modules())
    assert isinstance(backbone, Shaped)
    assert backbone.norm.num_batches_tracked == 0


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    ("description", "message"),
    [
        (describe("Shaped", shape=[2, 7, 1, 1]), r"\(2, D\), this one gives \(2, 7, 1, 1\)"),
        (describe("Shaped", shape=[14]), r"this one gives \(14,\)"),
        (describe("Shaped", shape=[1, 7]), r"\(2, 3, 8, 8\) .* this one gives \(1, 7\)"),
        (describe("Several", shape=[]), "this one gives a list"),
        (describe("Shaped", shape=[-1]), "this one fails"),
        (describe("Shaped", size=7), "does not fit the options"),
        ({"class": "fractions.Fraction"}, "fractions.Fraction is no torch.nn.Module"),
        ({"class": "os.system", "command": "true"}, "none of grap_seq's own"),
    ],
)
def test_other_classes_are_refused(description: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_backbone(description, 3, 8)
