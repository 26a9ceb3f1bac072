"""Models on another device: the choice, and on a pretended one everything that embeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import lightning
import numpy as np
import pytest
import torch

from benchmarks.pretended import OnPretended, Pretended, pretended
from grap_seq import commands, config, load
from grap_seq.device import device_of
from grap_seq.evaluation.embed import embed_rows
from grap_seq.nn.build import build_model
from grap_seq.nn.label_head import build_head
from grap_seq.schema import Schema
from grap_seq.training.data import PretrainData
from grap_seq.training.pretrain import crop_policy, describe
from grap_seq.training.supervised import HeadScore, SupervisedModule, head_score
from tests.shop import TIMES, purchases

LAYERS = ["encoder.hidden=8", "encoder.layers=2", "encoder.heads=2", "encoder.feedforward=16"]
SMALL = ["dataset=table", "dataset.hidden=8", "event_width=8", *TIMES]
# Sums in another order, and PyTorch's GRU in the place of ours.
NEAR = 1e-5


@pytest.fixture
def device() -> Iterator[Pretended]:
    with pretended() as found:
        yield found


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let PyTorch find some GPUs."""

    def found(number: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)

    return found


@pytest.mark.parametrize(
    ("number", "name", "wanted"),
    [
        *((0, "auto", "cpu"), (1, "auto", "cuda"), (2, "cpu", "cpu")),
        *((1, "cuda", "cuda"), (2, "cuda:1", "cuda:1"), (0, "meta", "meta")),
    ],
)
def test_the_choice(gpus: Callable[[int], None], number: int, name: str, wanted: str) -> None:
    gpus(number)
    assert str(device_of(name)) == wanted
    assert str(device_of(torch.device(wanted))) == wanted


@pytest.mark.parametrize(
    ("number", "name", "message"),
    [
        (0, "cuda", r"device=cuda: PyTorch finds no GPU .* Use device=cpu, or device=auto"),
        (0, "cuda:1", "device=cuda:1: PyTorch finds no GPU"),
        (1, "cuda:1", "device=cuda:1: PyTorch finds 1 GPUs here; use cuda:0$"),
        (4, "cuda:4", "use cuda:0 to cuda:3"),
    ],
)
def test_a_gpu_that_is_not_there(
    gpus: Callable[[int], None], number: int, name: str, message: str
) -> None:
    gpus(number)
    with pytest.raises(ValueError, match=message):
        device_of(name)


@pytest.mark.parametrize("word", ["gpu", "cuda:", "cuda:x", "0", "null", "mps"])
def test_another_word_is_refused_before_any_work(word: str) -> None:
    with pytest.raises(ValueError, match=r"device.*auto for a GPU where there is one"):
        config.compose("embed", ["run=nowhere", f"device={word}"])


def test_embed_asks_for_the_device_before_it_reads(
    gpus: Callable[[int], None], shop: Path, tmp_path: Path
) -> None:
    gpus(0)
    run = tmp_path / "run"
    commands.pretrain([*SMALL, "epochs=1", "select=last", f"prepared={shop}", f"run={run}"])
    with pytest.raises(ValueError, match="PyTorch finds no GPU"):
        commands.embed([f"run={run}", "device=cuda"])
    assert not (run / "embeddings").exists()


@pytest.mark.parametrize(("place", "pinned"), [("cuda:1", True), ("cpu", False)])
def test_batches_for_a_gpu_are_pinned(shop: Path, place: str, pinned: bool) -> None:
    settings = config.compose("pretrain", [*SMALL, f"prepared={shop}"])
    data = PretrainData(shop, crop_policy(settings), 8)
    trainer = mock.MagicMock(global_rank=0, world_size=1)
    trainer.strategy.root_device = torch.device(place)
    trainer.fit_loop.epoch_progress.current.processed = 0
    data.trainer = trainer
    assert data.train_dataloader().pin_memory is pinned
    assert data.val_dataloader().pin_memory is pinned


@pytest.mark.parametrize("encoder", ["gru", "transformer", "ht_transformer"])
def test_embeddings_are_those_of_the_cpu(
    shop: Path, tmp_path: Path, device: Pretended, encoder: str
) -> None:
    sizes = [] if encoder == "gru" else LAYERS
    chosen = [f"encoder={encoder}", *sizes, "epochs=1", "select=last"]
    run = tmp_path / "run"
    commands.pretrain([*SMALL, *chosen, f"prepared={shop}", f"run={run}"])
    events = purchases(40, seed=3)
    wanted = load(run, device="cpu").embed(events, batch_events=100)
    there = load(run, device=device.device)
    assert next(there.model.parameters()).device == device.device
    del device.waits[:]
    found = there.embed(events, batch_events=100)
    np.testing.assert_allclose(found, wanted, rtol=NEAR, atol=NEAR)
    # Each batch's embeddings, which the host wants, and nothing else.
    (waited,) = {str(wait) for wait in device.waits}
    assert waited.startswith("grap_seq/evaluation/embed.py:")
    assert waited.endswith("copy to the host")
    batches = -(-len(events) // 100)
    assert batches <= len(device.waits) <= batches + 1


def test_a_run_trained_there_is_scored_there(shop: Path, tmp_path: Path, device: Pretended) -> None:
    settings = config.compose("pretrain", [*SMALL, "mode=supervised", f"prepared={shop}"])
    torch.manual_seed(0)
    model = build_model(Schema.load(shop), describe(settings))
    data = PretrainData(shop, crop_policy(settings), 8, labelled=True)
    assert data.train.label is not None
    label = data.train.label
    module = SupervisedModule(model, build_head(model.embedding_size, label.outputs), label)
    scorer = HeadScore(tmp_path, data.val, 1200)
    trainer = lightning.Trainer(
        strategy=OnPretended(device),
        callbacks=[scorer],
        max_epochs=1,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data)
    assert module.device == device.device
    there = head_score(module, data.val, 1200), embed_rows(model, data.val, np.arange(4), 1200)
    # The same parameters on the CPU.
    here = build_model(Schema.load(shop), describe(settings))
    head = build_head(model.embedding_size, label.outputs)
    twin = SupervisedModule(here, head, label)
    twin.load_state_dict({name: value.cpu() for name, value in module.state_dict().items()})
    assert scorer.metrics[-1]["val_score"] == there[0] == head_score(twin, data.val, 1200)
    wanted = embed_rows(here, data.val, np.arange(4), 1200)
    np.testing.assert_allclose(there[1], wanted, rtol=NEAR, atol=NEAR)
