"""How long a run trains. What counts is the number of optimiser steps, not that of epochs."""

from __future__ import annotations

from typing import Any

from grap_seq.settings import AUTO
from grap_seq.terminal import say


def with_epochs(config: Any, steps: int) -> Any:
    """A copy of a config whose `epochs` is a number.

    `auto` becomes the fewest epochs that make `min_steps` steps, but no fewer than `min_epochs` and
    no more than `max_epochs`.

    Args:
        config: of `pretrain` or `finetune`.
        steps: optimiser steps of an epoch.

    Raises:
        ValueError: `min_epochs` above `max_epochs`.
    """
    config = config.copy()
    if config.epochs == AUTO:
        if config.min_epochs > config.max_epochs:
            raise ValueError(
                f"min_epochs={config.min_epochs} and max_epochs={config.max_epochs}: give the"
                " smaller number as min_epochs"
            )
        wanted = max(config.min_epochs, -(-config.min_steps // steps))
        config.epochs = min(wanted, config.max_epochs)
        short = f", fewer than min_steps={config.min_steps:,}: max_epochs is {config.max_epochs}"
        say(
            f"epochs=auto: {config.epochs} epochs of {steps:,} steps make"
            f" {config.epochs * steps:,} steps{short if wanted > config.max_epochs else ''}",
        )
    return config
