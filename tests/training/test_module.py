"""Lightning's own features against the same steps written out by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision

from grap_seq import config as configs
from grap_seq.batch import Batch
from grap_seq.data.collate import Crop, collate
from grap_seq.data.sequences import Sequences
from grap_seq.objectives.composite import CompositeObjective
from grap_seq.objectives.means import Mean
from grap_seq.schema import Schema
from grap_seq.seeds import derived_seed
from grap_seq.training.module import PretrainModule
from grap_seq.training.pretrain import build_module
from grap_seq.training.refusal import Nonfinite
from grap_seq.training.trainer import compile_module
from tests.shop import TIMES
from tests.weighting.oracle import backward


def module(shop: Path, *overrides: str) -> PretrainModule:
    settings = configs.compose(
        "pretrain",
        [
            *("dataset=table", "dataset.hidden=8", "event_width=8", "lr=0.001", *TIMES),
            *("objective.targets=[next]", *overrides),
        ],
    )
    built = build_module(settings, Schema.load(shop))[0]
    # Without a run folder for refused batches.
    built.nonfinite = Nonfinite()
    return built


def batch(shop: Path, *rows: int) -> Batch:
    sequences = Sequences(shop, "train")
    crops = [
        Crop(row, start, int(sequences.lengths[row]), owner)
        for owner, row in enumerate(rows)
        for start in (0, 1)
    ]
    return collate(sequences, crops)


def fit(model: PretrainModule, batches: list[Batch], **options: Any) -> lightning.Trainer:
    trainer = lightning.Trainer(
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"accelerator": "cpu", "max_epochs": 1, **options},
    )
    # A list is a map-style dataset, though torch does not declare it as one.
    loader: Any = torch.utils.data.DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    trainer.fit(model, loader)
    return trainer


def by_hand(model: PretrainModule, groups: list[list[Batch]], clip: float | None) -> None:
    """Plain PyTorch: mean of each group's losses, clipping of all but the weights, Adam."""
    weights = model.objective.weighting.weights
    others = [p for p in model.parameters() if p is not weights]
    groups_of_parameters: list[dict[str, Any]] = [
        {"params": others},
        {"params": [weights], "lr": 0.01, "betas": (0.0, 0.99)},
    ]
    adam = torch.optim.Adam(groups_of_parameters, lr=1e-3)
    for step, group in enumerate(groups):
        adam.zero_grad()
        for number, one in enumerate(group):
            torch.manual_seed(derived_seed(model.seed, step, step * len(group) + number))
            losses = model.objective(one, model.model(one))
            (sum(losses.values()) / len(group)).backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(others, clip)
        adam.step()


@pytest.mark.parametrize("accumulate", [1, 2])
def test_clipping_and_accumulation_are_those_of_plain_pytorch(shop: Path, accumulate: int) -> None:
    batches = [batch(shop, 0, 1, 2), batch(shop, 3, 4), batch(shop, 5, 6), batch(shop, 7, 8)]
    trained, expected = module(shop), module(shop)
    fit(trained, batches, gradient_clip_val=0.5, accumulate_grad_batches=accumulate)
    groups = [batches[i : i + accumulate] for i in range(0, 4, accumulate)]
    by_hand(expected, groups, 0.5)
    for (name, got), want in zip(trained.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-7, msg=name)
    assert trained.objective.weighting.weights.detach().std() > 0


def test_losses_come_with_their_numbers_of_entries(shop: Path) -> None:
    model, sequences = module(shop), Sequences(shop, "train")
    rows = (0, 1, 2)
    model.training_step(batch(shop, *rows), 0)
    lengths = [int(sequences.lengths[row]) - start for row in rows for start in (0, 1)]
    following = sum(length - 1 for length in lengths)
    # A pair of each sequence; of the four rows of others, all are among the five nearest.
    expected = {
        "coles": 3 + 6 * 4,
        "time": following,
        "kind": following,
        "downstream": sum(lengths),
    }
    counts = {name: int(count) for name, count in model.counts.items()}
    assert counts.pop("amount") <= following
    assert counts == expected
    assert (sequences.labels[list(rows)] >= 0).all()


@pytest.mark.parametrize("clip", [0, 0.0, None])
def test_clipping_by_zero_or_null_is_none(shop: Path, clip: float | None) -> None:
    batches = [batch(shop, 0, 1, 2), batch(shop, 3, 4)]
    trained, expected = module(shop), module(shop)
    fit(trained, batches, gradient_clip_val=clip)
    by_hand(expected, [[one] for one in batches], None)
    for (name, got), want in zip(trained.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-7, msg=name)
    assert trained.gradient_norm > 0


class Scaled(MixedPrecision):
    """float16 with a scaler, which Lightning refuses to give a CPU by name."""

    def __init__(self, scale: float) -> None:
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=10**6)
        super().__init__("16-mixed", "cpu", scaler)


