"""Every weighting that `weighting=` accepts trains a real objective."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from grap_seq import choices, commands
from tests.training.test_module import batch, fit, module

SETTINGS = {"fixed": ["weighting.weights={coles: 1, time: 0.5, kind: 2, amount: 0}"]}
CONSTANT = ("equal", "fixed", "searched", "auxiliary", "supervised")
LABELLED = ("grap", "grap_published", "auxiliary", "supervised")


@pytest.mark.parametrize("name", choices.names("weighting"))
def test_three_epochs(shop: Path, name: str) -> None:
    model = module(shop, f"weighting={name}", *SETTINGS.get(name, []))
    weighting = model.objective.weighting
    before = weighting.named_weights()
    encoder = {n: p.detach().clone() for n, p in model.model.named_parameters()}
    fit(model, [batch(shop, 0, 1, 2), batch(shop, 3, 4, 5)], max_epochs=3)
    after = weighting.named_weights()
    assert (before == after) == (name in CONSTANT)
    assert all(weight < float("inf") for weight in after.values())
    moved = {n for n, p in model.model.named_parameters() if not torch.equal(p, encoder[n])}
    assert moved == set(encoder)
    assert weighting.steps == 6
    assert weighting.needs_labels == (name in LABELLED)


def test_a_run_too_short_for_the_weights_to_move_says_so(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["dataset.hidden=8", "event_width=8", "select=loss", "trainer.max_steps=1"]
    for epochs, said in ((2, True), (3, False)):
        run = [f"prepared={shop}", f"run={tmp_path / str(epochs)}", f"epochs={epochs}"]
        commands.pretrain([*run, "weighting=dwa", *small])
        printed = " ".join(capsys.readouterr().out.split())
        assert ("give epochs=3 or more for them to be learned" in printed) == said
