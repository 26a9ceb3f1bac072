"""Updates whose losses or gradients are not finite: nothing changes, and everybody is told."""

from __future__ import annotations

import copy
import json
import os
import re
import sys
from collections.abc import Callable, Container
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning
import pandas as pd
import pytest
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from safetensors import safe_open
from torch import Tensor, nn

from grap_seq import cli, seal
from grap_seq import config as configs
from grap_seq.batch import Batch
from grap_seq.objectives.composite import CompositeObjective
from grap_seq.objectives.means import Mean
from grap_seq.objectives.next_event import NumberHead
from grap_seq.training.base import TOLD
from grap_seq.training.finetune import supervised
from grap_seq.training.module import PretrainModule
from grap_seq.training.pretrain import pretrain
from grap_seq.training.refusal import Nonfinite, Part, Refusal, tensors_of
from tests.processes import in_two_processes, together
from tests.shop import TIMES
from tests.training.test_module import batch, fit, module

SMALL = ["dataset=table", "dataset.hidden=8", "event_width=8", "trainer.threads=1", "batch_size=8"]
# What a loss may become. The last one keeps its finite gradient.
Change = Callable[[Tensor], Tensor]
CHANGES: dict[str, Change] = {
    "nan": lambda loss: loss * torch.nan,
    "inf": lambda loss: loss * torch.inf,
    "value": lambda loss: loss + torch.inf,
}


def _same(loss: Tensor) -> Tensor:
    return loss


class BatchNormLoss(nn.Module):
    """A user's own loss, with PyTorch's batch norm."""

    def __init__(self, schema: Any, width: int) -> None:
        super().__init__()
        del schema
        self.norm, self.output = nn.BatchNorm1d(width), nn.Linear(width, 1)

    def forward(self, hidden: Tensor, batch: Batch) -> Tensor:
        del batch
        loss: Tensor = self.output(self.norm(hidden)).square().mean()
        return loss


def changed(model: PretrainModule, changes: dict[int, Change], name: str = "amount") -> None:
    """Change the loss of a field in some batches, counted from 0."""
    assert isinstance(model.objective, CompositeObjective)
    head = model.objective.named_heads[name]
    forward, numbers = head.forward, iter(range(10**6))

    def changing(*arguments: Any) -> Mean:
        loss, count = forward(*arguments)
        return Mean(changes.get(next(numbers), _same)(loss), count)

    head.forward = changing