def test_a_scaler_backs_off_until_gradients_fit_and_then_trains(shop: Path) -> None:
    model = module(shop, "encoder=transformer", "encoder.hidden=8", "encoder.heads=2")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    plugin = Scaled(2.0**60)
    fit(model, [batch(shop, 0, 1, 2)] * 60, plugins=[plugin], gradient_clip_val=1.0)
    assert plugin.scaler is not None
    halvings = 60 - math.log2(plugin.scaler.get_scale())
    assert model.skipped == halvings > 3
    assert model.refused == 0
    moved = [name for name, p in model.named_parameters() if not p.equal(before[name])]
    assert "model.encoder.layers.0.output.weight" in moved
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(("scale", "factor"), [(2.0**60, torch.nan), (1.0, torch.inf)])
def test_a_diverged_run_stops_under_a_scaler_too(
    shop: Path, monkeypatch: pytest.MonkeyPatch, scale: float, factor: float
) -> None:
    model = module(shop)
    poison(model, monkeypatch, [factor] * 4)
    with pytest.raises(FloatingPointError, match="not finite: amount \\("):
        fit(model, [batch(shop, 0, 1, 2)] * 4, plugins=[Scaled(scale)])


def test_gradients_that_overflow_at_the_smallest_scale_stop_the_run(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = module(shop)
    weight = model.model.encoder.get_parameter("rnn.weight_hh_l0")
    weight.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(
        FloatingPointError, match="all losses are finite, the encoder's own gradient"
    ):
        fit(model, [batch(shop, 0, 1, 2)] * 6, plugins=[Scaled(4.0)])
    # 4 and 2 are lowered, 1 is not worth lowering: three refusals make five skipped updates.
    assert (model.refused, model.skipped) == (3, 5)


def test_bf16_autocast_trains_and_keeps_the_statistics_in_float32(shop: Path) -> None:
    full, half = module(shop), module(shop)
    fit(full, [batch(shop, 0, 1, 2, 3)])
    fit(half, [batch(shop, 0, 1, 2, 3)], precision="bf16-mixed")
    exact, rounded = full.objective.weighting.statistics, half.objective.weighting.statistics
    assert exact is not None
    assert rounded is not None
    assert rounded.gram.dtype == torch.float32
    # bf16 keeps 8 bits: norms agree within a few per cent.
    torch.testing.assert_close(rounded.norms, exact.norms, rtol=0.05, atol=1e-3)


def poison(model: PretrainModule, monkeypatch: pytest.MonkeyPatch, factors: list[float]) -> None:
    """Multiply the loss of "amount" in successive batches."""
    assert isinstance(model.objective, CompositeObjective)
    head = model.objective.named_heads["amount"]
    forward, left = head.forward, iter(factors)

    def poisoned(*args: Any) -> Mean:
        loss, count = forward(*args)
        return Mean(loss * next(left), count)

    monkeypatch.setattr(head, "forward", poisoned)


@pytest.mark.parametrize("factor", [torch.nan, torch.inf])
def test_a_bad_batch_changes_no_parameter(
    shop: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    model = module(shop)
    poison(model, monkeypatch, [factor])
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pytest.raises(FloatingPointError, match="all 1 updates of epoch 1 were refused"):
        fit(model, [batch(shop, 0, 1, 2)])
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]), name
    assert model.refused == 1


def test_three_bad_batches_in_a_row_stop_the_run_and_name_the_loss(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [batch(shop, 0, 1, 2)] * 4
    model = module(shop)
    poison(model, monkeypatch, [torch.nan, torch.nan, 1.0, torch.nan])
    fit(model, batches)
    assert model.refused == 1
    model = module(shop)
    poison(model, monkeypatch, [torch.nan] * 4)
    with pytest.raises(FloatingPointError, match="not finite: amount \\("):
        fit(model, batches)


def test_published_weights_know_how_gradients_shrink_on_their_way(shop: Path) -> None:
    """The running ratio of the composite to what reaches the model's parameters."""
    model = module(shop, "weighting=grap_published", "clip=0")
    fit(model, [batch(shop, 0, 1, 2)])
    weighting: Any = model.objective.weighting
    norms = [p.grad.norm() for p in model.model.parameters() if p.grad is not None]
    received = torch.stack(norms).norm()
    statistics, effective = weighting.statistics, weighting.effective
    composite = (effective @ statistics.gram @ effective).sqrt()
    torch.testing.assert_close(weighting.transmission, composite / received)


def test_equal_weights_are_not_optimised(shop: Path) -> None:
    model = module(shop, "weighting=equal")
    fit(model, [batch(shop, 0, 1, 2)])
    assert set(model.objective.weighting.named_weights().values()) == {1.0}


def test_compiled_parts_train_as_plain_ones(shop: Path) -> None:
    layers = ["encoder.hidden=8", "encoder.layers=1", "encoder.heads=2", "encoder.feedforward=8"]
    chosen = ["encoder=transformer", *layers, "encoder.dropout=0"]
    plain, compiled = (module(shop, *chosen) for _ in range(2))
    # Traced, with its backward pass, as for Inductor, whose C++ would take a minute to compile.
    compile_module(compiled, backend="aot_eager")
    torch._dynamo.utils.counters.clear()
    gradients = []
    for model in (plain, compiled):
        torch.manual_seed(0)
        backward(model.training_step(batch(shop, 0, 1, 2), 0))
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    # What comes before attention and behind it, the heads, what CoLES contrasts, and its loss.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 5
    expected, found = gradients
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_random_numbers_of_a_step_differ_between_processes(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seeds = module(shop, "seed=2"), []
    monkeypatch.setattr(PretrainModule, "global_step", 5)
    for rank in (0, 1, 0):
        monkeypatch.setattr(PretrainModule, "global_rank", rank)
        model.on_train_batch_start(None, 3)
        seeds.append(torch.initial_seed())
    assert seeds[0] == seeds[2] == derived_seed(2, 5, 3) != seeds[1]
