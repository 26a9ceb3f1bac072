"""New data that training has not seen the like of: missing numbers, absurd ones, a constant."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from grap_seq import commands, load
from grap_seq.evaluation.model import EmbeddingModel
from grap_seq.files import sha256
from grap_seq.prep.folder.state import State
from grap_seq.prep.prepare import prepare
from tests.sealed import reseal
from tests.shop import purchases, write_shop

SMALL = ["dataset=table", "dataset.hidden=8", "event_width=8", "epochs=3", "select=last"]


def train(folder: Path, events: pd.DataFrame) -> EmbeddingModel:
    """A model of a table of purchases."""
    folder.mkdir(exist_ok=True)
    source = write_shop(folder)
    events.to_csv(source, index=False)
    prepare("table", folder / "prepared", source=source)
    commands.pretrain([*SMALL, f"prepared={folder / 'prepared'}", f"run={folder / 'run'}"])
    return load(folder / "run")


def test_the_first_missing_number_moves_an_embedding_little(tmp_path: Path) -> None:
    model = train(tmp_path, purchases(80))
    assert State.load(tmp_path / "prepared").numerical["amount"].missing == 0
    assert model.description["numbers"]["amount"]["missing"] is False
    whole = purchases(20).reset_index(drop=True)
    missing = whole.copy()
    missing.loc[missing.groupby("customer").head(1).index, "amount"] = np.nan
    before, after = model.embed(whole), model.embed(missing)
    assert np.isfinite(after.to_numpy()).all()
    moved = np.linalg.norm(after - before, axis=1)
    # As far apart as other sequences are, not a hundred times as far.
    apart = np.linalg.norm(before - before.mean(), axis=1).mean()
    assert moved.max() < 3 * apart


@pytest.mark.parametrize("value", [1e300, -1e300, 1e25])
def test_an_absurd_value_is_the_largest_of_training(tmp_path: Path, value: float) -> None:
    model = train(tmp_path, purchases(80))
    events = purchases(5).reset_index(drop=True)
    absurd, large = events.copy(), events.copy()
    absurd.loc[3, "amount"], large.loc[3, "amount"] = value, np.sign(value) * 1e9
    pd.testing.assert_frame_equal(model.embed(absurd), model.embed(large))


def test_training_survives_an_absurd_value_and_a_constant(tmp_path: Path) -> None:
    events = purchases(80).reset_index(drop=True)
    events.loc[7, "amount"] = 1e300
    model = train(tmp_path / "absurd", events)
    assert np.isfinite(model.embed(events).to_numpy()).all()
    model = train(tmp_path / "constant", events.assign(amount=4.0))
    few = purchases(5)
    vectors = model.embed(few.assign(amount=4.0))
    pd.testing.assert_frame_equal(vectors, model.embed(few.assign(amount=5.0)))
    assert np.isfinite(vectors.to_numpy()).all()


def test_a_model_of_another_version_is_named(tmp_path: Path) -> None:
    train(tmp_path, purchases(80))
    path = tmp_path / "run" / "model.safetensors"
    tensors = load_file(path)
    del tensors["embedding.table_norm.weight"]
    save_file(tensors, path)
    described = json.loads((path.parent / "model.json").read_text("utf-8"))
    (path.parent / "model.json").write_text(json.dumps(described | {"weights": sha256(path)}))
    reseal(path.parent)
    with pytest.raises(ValueError, match="trained by another version of grap_seq"):
        load(tmp_path / "run")