class States(lightning.Callback):
    """All that belongs to an update, before every batch and at the end."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self.states.append(_state(trainer, pl_module))

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.states.append(_state(trainer, pl_module))


def _state(trainer: Any, model: PretrainModule) -> dict[str, Tensor]:
    found = {**model.state_dict(), **dict(model.named_buffers())}
    for number, state in trainer.optimizers[0].state_dict()["state"].items():
        found |= {f"optimizer/{number}/{key}": value for key, value in state.items()}
    return copy.deepcopy(found)


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> set[str]:
    """Names of what differs in any bit."""
    assert left.keys() == right.keys()
    return {
        name
        for name, value in left.items()
        if value.numpy().tobytes() != right[name].numpy().tobytes()
    }


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_refused_update_changes_no_bit(shop: Path, change: str, accumulate: int) -> None:
    own = f"objective.losses={{own: {{class: {__name__}.BatchNormLoss}}}}"
    model, states = module(shop, own), States()
    # The last batch of the third update.
    changed(model, {3 * accumulate - 1: CHANGES[change]})
    batches = [batch(shop, row, row + 1, row + 2) for row in range(0, 15, 3)] * 2
    fit(model, batches[: 5 * accumulate], callbacks=[states], accumulate_grad_batches=accumulate)
    before = states.states[::accumulate]
    assert same(before[2], before[3]) == set()
    # Every other update changes all that there is: without that, nothing would be shown.
    moves = same(before[1], before[2])
    assert moves == same(before[3], before[4])
    for part in ("running_mean", "num_batches_tracked", "rnn.weight", "_extra_state", "cosines"):
        assert any(part in name for name in moves), part
    assert "objective.bank.weighting.weights" in moves
    assert any(name.startswith("objective.users.0.norm.running_var") for name in moves)
    assert any(name.endswith("exp_avg_sq") for name in moves)
    assert (model.refused, model.skipped, model.refused_in_all) == (0, 1, 1)


@pytest.mark.parametrize(
    "weighting",
    ["gradnorm", "dwa", "grap_published", "grap weighting.smoothing=0.9", "mgda"],
)
@pytest.mark.parametrize("encoder", ["gru", "ht_transformer"])
def test_statistics_of_no_method_remember_it(shop: Path, weighting: str, encoder: str) -> None:
    layers = [] if encoder == "gru" else ["encoder.hidden=8", "encoder.heads=2"]
    chosen = f"weighting={weighting} encoder={encoder}".split()
    model, states = module(shop, *chosen, *layers), States()
    # Of two batches the second one is bad: the first has been through all statistics.
    changed(model, {3: CHANGES["nan"]})
    batches = [batch(shop, row, row + 1, row + 2) for row in range(0, 18, 3)]
    fit(model, batches, callbacks=[states], accumulate_grad_batches=2, precision="bf16-mixed")
    before = states.states[::2]
    assert same(before[1], before[2]) == set()
    assert {"objective.bank.weighting._extra_state"} < same(
        before[2], {**before[2], **model.state_dict()}
    )


def test_what_the_setting_says(tmp_path: Path) -> None:
    assert Nonfinite.parse("stop") == Nonfinite(0)
    assert Nonfinite.parse("skip:12", tmp_path) == Nonfinite(12, tmp_path)
    for command in ("pretrain", "finetune"):
        default = configs.compose(command, ["run=r"]).nonfinite
        assert Nonfinite.parse(default) == Nonfinite(2)
        assert configs.compose(command, ["run=r", "nonfinite=stop"]).nonfinite == "stop"
    for wrong in ("skip", "skip:0", "skip:-1", "skip:two", "null", "3", "Stop"):
        with pytest.raises(ValueError, match=r"nonfinite=.*: write stop, or skip:N"):
            configs.compose("pretrain", [f"nonfinite={wrong}"])


def part(losses: dict[str, float], *sequences: Any, place: str = "process0/batch0") -> Part:
    return Part(place, losses, list(sequences), {})


def test_who_is_to_blame() -> None:
    bad, good = {"a": torch.inf, "b": 1.0, "c": torch.nan}, {"a": 1.0, "b": 1.0, "c": 1.0}
    one = part(bad, "x", "y")
    # Values say more than gradients: these may be those of several batches and processes.
    assert (
        str(Refusal([one, part(good, "z")], ["a", "b"])) == "not finite: a, c (sequences 'x', 'y')"
    )
    gradient = Refusal([part(good, *range(7)), part(good, 7)], ["b"])
    assert str(gradient) == "not finite: gradients of b (sequences 0, 1, 2, 3, 4 and 3 more)"
    assert "all losses, because the embeddings" in str(
        Refusal([part(dict.fromkeys("abc", torch.nan))], [])
    )
    assert "gradients of all losses" in str(Refusal([part(good, 1)], "abc"))
    assert "not finite: label" in str(Refusal([part({"label": torch.nan}, 1)], []))
    assert "the encoder's own gradient is not" in str(Refusal([part(good, 1)], []))
    # An id is text from a file: on its way to a terminal it is one line without codes.
    assert "'a\\x1b[31m\\nb'" in str(Refusal([part(bad, "a\x1b[31m\nb")], []))


@pytest.mark.parametrize("weighting", ["equal", "grap", "mgda"])
def test_a_gradient_is_known_by_the_heads_own_rows(shop: Path, weighting: str) -> None:
    model = module(shop, f"weighting={weighting}")
    model.nonfinite = Nonfinite(0)

    def broken(loss: Tensor) -> Tensor:
        # Finite itself: the derivative of a square root at zero is not.
        return loss + (loss - loss.detach()).sqrt()

    changed(model, {1: broken})
    with pytest.raises(FloatingPointError, match="not finite: gradients of amount \\("):
        fit(model, [batch(shop, 0, 1, 2)] * 3)


def test_the_batch_can_be_read_without_pickle(shop: Path, tmp_path: Path) -> None:
    model, run = module(shop), tmp_path / "run"
    model.nonfinite = Nonfinite(0, run)
    changed(model, {1: CHANGES["nan"]})
    batches = [batch(shop, 0, 1), batch(shop, 2, 3, 4)]
    with pytest.raises(FloatingPointError) as error:
        fit(model, batches)
    path = run / "refused" / "step-000002.safetensors"
    assert str(error.value) == (
        "update 2 (epoch 1) was refused: not finite: amount (sequences 0, 1, 2); saved as"
        f" {path}. Lower lr, or look for extreme values in these sequences"
    )
    seal.check(run, "refused/step-000002.safetensors", "")
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["batches"])["process0/batch1"]
        assert file.metadata()["step"] == "2"
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert facts["sequences"] == [0, 1, 2]
    assert {name for name, loss in facts["losses"].items() if loss == "nan"} == {"amount"}
    expected = tensors_of(batches[1])
    assert found.keys() == {f"process0/batch1/{name}" for name in expected}
    assert {"sizes", "fields/amount", "fields/kind", "labels", "times"} < expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(
            found[f"process0/batch1/{name}"], tensor, rtol=0, atol=0, equal_nan=True
        )


class Failing:
    """Loss of a number that is not finite in some calls of a run, counted from 0.

    Args:
        calls: these calls.
    """

    def __init__(self, calls: Container[int]) -> None:
        self.calls, self.number, self.forward = calls, -1, NumberHead.forward

    def __call__(self, *arguments: Any) -> Mean:
        loss, count = self.forward(*arguments)
        # Validation is in between.
        self.number += torch.is_grad_enabled()
        return Mean(loss * torch.nan if self.number in self.calls else loss, count)


def settings(shop: Path, run: Path, *more: str) -> Any:
    chosen = [f"prepared={shop}", f"run={run}", "objective.targets=[next]", "select=last"]
    return configs.compose("pretrain", [*SMALL, *TIMES, *chosen, "log_every=1", *more])


def failing(monkeypatch: pytest.MonkeyPatch, calls: Container[int]) -> None:
    failed = Failing(calls)
    monkeypatch.setattr(NumberHead, "forward", lambda *arguments: failed(*arguments))


def test_a_run_counts_what_it_skips_and_says_so(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where gradients are accumulated, and where the run is stopped and goes on."""
    # Six batches an epoch, in twos: update 2, and of updates 4 and 6 one batch each.
    failing(monkeypatch, {2, 3, 7, 10})
    run = tmp_path / "run"
    for steps in (5, -1):
        pretrain(
            settings(
                shop,
                run,
                *("epochs=2", "accumulate=2", "resume=true", f"trainer.max_steps={steps}"),
            )
        )
    metrics = pd.read_csv(run / "metrics.csv")
    assert metrics["step"].tolist() == [3, 6]
    assert metrics["skipped_updates"].tolist() == [1, 2]
    # What was left out is in no mean.
    assert metrics.filter(like="loss/").notna().all(axis=None)
    assert metrics["gradient_norm"].notna().all()
    out = " ".join(capsys.readouterr().out.split())
    assert "update 2 (epoch 1) was refused: not finite: amount (sequences" in out
    assert "1 updates skipped: gradients were not finite" in out
    assert "3 of 6 updates were skipped: their losses or gradients were not finite." in out
    found = json.loads((run / "model.json").read_text())["training"]
    assert (found["skipped"], found["updates"]) == (3, 6)
    saved = sorted(path.name for path in (run / "refused").iterdir())
    assert saved == [f"step-{step:06}.safetensors" for step in (2, 4, 6)]
    with safe_open(run / "refused" / saved[1], "pt") as file:
        facts = json.loads(file.metadata()["batches"])
    # Of an update of two batches the bad one is saved, by the number that it has in its epoch.
    assert list(facts) == ["process0/batch1"]
    ids = {str(value) for value in range(80)}
    assert {str(one) for one in facts["process0/batch1"]["sequences"]} < ids


