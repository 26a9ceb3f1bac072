"""Which sequences are fitted on and scored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grap_seq.data.fraction import chosen
from grap_seq.evaluation.labelled import Labelled
from grap_seq.evaluation.leak import LabelsUsed
from grap_seq.evaluation.origin import Origin
from grap_seq.evaluation.plan import FEW, divide, make_plan
from grap_seq.schema import Label, Schema
from tests.evaluation.fake import SCHEMA

FRESH = LabelsUsed("churn", None, 1.0, "loss")
WEIGHED = LabelsUsed("churn", "weights", 1.0, "probe")
THREE = Label("group", "accuracy", ("a", "b", "c"))
LEARNED = LabelsUsed("churn", "gradient", 1.0, "probe")


def data_of(train: list[int], val: list[int], test: list[int], schema: Schema = SCHEMA) -> Labelled:
    """Splits with so many sequences of each class."""
    labels = [np.repeat(np.arange(len(counts)), counts) for counts in (train, val, test)]
    sizes = [len(part) for part in labels]
    return Labelled(
        schema=schema,
        label=schema.labels[0],
        labels=np.concatenate(labels),
        splits=np.repeat(["train", "val", "test"], sizes),
        ids=np.array([f"c{i}" for i in range(sum(sizes))]),
        features={},
        poolings={},
        pooling="last",
        origin=Origin("model", "data"),
        eval_length=1200,
    )


@pytest.mark.parametrize(
    ("test", "used", "expected"),
    [
        ([FEW, FEW], WEIGHED, "holdout"),
        ([5 * FEW, FEW], FRESH, "holdout"),
        ([FEW, FEW - 1], WEIGHED, "5-fold"),
        ([20, 10], FRESH, "5-fold"),
        # Nobody knows, or folds would lack the training split: holdout leaks nothing.
        ([20, 10], None, "holdout"),
        ([20, 10], LEARNED, "holdout"),
        ([30, 0], LEARNED, "5-fold"),
        ([0, 0], FRESH, "5-fold"),
    ],
)
def test_folds_where_labels_are_few(
    test: list[int], used: LabelsUsed | None, expected: str
) -> None:
    assert make_plan(data_of([60, 40], [10, 10], test), used, "auto", 0).name == expected


def test_no_more_folds_than_the_smallest_class_has_sequences() -> None:
    data = data_of([60, 1], [5, 1], [30, 1])
    plan = make_plan(data, FRESH, "auto", 0)
    assert plan.name == "3-fold"
    assert all(len(np.unique(data.labels[part.test])) == 2 for part in plan.parts)
    with pytest.raises(ValueError, match="from 2 to 3, the size of the smallest class"):
        make_plan(data, FRESH, 5, 0)
    # Accuracy is defined where a class is missing.
    many = Schema("toy", "client", "day", SCHEMA.fields, (THREE,))
    data = data_of([60, 5, 1], [5, 2, 0], [30, 1, 0], many)
    assert make_plan(data, FRESH, 5, 0).name == "5-fold"
    with pytest.raises(ValueError, match="from 2 to 95, the size of the largest class"):
        make_plan(data, FRESH, 96, 0)


@pytest.mark.parametrize("folds", ["some", 2.5, True, -1, 1])
def test_folds_are_a_number(folds: Any) -> None:
    with pytest.raises(ValueError, match=f"folds={folds}: give"):
        make_plan(data_of([20, 20], [5, 5], [5, 5]), FRESH, folds, 0)


def test_holdout_needs_labels_in_train_and_test() -> None:
    for counts in (([0, 0], [5, 5], [9, 9]), ([9, 9], [5, 5], [0, 0])):
        with pytest.raises(ValueError, match="use folds=5"):
            make_plan(data_of(*counts), FRESH, 0, 0)


def test_folds_within_some_splits() -> None:
    data = data_of([20, 20], [5, 5], [9, 9])
    plan = make_plan(data, FRESH, 3, 0, ["train", "val"])
    scored = np.concatenate([part.test for part in plan.parts])
    np.testing.assert_array_equal(np.sort(scored), np.flatnonzero(data.splits != "test"))
    assert plan.notes == ("Folds are made of train and val alone.",)
    assert make_plan(data, FRESH, 3, 0).notes == ()
    with pytest.raises(ValueError, match="add folds=5"):
        make_plan(data, FRESH, 0, 0, ["train", "val"])
    with pytest.raises(ValueError, match=r"within=\['valid'\]: give some of train"):
        make_plan(data, FRESH, 3, 0, ["valid"])


@given(
    st.lists(st.integers(0, 2), min_size=8, max_size=60),
    st.integers(2, 4),
    st.booleans(),
)
def test_every_row_is_scored_once_and_never_fitted_on_with_it(
    classes: list[int], folds: int, grouped: bool
) -> None:
    labels = np.array([*classes, 0, 0, 0, 0])
    owners = np.arange(len(labels)) // 2 if grouped else None
    pairs = divide(labels, owners, folds, 0)
    assert len(pairs) == folds
    np.testing.assert_array_equal(
        np.sort(np.concatenate([test for _, test in pairs])), np.arange(len(labels))
    )
    for train, test in pairs:
        assert len(train) + len(test) == len(labels)
        both = (train, test) if owners is None else (owners[train], owners[test])
        assert not np.intersect1d(*both).size


@pytest.mark.parametrize("folds", [0, 3])
def test_the_classifier_is_fitted_on_the_labels_that_training_saw(folds: int) -> None:
    data = data_of([200, 200], [20, 20], [60, 60])
    used = LabelsUsed("churn", "weights", 0.2, "probe")
    plan, whole = make_plan(data, used, folds, 0), make_plan(data, WEIGHED, folds, 0)
    kept = chosen(pa.array(data.ids), 0.2)
    for part, every in zip(plan.parts, whole.parts, strict=True):
        np.testing.assert_array_equal(part.fit, every.fit[kept[every.fit]])
        np.testing.assert_array_equal(part.predicted, every.predicted)
    count = round(np.mean([len(part.fit) for part in plan.parts]))
    assert f"Fitted on {count} labels, the share of 0.2 that training saw." in plan.notes
    every_label = make_plan(data, used, folds, 0, all_labels=True)
    for part, every in zip(every_label.parts, whole.parts, strict=True):
        np.testing.assert_array_equal(part.fit, every.fit)
    assert every_label.notes == whole.notes
    with pytest.raises(ValueError, match=r"labels\.fraction=0.0001 of the run leaves fewer"):
        make_plan(data, LabelsUsed("churn", None, 1e-4, "loss"), folds, 0)
