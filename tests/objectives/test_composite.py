"""All losses together: their names, their parts, and no dependence on how rows are packed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from grap_seq.batch import Batch
from grap_seq.data.collate import Crop, collate
from grap_seq.nn.encoder import Encoded
from grap_seq.nn.event_embedding import EventEmbedding
from grap_seq.nn.gru import GRUEncoder
from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.objectives.coles import ColesHead
from grap_seq.objectives.composite import CompositeObjective, loss_names
from grap_seq.objectives.means import means
from grap_seq.objectives.next_event import NumberHead, TimeHead
from grap_seq.objectives.targets import draw
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


def batch_of() -> Batch:
    return collate(sequences(ROWS), CROPS)


def objective_of(
    schema: Schema = SCHEMA, names: Sequence[str] = (), **options: Any
) -> CompositeObjective:
    torch.manual_seed(1)
    weighting = GraP(list(names) or loss_names(schema))
    return CompositeObjective(schema, weighting, 8, width=6, **options)


def model_of() -> SequenceModel:
    torch.manual_seed(0)
    return SequenceModel(EventEmbedding(SCHEMA.fields, width=10), GRUEncoder(10, hidden=8))


def losses_of(objective: CompositeObjective, batch: Batch) -> dict[str, Tensor]:
    return dict(objective(batch, model_of().eval()(batch)))


def test_loss_names() -> None:
    assert loss_names(SCHEMA) == ["coles", "time", "type", "owner", "a.b", "score"]
    assert loss_names(SCHEMA, coles=False) == ["time", "type", "owner", "a.b", "score"]
    assert loss_names(SCHEMA, targets=[]) == ["coles"]
    families = loss_names(SCHEMA, targets=["past", "next"], coles=False)
    past = ["past_time", "past_type", "past_owner", "past_a.b", "past_score"]
    assert families == [*past, "time", "type", "owner", "a.b", "score"]
    with pytest.raises(ValueError, match=r"targets=\[next\], coles=true"):
        loss_names(SCHEMA, targets=[], coles=False)
    with pytest.raises(ValueError, match=r"'later' is no kind.*next, past, future"):
        loss_names(SCHEMA, targets=["next", "later"])


def test_a_field_with_the_name_of_another_familys_loss_is_refused() -> None:
    fields = (Field("age", "numerical"), Field("past_age", "numerical"))
    schema = Schema("toy", "client", "day", fields)
    assert loss_names(schema, coles=False) == ["time", "age", "past_age"]
    with pytest.raises(ValueError, match=r"'past_age'.*rename"):
        loss_names(schema, targets=["next", "past"])


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
    batch = batch_of()
    objective = objective_of(coles_margin=1.2, coles_negatives=3, max_time_gap=2.0).eval()
    found = losses_of(objective, batch)
    states = model_of().eval()(batch).states
    names = [*loss_names(SCHEMA), "downstream"]
    bank = objective.bank
    hidden = {name: states @ bank.weight[j].T + bank.bias[j] for j, name in enumerate(names)}
    heads = objective.named_heads
    assert list(heads) == names[1:-1]
    for name, head in heads.items():
        ((loss, count),) = means(head(hidden[name], batch, draw(batch, ["next"])["next"]))
        torch.testing.assert_close(found[name], loss, msg=name)
        assert objective.counts[name] == count
    assert isinstance(objective.coles, ColesHead)
    assert (objective.coles.contrast.margin, objective.coles.contrast.negatives) == (1.2, 3)
    loss, pairs = objective.coles(
        hidden["coles"][batch.layout.ends], batch.owners, batch.view_owners
    )
    torch.testing.assert_close(found["coles"], loss)
    # Three views of each of six sequences: 3 positive pairs each, 3 negatives a view.
    assert objective.counts["coles"] == pairs == 6 * 3 + 18 * 3
    targets = batch.labels.repeat_interleave(batch.layout.lengths)
    assert objective.downstream is not None
    ((loss, count),) = means(objective.downstream(hidden["downstream"], targets))
    torch.testing.assert_close(found["downstream"], loss)
    assert objective.counts["downstream"] == count == (targets >= 0).sum()
    time = heads["time"]
    assert isinstance(time, TimeHead)
    assert time.max_gap == 2.0


def test_earlier_and_later_events_are_predicted_at_some_positions() -> None:
    """Every loss is its head's on the positions that the same random numbers give."""
    batch, names = batch_of(), loss_names(SCHEMA, ["future", "past"], coles=False)
    objective = objective_of(names=names, targets=["future", "past"], time_jitter=0.0).eval()
    states = model_of().eval()(batch).states
    torch.manual_seed(5)
    found = objective(batch, Encoded(states, batch.layout.ends))
    torch.manual_seed(5)
    targets = draw(batch, ("future", "past"))
    assert list(objective.named_heads) == names
    for j, (name, head) in enumerate(objective.named_heads.items()):
        chosen = targets[name.partition("_")[0]]
        hidden = states[chosen.positions] @ objective.bank.weight[j].T + objective.bank.bias[j]
        ((loss, count),) = means(head(hidden, batch, chosen))
        torch.testing.assert_close(found[name], loss, msg=name)
        assert objective.counts[name] == count


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
        heads = objective.named_heads
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
def test_losses_and_gradients_do_not_depend_on_the_order_of_rows(training: bool) -> None:
    results = []
    for order in (1, -1):
        batch = collate(sequences(ROWS), CROPS[::order])
        model = model_of().train(training)
        objective = objective_of(time_jitter=0.0).train(training)
        losses = dict(objective(batch, model(batch)))
        total = torch.stack(list(losses.values())).sum()
        parameters = [p for p in (*model.parameters(), *objective.parameters()) if p.requires_grad]
        results.append((losses, torch.autograd.grad(total, parameters)))
    (losses, gradients), (others, other_gradients) = results
    for name, loss in losses.items():
        torch.testing.assert_close(loss, others[name], rtol=1e-5, atol=1e-6, msg=name)
    for ours, theirs in zip(gradients, other_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


def test_history_tokens_have_the_losses_of_a_row() -> None:
    """The last token of a row is what CoLES sees; all of them predict the label, none an event."""
    batch, objective = batch_of(), objective_of(time_jitter=0.0).eval()
    torch.manual_seed(3)
    states, extra = torch.randn(batch.events, 8), torch.randn(7, 8)
    rows = torch.tensor([0, 0, 2, 5, 5, 5, 9])
    ends = batch.layout.ends.clone()
    ends[[0, 5]] = batch.events + torch.tensor([1, 5])
    found = objective(batch, Encoded(states, ends, extra, rows))
    plain = objective(batch, Encoded(states, batch.layout.ends))
    for name in ("time", "type", "owner", "a.b", "score"):
        torch.testing.assert_close(found[name], plain[name], msg=name)
    bank, whole = objective.bank, torch.cat([states, extra])
    names = [*loss_names(SCHEMA), "downstream"]
    hidden = {name: whole @ bank.weight[j].T + bank.bias[j] for j, name in enumerate(names)}
    assert objective.coles is not None
    assert objective.downstream is not None
    loss, _ = objective.coles(hidden["coles"][ends], batch.owners, batch.view_owners)
    torch.testing.assert_close(found["coles"], loss)
    labels = torch.cat([batch.labels.repeat_interleave(batch.layout.lengths), batch.labels[rows]])
    ((loss, count),) = means(objective.downstream(hidden["downstream"], labels))
    torch.testing.assert_close(found["downstream"], loss)
    assert count == (labels >= 0).sum()


def test_one_class_and_no_label_in_a_batch_are_finite() -> None:
    for label in (1, None):
        rows = [{**row, "label": label} for row in ROWS]
        found = losses_of(objective_of(), collate(sequences(rows), CROPS))
        assert all(loss.isfinite() for loss in found.values())
        assert (found["downstream"] == 0) == (label is None)


def test_sequences_of_one_event_give_finite_losses() -> None:
    rows = random_rows([1, 1, 1])
    batch = collate(sequences(rows), [Crop(i, 0, 1, i) for i in range(3)])
    for loss in losses_of(objective_of(), batch).values():
        assert loss.isfinite()


def test_weights_follow_the_objectives_weighting() -> None:
    weighting = Equal(loss_names(SCHEMA))
    assert CompositeObjective(SCHEMA, weighting, 8).weighting is weighting


def test_a_scaled_loss_is_a_multiple_with_its_gradient() -> None:
    batch = batch_of()
    plain, scaled = objective_of(), objective_of(scales={"coles": 100.0, "type": 0.5})
    ours, wanted = losses_of(scaled, batch), losses_of(plain, batch)
    for name, loss in wanted.items():
        factor = {"coles": 100.0, "type": 0.5}.get(name, 1.0)
        torch.testing.assert_close(ours[name], factor * loss)
    ours["coles"].backward()  # type: ignore[no-untyped-call]  # PyTorch has no types there.
    wanted["coles"].backward()  # type: ignore[no-untyped-call]  # As above.
    for (name, one), other in zip(scaled.named_parameters(), plain.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        if one.grad is not None and other.grad is not None and name.startswith("coles"):
            torch.testing.assert_close(one.grad, 100.0 * other.grad)
    with pytest.raises(ValueError, match=r"objective.scales: no loss 'cole'; did you mean 'coles'"):
        objective_of(scales={"cole": 2.0})
