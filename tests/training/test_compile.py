"""Compiled parts are captured once for an epoch of batches that all differ in shape."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from grap_seq import config as configs
from grap_seq.batch import Batch
from grap_seq.data.loader import EpochBatches
from grap_seq.data.sequences import Sequences
from grap_seq.objectives import linear_cross_entropy
from grap_seq.training.pretrain import crop_policy
from grap_seq.training.trainer import compile_module
from tests.training.test_module import module
from tests.weighting.oracle import backward

LAYERS = ["encoder.hidden=8", "encoder.layers=3", "encoder.heads=2", "encoder.feedforward=16"]
# What comes before attention and behind it, once for all layers; all heads; what CoLES contrasts,
# and its loss. Each once for all batches, and twice where a size is that of another by chance.
ENCODER, HEADS, COLES = 2, 1, 2
COLES_ALONE = ["objective=coles", "objective.targets=[]"]


@pytest.fixture(autouse=True)
def _nothing_compiled_yet() -> Iterator[None]:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def epoch(shop: Path, *chosen: str) -> Iterator[tuple[int, Batch]]:
    policy = crop_policy(configs.compose("pretrain", ["dataset=table", *chosen]))
    data = EpochBatches(Sequences(shop, "train"), policy, 4, seed=0, epoch=0)
    found = [data[number] for number in range(len(data))]
    assert len({batch.events for batch in found}) > 5
    yield from enumerate(found)


@pytest.mark.parametrize(
    ("encoder", "options", "graphs"),
    [
        ("transformer", ["encoder.dropout=0"], ENCODER + HEADS + COLES),
        ("ht_transformer", [], ENCODER + HEADS + COLES),
        ("gru", ["objective.targets=[next,past,future]", "objective.time=bins"], HEADS + COLES),
        ("gru", ["objective.next_event_on=window", "weighting=mgda"], HEADS + COLES),
        ("gru", ["objective=ntp", "weighting=equal"], HEADS),
        ("gru", COLES_ALONE, 1),
    ],
)
def test_no_graph_breaks_and_hardly_a_recompilation(
    shop: Path, encoder: str, options: list[str], graphs: int
) -> None:
    """And losses and gradients are those of the plain module, bit by bit, but for dropout."""
    chosen = [f"encoder={encoder}", *(LAYERS if encoder != "gru" else []), *options]
    plain, compiled = module(shop, *chosen), module(shop, *chosen)
    # A graph break would be an error. (Some are not counted: they leave a function out.)
    compile_module(compiled, backend="eager", fullgraph=True)
    for number, batch in epoch(shop, *chosen):
        for model in (plain, compiled):
            torch.manual_seed(number)
            backward(model.training_step(batch, number))
    counters = torch._dynamo.utils.counters
    assert not counters["graph_break"]
    assert graphs <= counters["stats"]["unique_graphs"] <= 2 * graphs
    if encoder == "ht_transformer":
        return
    for name, loss in plain.losses.items():
        assert compiled.losses[name].equal(loss), name
    for (name, ours), theirs in zip(compiled.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=0, msg=name)


def test_classes_too_many_for_one_product_stay_out(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their chunks would be captured anew for every number of events."""
    monkeypatch.setitem(linear_cross_entropy.LARGEST, "cpu", 200)
    compiled = module(shop, "objective=ntp")
    compile_module(compiled, backend="eager", fullgraph=True)
    for number, batch in epoch(shop, "objective=ntp"):
        backward(compiled.training_step(batch, number))
    assert 1 <= torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 4
