"""Static fields: repeated at every event of a row, inputs of the model, and never predicted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from grap_seq.batch import Batch
from grap_seq.data.collate import Crop, collate
from grap_seq.data.labels import Examples
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.aggregates import aggregates
from grap_seq.nn.build import build_model
from grap_seq.objectives.composite import loss_names
from grap_seq.schema import Field
from tests.data.toy import SCHEMA, random_rows, table
from tests.nn.test_sequence_model import DESCRIPTION

FACTS = (Field("region", "categorical", size=5), Field("age", "numerical"))
STATIC_SCHEMA = dataclasses.replace(SCHEMA, static=FACTS)
LENGTHS = [4, 1, 7]
REGION, AGE = [3, 1, 4], [0.5, float("nan"), -1.25]


def with_facts(region: list[int]) -> pa.Table:
    """Three rows with facts about them."""
    rows = table(random_rows(LENGTHS)).append_column("region", pa.array(region, pa.int32()))
    return rows.append_column("age", pa.array(AGE, pa.float32()))


def batch_of(region: list[int]) -> Batch:
    sequences = Sequences.from_table(STATIC_SCHEMA, with_facts(region))
    return collate(sequences, [Crop(2, 1, 6, 0), Crop(0, 0, 4, 1), Crop(1, 0, 1, 2)])


def test_a_fact_stands_at_every_event_of_its_row() -> None:
    fields = batch_of(REGION).fields
    assert fields["region"].tolist() == [4] * 5 + [3] * 4 + [1]
    assert fields["region"].dtype == torch.int64
    np.testing.assert_array_equal(fields["age"], [-1.25] * 5 + [0.5] * 4 + [np.nan])


def test_the_model_sees_it_and_no_loss_does() -> None:
    torch.manual_seed(0)
    model = build_model(STATIC_SCHEMA, DESCRIPTION).eval()
    with torch.no_grad():
        one, other = model.embed(batch_of(REGION)), model.embed(batch_of([2, 1, 4]))
    assert not torch.equal(one[1], other[1])
    torch.testing.assert_close(one[[0, 2]], other[[0, 2]])
    assert loss_names(STATIC_SCHEMA) == loss_names(SCHEMA)


def test_aggregates_take_it_as_it_is() -> None:
    rows = Sequences.from_table(STATIC_SCHEMA, with_facts(REGION))
    examples = Examples(np.arange(3), rows.lengths, rows.labels, rows.until)
    found = pd.concat(aggregates(rows, examples, 1200))
    for name, values in (("region/value", REGION), ("age/value", AGE)):
        np.testing.assert_array_equal(found[name], np.array(values, np.float32))
