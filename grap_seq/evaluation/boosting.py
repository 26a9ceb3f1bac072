"""The classifier that judges embeddings: LightGBM with fixed settings on frozen features.

Fixed, because an embedding has to be good without a classifier tuned on it. The settings are those
of the published event-sequence benchmark: 500 shallow trees for two classes, 1000 deeper ones for
more, no early stopping; for numbers, which it has none of, those for two classes. They are
dataclasses, so that a config can override every one of them.

Results depend on the seed alone: `deterministic` and `force_row_wise` make LightGBM add up its
histograms in one order, whatever the number of threads.

Small data: a leaf needs `min_data_in_leaf` = 50 of the sequences that a tree sees, so with few
labelled sequences no tree can split. The settings stay as they are then, because a silent change
would make results incomparable; `caveats` says so and names the key to lower.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from grap_seq.evaluation.scores import Labels
from grap_seq.names import nearest
from grap_seq.schema import Label
from grap_seq.settings import BOOSTING


@dataclass(frozen=True)
class BoostingSettings:
    """LightGBM's parameters under LightGBM's names; the defaults are those for two classes."""

    n_estimators: int = 500
    learning_rate: float = 0.02
    max_depth: int = 6
    num_leaves: int = 31
    min_data_in_leaf: int = 50
    bagging_fraction: float = 0.5
    bagging_freq: int = 1
    feature_fraction: float = 0.75
    lambda_l1: float = 1.0
    lambda_l2: float = 1.0
    max_bin: int = 255


@dataclass(frozen=True)
class Boosting:
    """Settings for two classes, for more, and for numbers."""

    binary: BoostingSettings = field(default_factory=BoostingSettings)
    multiclass: BoostingSettings = field(
        default_factory=lambda: BoostingSettings(
            n_estimators=1000, max_depth=12, num_leaves=50, bagging_fraction=0.75
        )
    )
    regression: BoostingSettings = field(default_factory=BoostingSettings)

    @classmethod
    def from_config(cls, *configs: Mapping[str, Any]) -> Boosting:
        """Settings from {"binary": {...}, ...}; what is not given keeps its value.

        Of several configs, a later one overrides an earlier one.

        Raises:
            ValueError: A key that does not exist, or a value that is no number.
        """
        groups = {f.name: getattr(cls(), f.name) for f in fields(cls)}
        for config in configs:
            for name, given in config.items():
                if name not in groups:
                    meant = nearest(name, list(groups))
                    raise ValueError(f"boosting has no group '{name}'; {meant}")
                groups[name] = _override(groups[name], given or {}, name)
        return cls(**groups)

    def settings(self, label: Label) -> BoostingSettings:
        settings: BoostingSettings = getattr(self, group(label))
        return settings


def group(label: Label) -> str:
    """Which of the settings of `Boosting` are for a label."""
    if not label.classes:
        return "regression"
    return "binary" if len(label.classes) == 2 else "multiclass"


def _override(default: BoostingSettings, given: Mapping[str, Any], name: str) -> BoostingSettings:
    known = [f.name for f in fields(BoostingSettings)]
    for key, value in given.items():
        if key not in known:
            raise ValueError(f"boosting.{name} has no setting '{key}'; {nearest(key, known)}")
        setting = f"boosting.{name}.{key}"
        BOOSTING[setting].check(f"{setting}={value}", value)
    return replace(default, **given)


def for_few(settings: BoostingSettings, rows: int) -> BoostingSettings:
    """The same, with leaves of a twentieth of the rows, and so much less L1, where rows are few."""
    share = max(2, rows // 20) / settings.min_data_in_leaf
    if share >= 1:
        return settings
    leaf = round(share * settings.min_data_in_leaf)
    return replace(settings, min_data_in_leaf=leaf, lambda_l1=share * settings.lambda_l1)


def caveats(
    labels_train: Labels, labels_test: Labels, label: Label, settings: BoostingSettings
) -> list[str]:
    """What a reader must know about a score of these sequences, in sentences; often nothing."""
    found = []
    for name, labels in (("fitted", labels_train), ("scored", labels_test)):
        missing = [c for i, c in enumerate(label.classes) if not (labels == i).any()]
        if missing:
            found.append(
                f"No sequence of class {', '.join(missing)} among the {len(labels)} on which the "
                f"classifier is {name}."
            )
    rows = int(len(labels_train) * settings.bagging_fraction)
    if rows < 4 * settings.min_data_in_leaf:
        found.append(
            f"A tree sees {rows} sequences and needs {settings.min_data_in_leaf} in a leaf, so it "
            f"can hardly split: lower boosting.{group(label)}.min_data_in_leaf."
        )
    return found
