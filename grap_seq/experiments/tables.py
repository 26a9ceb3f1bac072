"""The tables that can be made, and by the time that there is how long a run may be.

Names alone: settings are checked by them before anything else is imported.
"""

from __future__ import annotations

from grap_seq.experiments.methods import NOISE, SCALES

WEIGHTINGS = ("equal", "gradnorm", "dwa", "mgda", "pcgrad", "grap")
# What each of the paper's tables compares.
TABLES: dict[str, tuple[str, ...]] = {
    "1": ("supervised", *WEIGHTINGS),
    "2": ("ntp_equal", "ntp_searched", "ntp_grap"),
    "3": ("default", "without_attention", *WEIGHTINGS, "grap_medians"),
    "4": ("grap_5", "grap_10", "grap_20", "grap_50", "grap"),
    "5": ("grap_none", "grap_sum", "grap"),
    "6": ("supervised", "auxiliary", "equal", "equal_tuned", "grap", "grap_tuned"),
    "7": ("equal", "grap"),
    # Not in the paper: losses of pure noise, and one loss on another scale.
    "redundancy": tuple(
        f"{name}{noise}"
        for name in ("equal", "grap")
        for noise in ("", "_without", *(f"_noise{count}" for count in NOISE))
    ),
    "scale": tuple(
        f"{name}{scale}"
        for name in ("equal", "gradnorm", "grap")
        for scale in ("", *(f"_coles{factor}" for factor in SCALES))
    ),
}
# What the methods of a table are compared with, where it is not equal weights.
REFERENCES = {"2": "ntp_equal", "3": "default", "4": "grap", "5": "grap"}
# The table of images.
IMAGES = "3"
# Settings of `vision` by the time that there is.
IMAGE_BUDGETS: dict[str, tuple[str, ...]] = {
    "full": (),
    "small": ("epochs=10",),
    "smoke": ("epochs=1", "trainer.max_steps=2", "batch_size=16", "heads.queue=64"),
}
# Settings of `pretrain` and of LightGBM by the time that there is.
BUDGETS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "full": ((), ()),
    "small": (("min_steps=600", "max_epochs=30", "min_epochs=2"), ()),
    "smoke": (
        (
            *("epochs=1", "trainer.max_steps=2", "batch_size=4", "encoder.hidden=8"),
            *("dataset.crops.max_length=32", "select=last", "event_width=8"),
        ),
        tuple(
            f"boosting.{group}.{name}"
            for group in ("binary", "multiclass", "regression")
            for name in ("n_estimators=5", "min_data_in_leaf=2")
        ),
    ),
}
