"""The transformer in scikit-learn's own tools."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from lightgbm import LGBMClassifier
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

import grap_seq
from grap_seq import EventEmbedder, nest
from tests.shop import purchases

EVENTS = purchases(60).drop(columns="churned")
LABELS = purchases(60).groupby("customer")["churned"].first()


def embedder(**options: Any) -> EventEmbedder:
    given: dict[str, Any] = {
        "id": "customer",
        "time": "when",
        "categorical": ["kind"],
        "numerical": ["amount"],
        "encoder": {"hidden": 8},
        "epochs": 1,
        "settings": {"event_width": 8, "batch_size": 8, "select": "loss", "trainer.threads": 1},
    }
    return EventEmbedder(**given | options)


def test_histories_nest_and_keep_their_order() -> None:
    shuffled = EVENTS.sample(frac=1, random_state=0)
    nested = nest(shuffled, "customer")
    assert list(nested["customer"]) == list(pd.unique(shuffled["customer"]))
    for customer, amounts in zip(nested["customer"], nested["amount"], strict=True):
        assert list(amounts) == list(shuffled.loc[shuffled["customer"] == customer, "amount"])
    assert nest(pa.Table.from_pandas(EVENTS), "customer").columns[0] == "customer"


def test_events_and_histories_have_the_same_embeddings() -> None:
    fitted = embedder().fit(EVENTS, LABELS)
    by_id = fitted.transform(EVENTS)
    assert list(by_id.index) == sorted(set(EVENTS["customer"]))
    some = nest(EVENTS, "customer").sample(frac=0.5, random_state=0)
    embedded = fitted.transform(some)
    assert list(embedded.index) == list(some.index)
    pd.testing.assert_frame_equal(
        embedded.set_axis(some["customer"]), by_id.loc[some["customer"]], rtol=1e-5, atol=1e-6
    )
    assert list(embedded.columns) == list(fitted.get_feature_names_out())
    pd.testing.assert_frame_equal(by_id, fitted.run_.model.embed(EVENTS))


def test_y_by_rows_is_y_by_id() -> None:
    first = embedder().fit(EVENTS, LABELS.sample(frac=1, random_state=1))
    nested = nest(EVENTS, "customer")
    second = embedder().fit(nested, LABELS.loc[nested["customer"]].to_numpy())
    pd.testing.assert_frame_equal(first.run_.weights, second.run_.weights)


def test_rows_need_no_id() -> None:
    nested = nest(EVENTS, "customer").drop(columns="customer")
    fitted = embedder(id=None).fit(nested, LABELS.to_numpy())
    assert fitted.transform(nested.iloc[5:7]).index.tolist() == [5, 6]


def test_a_pipeline_learns_and_a_search_searches(tmp_path: Path) -> None:
    nested, y = nest(EVENTS, "customer"), LABELS.to_numpy()
    pipeline = make_pipeline(
        embedder(cache=tmp_path), LGBMClassifier(n_estimators=20, min_data_in_leaf=2, verbose=-1)
    )
    assert pipeline.fit(nested, y).score(nested, y) > 0.9
    search = GridSearchCV(
        pipeline,
        {
            "eventembedder__encoder": [{"hidden": 8}, {"hidden": 4}],
            "lgbmclassifier__num_leaves": [3],
        },
        cv=2,
    )
    search.fit(nested, y)
    assert search.best_score_ > 0.6
    # Two halves and the whole, of which one was there, in two sizes: one of them fitted once more.
    runs = len(list(tmp_path.iterdir()))
    assert runs in (5, 6)
    search.fit(nested, y)
    assert len(list(tmp_path.iterdir())) == runs


def test_what_was_fitted_travels(tmp_path: Path) -> None:
    fitted = embedder(cache=tmp_path).fit(EVENTS, LABELS)
    read = pickle.loads(pickle.dumps(fitted))
    pd.testing.assert_frame_equal(read.transform(EVENTS), fitted.transform(EVENTS))
    framed = clone(fitted).set_output(transform="pandas").fit(EVENTS, LABELS)
    pd.testing.assert_frame_equal(framed.transform(EVENTS), fitted.transform(EVENTS))


def test_labels_may_be_numbers_or_missing() -> None:
    spend = LABELS * 1.5 + np.linspace(0, 0.3, len(LABELS))
    fitted = embedder().fit(EVENTS, spend.iloc[:40])
    assert fitted.run_.config["weighting"]["name"] == "grap"
    without = embedder().fit(EVENTS)
    assert without.run_.config["weighting"]["name"] == "equal"


@pytest.mark.parametrize(
    ("options", "table", "y", "message"),
    [
        ({"time": "wen"}, EVENTS, None, "time='wen': there is no such column"),
        ({"id": "user"}, EVENTS, None, "id='user': name the column"),
        ({}, EVENTS, LABELS.to_numpy(), "give a Series whose index is the id"),
        ({}, nest(EVENTS, "customer"), LABELS.iloc[:5], "y has 5 labels, X 60 histories"),
        ({"categorical": ["kid"]}, EVENTS, LABELS, "no column 'kid'; did you mean 'kind'"),
    ],
)
def test_bad_input(options: dict[str, Any], table: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embedder(**options).fit(table, y)


def test_two_rows_of_one_id() -> None:
    nested = nest(EVENTS, "customer")
    twice = pd.concat([nested, nested.iloc[:1]])
    with pytest.raises(ValueError, match="several rows have the same"):
        embedder().fit(twice)


def test_an_unfitted_one_says_so() -> None:
    with pytest.raises(NotFittedError):
        embedder().transform(EVENTS)


# All others hand over arrays of numbers, in which there is no time and no history.
CHECKS = (
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_valid_tag_types",
    "check_estimator_tags_renamed",
    "check_mixin_order",
)


@pytest.mark.parametrize("name", CHECKS)
def test_scikit_learn_s_own_checks(name: str) -> None:
    check = getattr(estimator_checks, name)
    check("EventEmbedder", EventEmbedder())


def test_scikit_learn_leaves_it_at_those() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = estimator_checks.check_estimator(EventEmbedder(), on_skip=None)
    assert {result["status"] for result in results} == {"passed"}
    assert grap_seq.EventEmbedder is EventEmbedder
