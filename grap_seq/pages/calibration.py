"""The calibration plot: how often predictions of some probability come true."""

from __future__ import annotations

from pathlib import Path

from grap_seq.pages.read import read
from grap_seq.pages.style import BLUE, GREY, INK, PALE, RED, WIDE, styled
from grap_seq.pages.told import ToldFigure

COLOURS = {"embedding": BLUE, "aggregates": RED, "both": INK, "untrained": GREY}
_SIDE = 3.4  # inches of the square


def plot_calibration(run: Path, width: float = WIDE) -> ToldFigure:
    """Share that came true over the probability predicted, in tenths of the scored sequences.

    Raises:
        ValueError: The run has no evaluation.
    """
    evaluation = read(run).evaluation
    if evaluation is None:
        raise ValueError(f"{run} has no evaluation.json; `grap-seq evaluate` writes it")
    with styled():
        figure = ToldFigure(figsize=(min(width, _SIDE), _SIDE), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=PALE, linewidth=1, zorder=0)
        for name, colour in COLOURS.items():
            bins = evaluation["calibration"][name]
            predicted, observed = bins["predicted"], bins["observed"]
            axes.plot(predicted, observed, "o-", ms=3, color=colour, label=name)
            pairs = zip(predicted, observed, strict=True)
            texts = [f"predicted {said:.3f}, came true {true:.3f}" for said, true in pairs]
            figure.tell(axes, name, predicted, observed, texts)
        axes.set_aspect("equal")
        axes.set_xlabel("probability predicted")
        axes.set_title("share that came true")
        axes.legend(frameon=False, loc="upper left")
    return figure
