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

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score, roc_auc_score

from grap_seq.names import nearest
from grap_seq.schema import Label, Metric

Features = npt.NDArray[np.float32]
Labels = npt.NDArray[Any]
Predictions = npt.NDArray[np.float64]


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
    def from_config(cls, config: Mapping[str, Any]) -> Boosting:
        """Settings from {"binary": {...}, ...}; what is not given keeps its value.

        Raises:
            ValueError: A key that does not exist.
        """
        default, groups = cls(), [f.name for f in fields(cls)]
        for group in config:
            if group not in groups:
                raise ValueError(f"boosting has no group '{group}'; {nearest(group, groups)}")
        return cls(**{g: _override(getattr(default, g), config.get(g) or {}, g) for g in groups})

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
    for key in given:
        if key not in known:
            raise ValueError(f"boosting.{name} has no setting '{key}'; {nearest(key, known)}")
    return BoostingSettings(**{**asdict(default), **given})


def fit_predict(
    features_train: Features,
    labels_train: Labels,
    features_test: Features,
    *,
    label: Label,
    settings: BoostingSettings,
    seed: int,
    threads: int | None = None,
) -> Predictions:
    """Fit on one set of sequences, predict another.

    Args:
        features_train: (sequences, features), NaN where missing.
        labels_train: (sequences,) codes of the label.
        features_test: (sequences, features).
        label: What is predicted.
        settings: LightGBM's parameters.
        seed: Seed of bagging and of the choice of features.
        threads: CPU threads; None: one per core.

    Returns:
        (test sequences, label.outputs): probabilities of the classes, 0 of those that are absent
        from `labels_train`; or the number's code.
    """
    result = np.zeros((len(features_test), label.outputs))
    options = asdict(settings) | {
        "random_state": seed,
        "n_jobs": threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    if not label.classes:
        numbers = lightgbm.LGBMRegressor(**options).fit(features_train, labels_train)
        result[:, 0] = numbers.predict(features_test)
        return result
    seen = np.unique(labels_train)
    if len(seen) < 2:  # nothing to learn: LightGBM would refuse
        result[:, seen] = 1.0
        return result
    model = lightgbm.LGBMClassifier(**options).fit(features_train, labels_train)
    result[:, seen] = model.predict_proba(features_test)
    return result


def score(labels: Labels, predictions: Predictions, label: Label) -> float:
    """Quality of predictions by the label's metric, higher is better.

    accuracy; auc: the area under the ROC curve, with more than two classes the mean over the
    classes, each against the rest; r2: the share of a number's variance that is predicted; mae: the
    mean absolute error with a minus sign, in the label's own unit.

    Args:
        labels: (sequences,) codes of the label.
        predictions: (sequences, label.outputs), as of `fit_predict`.
        label: What is predicted.

    Returns:
        The score; NaN where it is undefined: no sequences, or one class only for an AUC, one
        number only for R².
    """
    if len(labels) == 0 or (label.metric in ("auc", "r2") and len(np.unique(labels)) < 2):
        return float("nan")
    return float(_SCORES[label.metric](labels, predictions)) * (
        label.std if label.metric == "mae" else 1.0
    )


def _auc(labels: Labels, probabilities: Predictions) -> Any:
    positive = [1] if probabilities.shape[1] == 2 else np.unique(labels)
    return np.mean([roc_auc_score(labels == c, probabilities[:, c]) for c in positive])


_SCORES: dict[Metric, Callable[[Labels, Predictions], Any]] = {
    "auc": _auc,
    "accuracy": lambda labels, found: accuracy_score(labels, found.argmax(axis=1)),
    "r2": lambda labels, found: r2_score(labels, found[:, 0]),
    "mae": lambda labels, found: -mean_absolute_error(labels, found[:, 0]),
}


def fit_score(
    features_train: Features,
    labels_train: Labels,
    features_test: Features,
    labels_test: Labels,
    label: Label,
    seed: int,
    threads: int | None = None,
    *,
    boosting: Boosting | None = None,
) -> float:
    """Fit on one set of sequences, score on another; see `fit_predict` and `score`."""
    predictions = fit_predict(
        features_train,
        labels_train,
        features_test,
        label=label,
        settings=(boosting or Boosting()).settings(label),
        seed=seed,
        threads=threads,
    )
    return score(labels_test, predictions, label)


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
