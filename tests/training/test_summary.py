"""Which epoch was kept and why, and whether losses were still falling."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from grap_seq import config as configs
from grap_seq.training.finetune import supervised
from grap_seq.training.pretrain import pretrain
from grap_seq.training.summary import sentences, still_falling, summarise

EPOCHS = np.arange(1, 21)
SMALL = ["dataset=table", "dataset.hidden=8", "event_width=8", "trainer.threads=1", "batch_size=8"]


@pytest.mark.parametrize(
    ("losses", "falling"),
    [
        # Last quarter of a straight fall: 26 %, of 1/sqrt(epoch): 4 %, of 1/epoch: 2 %.
        (10 - 0.1 * EPOCHS, True),
        (1 / EPOCHS, False),
        (1 / np.sqrt(EPOCHS), True),
        (5 + np.exp(-EPOCHS), False),
        # The lowest loss lies behind, though only just.
        (np.where(EPOCHS == 20, 9.0, 10 - 0.1 * EPOCHS), False),
        (np.where(EPOCHS == 20, 8.11, 10 - 0.1 * EPOCHS), False),
        # It rises from the start.
        (1 + 0.1 * EPOCHS, False),
        (np.ones(20), False),
        (np.array([3.0, 2.0, 1.5, 1.4]), True),
        (np.array([3.0, 2.0, 1.0]), None),
        (np.zeros(0), None),
    ],
)
def test_curves_that_still_fall(losses: NDArray[np.float64], falling: bool | None) -> None:
    assert still_falling(losses) is falling


def test_facts_and_sentences(tmp_path: Path) -> None:
    frame = pd.DataFrame({"epoch": range(8), "step": 10 * (1 + np.arange(8))})
    frame["skipped_updates"] = [0, 2, 0, 0, 1, 0, 0, 0]
    frame["val_loss"] = 10.0 - frame["epoch"]
    frame["val_probe"] = [np.nan, 0.5, np.nan, 0.75, np.nan, 0.7, np.nan, 0.6]
    frame.to_csv(tmp_path / "metrics.csv", index=False)
    found = summarise(tmp_path, "probe", 3, 20)
    assert found == {
        **{"kept": 4, "step": 40, "trained": 8, "planned": 20, "by": "probe", "score": 0.75},
        **{"still_falling": True, "skipped": 3, "updates": 80},
    }
    said = " ".join(sentences(found))
    assert "Epoch 4 of 8 was kept: the best score of the validation probe (0.7500)." in said
    assert "Training stopped after 8 of 20 epochs." in said
    assert "still falling: try longer training, epochs=16." in said
    assert "3 of 80 updates were skipped: their losses or gradients were not finite." in said
    found = summarise(tmp_path, "last", 7, 8)
    assert (found["kept"], found["step"], found["score"]) == (8, 80, None)
    said = " ".join(sentences(found | {"still_falling": False}))
    assert "Epoch 8 of 8 was kept: the last one." in said
    assert "no longer falling" in said
    assert "stopped" not in said


@pytest.mark.parametrize("select", ["loss", "last"])
def test_a_run_says_what_it_kept(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], select: str
) -> None:
    chosen = [f"prepared={shop}", f"run={tmp_path / 'run'}", "epochs=5", f"select={select}"]
    run = pretrain(configs.compose("pretrain", [*SMALL, *chosen]))
    found = json.loads((run / "model.json").read_text())["training"]
    metrics = pd.read_csv(run / "metrics.csv")
    losses = metrics["val_loss"]
    assert found["by"] == select
    assert found["kept"] == (5 if select == "last" else int(losses.to_numpy().argmin()) + 1)
    assert found["step"] == metrics["step"][found["kept"] - 1]
    assert found["score"] == (None if select == "last" else losses.min())
    said = " ".join(capsys.readouterr().out.split())
    assert sentences(found)[0] in said
    # Every epoch says how long the others take.
    assert said.count("left") == 4 + said.count("batches are left")


def test_a_supervised_run_says_it_too(shop: Path, tmp_path: Path) -> None:
    chosen = [f"prepared={shop}", f"run={tmp_path / 'run'}", "epochs=2", "mode=supervised"]
    run = supervised(configs.compose("pretrain", [*SMALL, *chosen]))
    found = json.loads((run / "model.json").read_text())["training"]
    assert (found["by"], found["still_falling"], found["trained"]) == ("score", None, 2)
    assert found["score"] == pd.read_csv(run / "metrics.csv")["val_score"].max()


def test_a_run_that_no_score_was_reached_in(shop: Path, tmp_path: Path) -> None:
    stop = ["epochs=2", "validate_every=2", "select=loss", "trainer.max_steps=3"]
    chosen = [f"prepared={shop}", f"run={tmp_path / 'run'}", *stop]
    run = pretrain(configs.compose("pretrain", [*SMALL, *chosen]))
    found = json.loads((run / "model.json").read_text())["training"]
    assert (found["by"], found["kept"], found["step"]) == ("last", 1, 3)
