"""LightGBM on features that are binned once, however many classifiers are fitted on them.

Folds, seeds and parts of the labels are fits on rows of the same features. LightGBM's own `cv` does
the same: bins are quantiles of a column over all rows that any fit uses, and no label has a part in
them. A fit copies its rows' bins, a byte each, and never the features themselves.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import lightgbm
import numpy as np

from grap_seq.evaluation.boosting import Boosting, BoostingSettings
from grap_seq.evaluation.features import BATCH, Array, Features, Rows
from grap_seq.evaluation.scores import Labels, Predictions, score
from grap_seq.evaluation.trees import Trees
from grap_seq.schema import Label

BIN_VALUES = 24_000_000
"""Values from which the bins are found, at most: LightGBM holds them as doubles with their rows."""


class Binned:
    """One set of features, ready to be fitted on.

    Args:
        features: (N, columns), NaN where missing.
        rows: Rows that may be fitted on, ascending.
        settings: LightGBM's parameters.
        threads: CPU threads; None: one per core.
    """

    def __init__(
        self, features: Features, rows: Rows, settings: BoostingSettings, threads: int | None = None
    ) -> None:
        self.features, self.rows, self.settings = features, rows, settings
        parameters = {
            **_parameters(settings, threads),
            "bin_construct_sample_cnt": len(rows),
            # A leaf's size may differ between fits, so no column is left out for it.
            "feature_pre_filter": False,
        }
        some, most = rows, BIN_VALUES // features.shape[1]
        if len(rows) > most:
            some = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
        data = lightgbm.Dataset(features[some], np.zeros(len(some)), params=parameters).construct()
        if len(rows) > most:
            every = _Some(features, rows)
            data = lightgbm.Dataset(
                every, np.zeros(len(rows)), reference=data, params=parameters
            ).construct()
        self._data = data

    @property
    def size(self) -> int:
        """Bytes of the bins of all rows."""
        return len(self.rows) * self.features.shape[1]

    def fit(
        self,
        fitted: Rows,
        labels: Labels,
        *,
        label: Label,
        settings: BoostingSettings,
        seed: int,
        threads: int | None = None,
    ) -> Trees:
        """Fit on some rows.

        Args:
            fitted: Row numbers, among `rows`, ascending.
            labels: Their codes.
            label: What is predicted.
            settings: LightGBM's parameters; `max_bin` is that of the bins.
            seed: Seed of bagging and of the choice of features.
            threads: CPU threads; None: one per core.
        """
        parameters = _parameters(settings, threads) | {"seed": seed}
        outputs = np.arange(1)
        if not label.classes:
            parameters["objective"] = "regression"
        else:
            outputs, labels = np.unique(labels, return_inverse=True)
            if len(outputs) < 2:  # nothing to learn: LightGBM would refuse
                return Trees(outputs, label.outputs, None)
            if len(outputs) == 2:
                parameters["objective"] = "binary"
            else:
                parameters |= {"objective": "multiclass", "num_class": len(outputs)}
        # LightGBM's number of threads is one of the process: a part that is cut with another one
        # beside a fit lets this write behind its buffers.
        own = {**(self._data.params or {}), "num_threads": parameters["num_threads"]}
        data = self._data.subset(np.searchsorted(self.rows, fitted).tolist(), own).construct()
        model = lightgbm.train(parameters, data.set_label(labels), settings.n_estimators)
        return Trees(outputs, label.outputs, model)

    def predict(self, trees: Trees, rows: Rows, threads: int | None = None) -> Predictions:
        """Predictions (rows, label.outputs) of some rows."""
        parts = [trees.predict(part, threads) for part in self.features.batches(rows)]
        return np.concatenate([np.zeros((0, trees.width)), *parts])


class _Some(lightgbm.Sequence):
    """Rows of features as LightGBM reads them, a batch at a time."""

    batch_size = BATCH

    def __init__(self, features: Features, rows: Rows) -> None:
        self.features, self.rows = features, rows

    def __getitem__(self, index: Any) -> Array:
        return self.features[self.rows[index]]

    def __len__(self) -> int:
        return len(self.rows)


def _parameters(settings: BoostingSettings, threads: int | None) -> dict[str, Any]:
    """LightGBM's parameters, under which results depend on the seed alone."""
    chosen = asdict(settings)
    del chosen["n_estimators"]
    fixed = {"deterministic": True, "force_col_wise": True, "verbosity": -1}
    return {**chosen, **fixed, "num_threads": threads or 0}


def fit_predict(
    features_train: Array,
    labels_train: Labels,
    features_test: Array,
    *,
    label: Label,
    settings: BoostingSettings,
    seed: int,
    threads: int | None = None,
) -> Predictions:
    """Fit on one set of sequences, predict another; see `Binned.fit` and `Trees.predict`."""
    rows = np.arange(len(features_train) + len(features_test))
    features = Features((np.concatenate([features_train, features_test]),))
    fitted, predicted = np.split(rows, [len(features_train)])
    binned = Binned(features, fitted, settings, threads)
    trees = binned.fit(
        fitted, labels_train, label=label, settings=settings, seed=seed, threads=threads
    )
    return binned.predict(trees, predicted, threads)


def fit_score(
    features_train: Array,
    labels_train: Labels,
    features_test: Array,
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
