"""Logistic (of a number: ridge) regression on embeddings: how much of what they know is linear.

On few sequences it is often the better classifier, and a published habit ("linear probe"). Columns
are standardised, and the strength of the penalty is chosen by folds, all inside the rows that the
classifier is fitted on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from grap_seq.evaluation.features import Array, Features, Rows
from grap_seq.evaluation.plan import Part, divide
from grap_seq.evaluation.scores import Labels, Predictions, score
from grap_seq.schema import Label

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Values of scikit-learn's C, the inverse of the penalty, to choose from."""
PENALTIES = tuple(10.0**power for power in range(6))
"""Of ridge regression, to choose from."""
INNER_FOLDS = 3


def logistic_predictions(
    features: Features,
    labels: Labels,
    part: Part,
    label: Label,
    *,
    seed: int,
    owners: Rows | None = None,
) -> Predictions:
    """Fit on one set of sequences, predict another.

    Args:
        features: (N, columns), without missing values.
        labels: (N,) codes of the label.
        part: What is fitted and predicted.
        label: What is predicted, and the score to choose the penalty by.
        seed: Seed of the folds.
        owners: (N,) number of the sequence, where sequences have several rows.

    Returns:
        (predicted rows, label.outputs): probabilities, 0 of classes that are never fitted; or the
        number's code, by ridge regression.
    """
    fitted = labels[part.fit]
    if not label.classes:
        return _ridge(features, fitted, part, seed, owners)
    seen = np.unique(fitted)
    result = np.zeros((len(part.predicted), label.outputs))
    if len(seen) < 2:  # nothing to learn
        result[:, seen] = 1.0
        return result

    def by_metric(model: Any, x: Array, y: Labels) -> float:
        found = np.zeros((len(x), label.outputs))
        found[:, model.classes_] = model.predict_proba(x)
        return score(y, found, label)

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    within = None if owners is None else owners[part.fit]
    if min(np.bincount(fitted)[seen]) >= INNER_FOLDS:
        model = GridSearchCV(
            model,
            {"logisticregression__C": STRENGTHS},
            scoring=by_metric,
            cv=divide(fitted, within, INNER_FOLDS, seed),
        )
    model.fit(features[part.fit].astype(np.float64), fitted)
    result[:, seen] = model.predict_proba(features[part.predicted].astype(np.float64))
    return result


def _ridge(
    features: Features, fitted: Labels, part: Part, seed: int, owners: Rows | None
) -> Predictions:
    within = None if owners is None else owners[part.fit]
    folds = divide(fitted, within, INNER_FOLDS, seed)
    model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES, cv=folds))
    model.fit(features[part.fit].astype(np.float64), fitted)
    found: Predictions = model.predict(features[part.predicted].astype(np.float64))
    return found[:, None]
