"""Objects from their descriptions."""

from __future__ import annotations

from typing import Any

import pytest

from grap_seq.nn.build import allow, build, build_model
from grap_seq.nn.event_embedding import EventEmbedding
from grap_seq.nn.gru import GRUEncoder
from grap_seq.weighting import Fixed
from tests.data.toy import SCHEMA, batch_of, random_rows


def test_a_model_is_as_described() -> None:
    description = {
        "event_width": 16,
        "max_time_gap": 3.0,
        "table_widths": {"type": 3},
        "encoder": {"name": "gru", "class": "grap_seq.nn.gru.GRUEncoder", "hidden": 12},
        "pooling": "mean",
    }
    model = build_model(SCHEMA, description)
    assert isinstance(model.encoder, GRUEncoder)
    assert (model.encoder.rnn.input_size, model.encoder.rnn.hidden_size) == (16, 12)
    assert isinstance(model.embedding, EventEmbedding)
    assert model.embedding.tables[0].weight.shape == (7, 3)
    assert model.embedding.max_time_gap == 3.0
    assert (model.pooling, model.output_size) == ("mean", 12)


def test_a_transformer_projects_the_columns_themselves() -> None:
    encoder = {
        "name": "transformer",
        "class": "grap_seq.nn.transformer.TransformerEncoder",
        "event_width": 0,
        "hidden": 8,
    }
    tables = {"type": 3, "owner": 2}
    shared = {"max_time_gap": 3.0, "table_widths": tables, "encoder": encoder, "pooling": "last"}
    model = build_model(SCHEMA, {**shared, "event_width": 0})
    # Two tables; the time gap and two numbers; two flags of missing numbers.
    assert model.encoder.projection.in_features == 3 + 2 + 3 + 2
    rows = random_rows([4, 9], seed=1)
    model.eval()
    assert model.embedding(batch_of(rows)).shape == (13, 10)
    assert build_model(SCHEMA, {**shared, "event_width": 16}).encoder.projection.in_features == 16


def test_entries_for_others_are_left_out() -> None:
    fixed = {"name": "fixed", "class": "grap_seq.weighting.Fixed", "weights": {"a": 2.0}, "lr": 0.1}
    weighting = build(fixed, ["a"], without=("lr",))
    assert isinstance(weighting, Fixed)
    assert weighting.named_weights() == {"a": 2.0}


@pytest.mark.parametrize(
    "path", ["grap_seq.nn.gru.LSTMEncoder", "no_such_package.Encoder", "grap_seq.nn.no.Encoder"]
)
def test_build_names_a_class_that_it_cannot_find(path: str) -> None:
    allow(path)
    with pytest.raises(ValueError, match=f"class: '{path}' cannot be imported"):
        build({"class": path}, 16)


@pytest.mark.parametrize("options", [{"layers": 2}, {"width": 3}])
def test_build_names_an_option_that_the_class_does_not_take(options: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=rf"GRUEncoder does not fit the options.*{next(iter(options))}"
    ):
        build({"class": "grap_seq.nn.gru.GRUEncoder", **options}, 16)


class Broken:
    """A constructor with a bug of its own."""

    def __init__(self, size: int) -> None:
        self.size = size + "1"  # type: ignore[operator]


def test_a_bug_in_a_constructor_is_not_called_a_wrong_option() -> None:
    allow(f"{__name__}.Broken")
    with pytest.raises(TypeError, match="unsupported operand"):
        build({"class": f"{__name__}.Broken"}, 16)
