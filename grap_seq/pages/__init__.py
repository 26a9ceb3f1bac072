"""A run in pictures and sentences: one HTML page, and its figures for notebooks."""

from __future__ import annotations

from grap_seq.pages.calibration import plot_calibration
from grap_seq.pages.label_curve import plot_label_curve
from grap_seq.pages.page import report
from grap_seq.pages.plots import plot_cosines, plot_embeddings, plot_losses, plot_weights

__all__ = [
    "plot_calibration",
    "plot_cosines",
    "plot_embeddings",
    "plot_label_curve",
    "plot_losses",
    "plot_weights",
    "report",
]
