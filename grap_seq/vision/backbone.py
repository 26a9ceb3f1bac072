"""Networks that turn images into features: ResNet-18, a small one, or the user's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from grap_seq.nn.build import build

Stem = Literal["cifar", "imagenet"]


def _convolution(inputs: int, outputs: int, size: int, stride: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding, bias=False), nn.BatchNorm2d(outputs)
    )


class _Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al., 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs, 3, stride, 1)
        self.second = _convolution(outputs, outputs, 3, 1, 1)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else _convolution(inputs, outputs, 1, stride, 0)

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.second(self.first(images).relu()) + self.shortcut(images)
        return output.relu()


class ResNet18(nn.Sequential):
    """ResNet-18 without its last layer (He et al., 2016): images (B, C, S, S) to (B, 512).

    Args:
        channels: C.
        stem: "imagenet": 7 x 7 with stride 2, and pooling; "cifar", for small images: 3 x 3 with
            stride 1, no pooling.
        padding: of the stem "cifar"; the reference has 2, which makes images larger.

    Raises:
        ValueError: another stem.
    """

    features = 512

    def __init__(self, channels: int = 3, stem: Stem = "cifar", padding: int = 1) -> None:
        super().__init__()
        if stem == "cifar":
            self.append(_convolution(channels, 64, 3, 1, padding)).append(nn.ReLU())
        elif stem == "imagenet":
            self.append(_convolution(channels, 64, 7, 2, 3)).append(nn.ReLU())
            self.append(nn.MaxPool2d(3, 2, 1))
        else:
            raise ValueError(f"stem={stem}: choose cifar or imagenet")
        inputs = 64
        for outputs in (64, 128, 256, 512):
            self.append(_Block(inputs, outputs, 1 if outputs == inputs else 2))
            self.append(_Block(outputs, outputs, 1))
            inputs = outputs
        self.append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten())
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")


class ConvNet(nn.Sequential):
    """Four 3 x 3 convolutions for images of 8 to 32 pixels: (B, C, S, S) to (B, 4 width).

    Args:
        channels: C.
        width: channels of the first two convolutions; the others have twice and four times as many.
    """

    def __init__(self, channels: int = 1, width: int = 32) -> None:
        super().__init__()
        inputs = channels
        for outputs, stride in ((width, 1), (width, 2), (2 * width, 2), (4 * width, 2)):
            self.append(_convolution(inputs, outputs, 3, stride, 1)).append(nn.ReLU())
            inputs = outputs
        self.append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten())
        self.features = inputs


def build_backbone(
    description: Mapping[str, Any], channels: int, size: int
) -> tuple[nn.Module, int]:
    """A backbone with fresh parameters, and the width D of its features.

    Args:
        description: `class`, a dotted path, and the keyword arguments of that class. It is called
            with C first, and must give a module that maps (B, C, S, S) to (B, D).
        channels: C.
        size: S, in pixels.

    Raises:
        ValueError: see `grap_seq.nn.build.build`; or what it gives is no such module.
    """
    backbone = build(description, channels)
    path = description["class"]
    if not isinstance(backbone, nn.Module):
        raise ValueError(f"{path} is no torch.nn.Module; a backbone has to be one")
    given = (2, channels, size, size)
    wanted = f"{path}: a backbone maps images of shape {given} to features of shape (2, D)"
    backbone.eval()
    try:
        with torch.no_grad():
            features = backbone(torch.zeros(given))
    # Whatever a stranger's module raises.
    except Exception as error:
        raise ValueError(f"{wanted}, this one fails: {error}") from error
    finally:
        backbone.train()
    if not isinstance(features, Tensor):
        raise ValueError(f"{wanted}, this one gives a {type(features).__name__}")
    if features.dim() != 2 or len(features) != 2:
        raise ValueError(f"{wanted}, this one gives {tuple(features.shape)}")
    return backbone, features.shape[1]
