"""The plot of scores over shares of the labels."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev

from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from grap_seq.pages.calibration import COLOURS
from grap_seq.pages.read import read
from grap_seq.pages.style import WIDE, styled
from grap_seq.pages.told import ToldFigure
from grap_seq.pages.verdict import METRIC_NAMES


def plot_label_curve(run: Path, width: float = WIDE) -> ToldFigure:
    """Mean score over the random parts of each share, in a band of one deviation.

    Raises:
        ValueError: The run's evaluation has no such curve.
    """
    evaluation = read(run).evaluation
    curve = None if evaluation is None else evaluation["label_curve"]
    if evaluation is None or curve is None:
        raise ValueError(
            f"{run} has no curve over labels; `grap-seq evaluate run={run} "
            "label_fractions=[0.01,0.1,1]` makes one"
        )
    with styled():
        figure = ToldFigure(figsize=(min(width, 5.0), 3.0), layout="constrained")
        axes = figure.subplots()
        for name, colour in COLOURS.items():
            known = [
                (share, [score for score in draws if score is not None])
                for share, draws in zip(curve["fractions"], curve["scores"][name], strict=True)
            ]
            points = [(share, scores) for share, scores in known if scores]
            shares = [share for share, _ in points]
            means = [fmean(scores) for _, scores in points]
            spreads = [stdev(scores) if len(scores) > 1 else 0.0 for _, scores in points]
            pairs = list(zip(means, spreads, strict=True))
            low, high = ([mean + sign * spread for mean, spread in pairs] for sign in (-1, 1))
            axes.plot(shares, means, "o-", ms=3, color=colour, label=name)
            axes.fill_between(shares, low, high, color=colour, alpha=0.12, linewidth=0)
            texts = [
                f"{100 * share:.3g} % of the labels: {mean:.4f} ± {spread:.4f}"
                for share, mean, spread in zip(shares, means, spreads, strict=True)
            ]
            figure.tell(axes, name, shares, means, texts)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(curve["fractions"]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=None))
        axes.set_xlabel("share of the labels that are fitted on")
        axes.set_title(METRIC_NAMES[evaluation["metric"]])
        axes.legend(frameon=False, loc="lower right")
    return figure