def test_counts_go_on_behind_a_stop(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, {1, 2, 3})
    run = tmp_path / "run"
    pretrain(settings(shop, run, "epochs=2", "trainer.max_steps=3"))
    with pytest.raises(FloatingPointError, match=r"update 4 .*: amount .*number 3 in a row"):
        pretrain(settings(shop, run, "epochs=2", "resume=true"))


@pytest.mark.parametrize("mode", ["pretrain", "supervised"])
def test_an_epoch_without_an_update_ends_the_run(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    run = tmp_path / "run"
    chosen = settings(shop, run, "epochs=3", "nonfinite=skip:1000", f"mode={mode}", "lr=1e-3")
    if mode == "pretrain":
        failing(monkeypatch, range(6, 12))
    else:
        monkeypatch.setattr(
            "grap_seq.training.supervised.label_sum",
            lambda label, outputs, codes: (outputs.sum() * torch.nan, torch.ones(())),
        )
    train, epoch = (pretrain, 2) if mode == "pretrain" else (supervised, 1)
    with pytest.raises(FloatingPointError, match=rf"all \d updates of epoch {epoch} were refused"):
        train(chosen)
    assert not (run / "model.safetensors").exists()
    assert len(list((run / "refused").iterdir())) <= TOLD
    assert pd.read_csv(run / "metrics.csv")["skipped_updates"].tolist() == [0, 6][-epoch:]


@pytest.mark.parametrize("where", ["parameter", "running_var"])
def test_a_model_that_is_none_any_more_is_not_saved(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """After the last update of an epoch no loss tells."""

    def break_it(self: PretrainModule, *arguments: Any) -> None:
        if self.global_step == 12:
            names = {"parameter": "block.3.weight", "running_var": "block.1.running_var"}
            embedding = self.model.embedding
            tensor = dict([*embedding.named_parameters(), *embedding.named_buffers()])[names[where]]
            tensor.data.view(-1)[0] = torch.inf

    monkeypatch.setattr(PretrainModule, "on_train_batch_end", break_it, raising=False)
    run = tmp_path / "run"
    with pytest.raises(FloatingPointError, match="parameters are not finite at the end of epoch 2"):
        pretrain(settings(shop, run, "epochs=3"))
    assert not (run / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        (["lr=1e6"], "the losses of epoch 1 are [0-9,]{9,} times those of the first batch"),
        (["lr=1e6", "mode=supervised"], "times those of the first batch: the run has diverged"),
        (
            ["lr=1e6", "encoder=transformer"],
            "not finite are all losses, because the embeddings are not .sequences .*safetensors",
        ),
        (["lr=1e29"], "number 3 in a row. Lower lr"),
    ],
)
def test_a_diverged_run_says_so_and_fails(
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    chosen: list[str],
    sentence: str,
) -> None:
    run = tmp_path / "run"
    given = [*SMALL, *TIMES, f"prepared={shop}", f"run={run}", "epochs=3", *chosen]
    monkeypatch.setattr(sys, "argv", ["grap-seq", "pretrain", *given])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert re.search(sentence, capsys.readouterr().err)
    assert not (run / "model.safetensors").exists()


def test_losses_that_rise_far_are_told_though_the_run_goes_on(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrain(settings(shop, tmp_path / "run", "epochs=1", "lr=1"))
    assert "times those of the first batch: lower lr." in capsys.readouterr().out


def _in_one_of_two(rank: int, shop: Path, change: str, allowed: int) -> dict[str, Any]:
    """Training by DDP, where the loss of a batch is not finite in the second process alone."""
    os.environ |= {"LOCAL_RANK": str(rank), "GLOO_SOCKET_IFNAME": "lo"}
    model, states = module(shop), States()
    model.nonfinite = Nonfinite(allowed, shop.parent / f"refused-{change}-{allowed}")
    if rank == 1:
        changed(model, {1: CHANGES[change]})
    batches = [batch(shop, row + rank, row + rank + 2) for row in range(0, 16, 4)]
    # The other process numbers its sequences alike.
    batches = [replace(each, view_owners=each.view_owners * 2) for each in batches]
    error = ""
    try:
        fit(
            model,
            batches,
            callbacks=[states],
            strategy="ddp",
            devices=2,
            plugins=[LightningEnvironment()],
            use_distributed_sampler=False,
            barebones=False,
        )
    except FloatingPointError as raised:
        error = str(raised)
    counts = [model.refused, model.skipped, model.refused_in_all]
    # What the second update left, and how much each of those behind it changed.
    left, after = states.states[1], [*states.states[2:], {**states.states[1], **model.state_dict()}]
    moved = [len(same(left, after[0])), *(len(same(*pair)) for pair in pairwise(after[:-1]))]
    return {"error": error, "counts": counts, "moved": moved, "state": after[-1]}


@together
@pytest.mark.parametrize(("change", "allowed"), [("value", 2), ("nan", 0)])
def test_all_processes_refuse_what_one_finds(
    shop: Path, tmp_path: Path, change: str, allowed: int
) -> None:
    found = in_two_processes(_in_one_of_two, tmp_path, shop, change, allowed)
    assert found[0]["error"] == found[1]["error"]
    assert found[0]["counts"] == found[1]["counts"]
    assert same(found[0]["state"], found[1]["state"]) == set()
    run = shop.parent / f"refused-{change}-{allowed}"
    with safe_open(run / "refused" / "step-000002.safetensors", "pt") as file:
        assert list(json.loads(file.metadata()["batches"])) == ["process1/batch1"]
    if allowed:
        assert (found[0]["error"], found[0]["counts"]) == ("", [0, 1, 1])
        refused, *others = found[0]["moved"]
        assert refused == 0
        assert min(others) == max(others) > 50
    else:
        assert found[0]["moved"] == [0]
        assert "update 2 (epoch 1) was refused: not finite: amount (sequences 0, 1)" in str(
            found[0]["error"]
        )
