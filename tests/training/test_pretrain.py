"""What pretraining reads of a config."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from grap_seq import config as configs
from grap_seq.batch import Batch
from grap_seq.data.crops import CropPolicy
from grap_seq.schema import Schema
from grap_seq.training.module import PretrainModule
from grap_seq.training.pretrain import build_module, crop_policy, labels_in
from tests.data.toy import SCHEMA
from tests.objectives.test_composite import batch_of


def policy(*overrides: str) -> CropPolicy:
    return crop_policy(configs.compose("pretrain", list(overrides)))


@pytest.mark.parametrize(
    ("dataset", "gru", "transformer", "longest"),
    [
        ("churn", 300, 32, 400),
        ("agepred", 1000, 128, 1200),
        ("alfabattle", 256, 128, 1200),
        ("mimic3", 128, 32, 1024),
        ("taobao", 128, 32, 1024),
        ("mbd_mini", 256, 4, 600),
    ],
)
def test_windows_of_the_published_configurations(
    dataset: str, gru: int, transformer: int, longest: int
) -> None:
    for encoder, shortest in (("gru", gru), ("transformer", transformer)):
        found = policy(f"dataset={dataset}", f"encoder={encoder}")
        assert (found.min_length, found.max_length) == (shortest, longest)
        assert (found.views, found.window) == (5, False)


def test_the_objective_decides_on_the_rows() -> None:
    alone = policy("objective=ntp")
    assert (alone.views, alone.window) == (0, True)
    beside = policy("objective.next_event_on=window")
    assert (beside.views, beside.window) == (5, True)
    same = policy("objective=ntp", "objective.next_event_on=views")
    assert (same.views, same.window) == (5, False)
    with pytest.raises(ValueError, match="next_event_on=crops: choose one of views, window"):
        policy("objective.next_event_on=crops")


def test_an_encoder_without_a_shortest_window_has_the_longest_ones() -> None:
    content = OmegaConf.to_container(configs.compose("pretrain", []))
    assert isinstance(content, dict)
    del content["encoder"]["min_length"]
    found = crop_policy(OmegaConf.create(content))
    assert (found.min_length, found.max_length) == (400, 400)


def test_a_shorter_window_needs_no_second_setting() -> None:
    found = policy("dataset=churn", "dataset.crops.max_length=50")
    assert (found.min_length, found.max_length) == (50, 50)


class ReadsLabels(nn.Module):
    """A loss of the user's that learns the label."""

    needs_labels = True

    def __init__(self, schema: Schema, width: int) -> None:
        super().__init__()
        self.output = nn.Linear(width, 3)

    def forward(self, hidden: Tensor, batch: Batch) -> Tensor:
        labels = batch.labels[batch.layout.row]
        return nn.functional.cross_entropy(self.output(hidden), labels, ignore_index=-1)


def encoder_gradient(module: PretrainModule, batch: Batch) -> Tensor:
    module.zero_grad()
    torch.manual_seed(0)
    losses = module.objective(batch, module.model(batch))
    module.objective.weighting.total(losses).backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in module.model.parameters() if p.grad is not None]
    return torch.cat([gradient.flatten() for gradient in gradients])


USERS = "{mine: {class: tests.training.test_pretrain.ReadsLabels}}"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["weighting=equal"], None),
        (["weighting=grap"], "weights"),
        (["weighting=grap_published"], "weights"),
        (["weighting=mgda"], None),
        (["weighting=equal", "objective=coles"], None),
        (["mode=auxiliary"], "gradient"),
        (["weighting=supervised"], "gradient"),
        (["weighting=equal", f"objective.losses={USERS}"], "gradient"),
    ],
)
def test_what_labels_are_to_the_encoder(overrides: list[str], expected: str | None) -> None:
    """ "gradient" exactly where other labels give the encoder another gradient."""
    small = ["dataset.hidden=8", "event_width=8", "dataset.max_time_gap=8", "dataset.time_scale=1"]
    config = configs.compose("pretrain", [*small, "dataset.time_jitter=0", *overrides])
    module, _ = build_module(config, SCHEMA)
    assert labels_in(module.objective) == expected
    module.eval()
    batch = batch_of()
    known = SCHEMA.labels[0].known(batch.labels)
    assert known.any()
    other = replace(batch, labels=torch.where(known, (batch.labels + 1) % 3, batch.labels))
    same = encoder_gradient(module, batch).equal(encoder_gradient(module, other))
    assert same == (expected != "gradient")
