"""A compiled encoder is captured once for an epoch of batches that all differ in shape."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from grap_seq import config as configs
from grap_seq.data.loader import EpochBatches
from grap_seq.data.sequences import Sequences
from grap_seq.training.pretrain import crop_policy
from grap_seq.training.trainer import compile_encoder
from tests.training.test_module import module
from tests.weighting.oracle import backward

LAYERS = ["encoder.hidden=8", "encoder.layers=3", "encoder.heads=2", "encoder.feedforward=16"]
# What comes before attention and behind it, each once for all layers and batches, and once more.
MOST_GRAPHS = 4


@pytest.fixture(autouse=True)
def _nothing_compiled_yet() -> Iterator[None]:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


@pytest.mark.parametrize("encoder", ["transformer", "ht_transformer"])
def test_no_graph_breaks_and_hardly_a_recompilation(shop: Path, encoder: str) -> None:
    chosen = [f"encoder={encoder}", *LAYERS]
    model = module(shop, *chosen)
    compile_encoder(model.model.encoder, backend="eager")
    policy = crop_policy(configs.compose("pretrain", ["dataset=table", *chosen]))
    data = EpochBatches(Sequences(shop, "train"), policy, 4, seed=0, epoch=0)
    events = set()
    for number in range(len(data)):
        batch = data[number]
        events.add(batch.events)
        backward(model.training_step(batch, number))
    assert len(events) > 5
    counters = torch._dynamo.utils.counters
    assert not counters["graph_break"]
    assert 0 < counters["stats"]["unique_graphs"] <= MOST_GRAPHS
