"""The examples of docs/extending.md, as the page says: files of Python and YAML, one command."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from grap_seq import classes, cli, commands, load
from tests.shop import purchases

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "my"
    for text in blocks("yaml"):
        path = folder / text.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    (folder / "mine.py").write_text("\n".join(blocks("python")), "utf-8")
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    sys.modules.pop("mine", None)


def test_the_command_of_the_page_trains_all_three(mine: Path, shop: Path, tmp_path: Path) -> None:
    (command,) = re.findall(r"PYTHONPATH=my grap-seq pretrain (.*)", PAGE)
    arguments = command.replace("configs=my", f"configs={mine}").split()
    small = ["dataset=table", "dataset.hidden=8", "event_width=8", "epochs=2", "log_every=1"]
    small.append("pooling=last_mean_max")
    run = tmp_path / "run"
    commands.pretrain([*arguments, *small, "select=last", f"prepared={shop}", f"run={run}"])
    losses = pd.read_csv(run / "metrics.csv")["loss/events_so_far"]
    assert losses.iloc[-1] < losses.iloc[0]
    weights = pd.read_parquet(run / "weights.parquet").filter(regex="^weight/")
    assert "weight/events_so_far" in weights
    assert (weights.nunique() > 1).all()
    # Another process has not read my/, and knows only the run.
    classes.allowed.clear()
    with pytest.raises(ValueError, match=r"'mine\.Convolutions' is none of grap_seq's own"):
        load(run)
    with pytest.raises(ValueError, match="--allow-class"):
        cli.run(["embed", f"run={run}"])
    (option,) = re.findall(r"`(--allow-class \S+)`", PAGE)
    cli.run(["embed", *option.split(), f"run={run}", f"output={tmp_path / 'vectors'}"])
    assert (tmp_path / "vectors" / "train.parquet").is_file()
    classes.allowed.clear()
    (allowed,) = re.findall(r"allow_classes=(\[.*?\])", PAGE)
    assert load(run, json.loads(allowed)).embed(purchases(5)).shape == (5, 24)


def test_own_choices_are_offered_and_missing_folders_named(mine: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'convolutions'"):
        commands.pretrain([f"configs={mine}", "encoder=convolution"])
    with pytest.raises(ValueError, match="encoder=convolutions: choose one of gru"):
        commands.pretrain(["encoder=convolutions"])
    with pytest.raises(FileNotFoundError, match=r"configs=nowhere: no such folder"):
        commands.pretrain(["configs=nowhere"])


def test_names_of_losses_are_unique(mine: Path, shop: Path) -> None:
    arguments = [f"configs={mine}", "dataset=table", f"prepared={shop}", "objective=with_count"]
    with pytest.raises(ValueError, match="a loss called 'kind' exists"):
        commands.pretrain([*arguments, "objective.losses.kind.class=mine.EventsSoFar"])
