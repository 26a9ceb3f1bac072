"""All losses together: their names, their parts, and no dependence on how rows are packed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from ptls.data_load.padded_batch import PaddedBatch
from torch import Tensor, nn

from grap_seq.data.batch import OWNER, Crop, collate
from grap_seq.data.labels import LABEL
from grap_seq.nn.event_embedding import EventEmbedding
from grap_seq.nn.gru import GRUEncoder
from grap_seq.nn.positions import flatten, last_positions, lengths
from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.objectives.coles import ColesHead
from grap_seq.objectives.composite import CompositeObjective, loss_names
from grap_seq.objectives.next_event import NextEvents, NumberHead, TimeHead
from grap_seq.schema import Field, Schema
from grap_seq.weighting import Equal, GraP
from tests.data.toy import SCHEMA, UNLABELLED_SCHEMA, random_rows, sequences

ROWS = random_rows([12, 7, 30, 2, 18, 5], seed=4)
# Views of different lengths of each sequence.
CROPS = [
    Crop(row, start, stop, row)
    for row in range(len(ROWS))
    for start, stop in ((0, 2), (0, len(ROWS[row]["type"])), (len(ROWS[row]["type"]) // 3, 10**6))
]
CROPS = [Crop(c.row, c.start, min(c.stop, len(ROWS[c.row]["type"])), c.owner) for c in CROPS]


def batch_of(max_padding: float = 0.1) -> list[PaddedBatch]:
    return collate(sequences(ROWS), CROPS, max_padding)


def objective_of(
    schema: Schema = SCHEMA, names: Sequence[str] = (), **options: Any
) -> CompositeObjective:
    torch.manual_seed(1)
    weighting = GraP(list(names) or loss_names(schema))
    return CompositeObjective(schema, weighting, 8, width=6, **options)


def model_of() -> SequenceModel:
    torch.manual_seed(0)
    return SequenceModel(EventEmbedding(SCHEMA.fields, width=10), GRUEncoder(10, hidden=8))


def losses_of(objective: CompositeObjective, groups: list[PaddedBatch]) -> dict[str, Tensor]:
    return dict(objective(groups, model_of().eval()(groups)))


def test_loss_names() -> None:
    assert loss_names(SCHEMA) == ["coles", "time", "type", "owner", "a.b", "score"]
    assert loss_names(SCHEMA, coles=False) == ["time", "type", "owner", "a.b", "score"]
    assert loss_names(SCHEMA, next_event=False) == ["coles"]
    with pytest.raises(ValueError, match="next_event=true, coles=true"):
        loss_names(SCHEMA, next_event=False, coles=False)


@pytest.mark.parametrize("name", ["coles", "time", "downstream"])
def test_a_field_with_the_name_of_a_loss_is_refused(name: str) -> None:
    schema = Schema("toy", "client", "day", (Field(name, "numerical"),))
    with pytest.raises(ValueError, match=f"'{name}'.*rename"):
        loss_names(schema)


@pytest.mark.parametrize(
    "names",
    [
        ["coles", "time", "type", "owner", "a.b", "score"],
        ["time", "type", "owner", "a.b", "score"],
        ["coles"],
        ["score", "coles"],
    ],
)
@pytest.mark.parametrize("schema", [SCHEMA, UNLABELLED_SCHEMA])
def test_a_batch_has_the_chosen_losses(names: list[str], schema: Schema) -> None:
    found = losses_of(objective_of(schema, names), batch_of())
    assert set(found) == {*names} | ({"downstream"} if schema is SCHEMA else set())
    for name, loss in found.items():
        assert loss.shape == (), name
        assert loss.isfinite(), name
        assert loss > 0, name


def test_losses_are_those_of_their_heads_on_their_own_hidden_layers() -> None:
    groups = batch_of()
    objective = objective_of(coles_margin=1.2, coles_negatives=3, max_time_gap=2.0).eval()
    found = losses_of(objective, groups)
    states = flatten(model_of().eval()(groups))
    names = [*loss_names(SCHEMA), "downstream"]
    bank = objective.bank
    hidden = {name: states @ bank.weight[j].T + bank.bias[j] for j, name in enumerate(names)}
    events = NextEvents.of(groups)
    heads = dict(zip(objective.next_event_names, objective.next_event, strict=True))
    assert list(heads) == names[1:-1]
    for name, head in heads.items():
        torch.testing.assert_close(found[name], head(hidden[name], events), msg=name)
    assert isinstance(objective.coles, ColesHead)
    assert (objective.coles.margin, objective.coles.negatives) == (1.2, 3)
    owners = torch.cat([group.payload[OWNER] for group in groups])
    last = hidden["coles"][last_positions(groups)]
    torch.testing.assert_close(found["coles"], objective.coles(last, owners))
    labels = torch.cat([group.payload[LABEL] for group in groups])
    assert objective.downstream is not None
    down = objective.downstream(hidden["downstream"], labels, lengths(groups))
    torch.testing.assert_close(found["downstream"], down)
    time = heads["time"]
    assert isinstance(time, TimeHead)
    assert time.max_gap == 2.0


def test_next_events_of_windows_beside_the_views_of_coles() -> None:
    windows = [Crop(i, 0, len(row["type"]), i, window=True) for i, row in enumerate(ROWS)]
    objective = objective_of(time_jitter=0.0).eval()
    views, alone, both = (
        losses_of(objective, collate(sequences(ROWS), crops))
        for crops in (CROPS, windows, [*CROPS, *windows])
    )
    for name in loss_names(SCHEMA):
        expected = views[name] if name == "coles" else alone[name]
        torch.testing.assert_close(both[name], expected, msg=name)
        assert (views[name] - alone[name]).abs() > 1e-6, name


def test_values_are_conditional_where_the_schema_says_by_which_field() -> None:
    conditions = {}
    for condition in (True, False):
        objective = objective_of(condition_values=condition)
        heads = dict(zip(objective.next_event_names, objective.next_event, strict=True))
        for name in ("a.b", "score"):
            head = heads[name]
            assert isinstance(head, NumberHead)
            conditions[condition, name] = head.condition
    table = conditions[True, "a.b"]
    assert isinstance(table, nn.Embedding)
    assert table.weight.shape == (7, 6)
    assert (
        conditions[True, "score"] is conditions[False, "a.b"] is conditions[False, "score"] is None
    )


@pytest.mark.parametrize("training", [True, False])
def test_losses_and_gradients_do_not_depend_on_the_rectangles(training: bool) -> None:
    results = []
    for max_padding in (0.0, 0.1, 1.0):
        groups = batch_of(max_padding)
        model = model_of().train(training)
        objective = objective_of(time_jitter=0.0).train(training)
        losses = dict(objective(groups, model(groups)))
        total = torch.stack(list(losses.values())).sum()
        parameters = [p for p in (*model.parameters(), *objective.parameters()) if p.requires_grad]
        results.append((len(groups), losses, torch.autograd.grad(total, parameters)))
    assert results[0][0] > results[1][0] > results[2][0] == 1
    for _, losses, gradients in results[1:]:
        for name, loss in losses.items():
            torch.testing.assert_close(loss, results[0][1][name], rtol=1e-6, atol=1e-6, msg=name)
        for ours, theirs in zip(gradients, results[0][2], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


def test_sequences_of_one_event_give_finite_losses() -> None:
    rows = random_rows([1, 1, 1])
    groups = collate(sequences(rows), [Crop(i, 0, 1, i) for i in range(3)])
    for loss in losses_of(objective_of(), groups).values():
        assert loss.isfinite()


def test_weights_follow_the_objectives_weighting() -> None:
    weighting = Equal(loss_names(SCHEMA))
    assert CompositeObjective(SCHEMA, weighting, 8).weighting is weighting
