"""The control of an evaluation: embeddings by the run's own architecture before training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from grap_seq import config as configs
from grap_seq import seal
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.embed import embed_rows
from grap_seq.evaluation.embed_folder import embed_folder
from grap_seq.evaluation.model import EmbeddingModel
from grap_seq.evaluation.save import save
from grap_seq.training.pretrain import build_module
from tests.data.toy import SCHEMA, random_rows, write_prepared

CHOSEN = ["dataset=table", "dataset.max_time_gap=8", "dataset.hidden=8", "event_width=8", "seed=3"]


@pytest.mark.parametrize("encoder", ["gru", "ht_transformer"])
def test_the_control_is_the_model_that_training_began_with(tmp_path: Path, encoder: str) -> None:
    rows = {"train": random_rows([5, 9, 30, 4], 0, 0), "test": random_rows([6, 12], 0, 50)}
    prepared = write_prepared(tmp_path / "data", rows)
    config = configs.compose("pretrain", [*CHOSEN, f"encoder={encoder}"])
    module, description = build_module(config, SCHEMA)
    expected = {
        split: embed_rows(module.model, part, np.arange(len(part)), 1200)
        for split, part in ((split, Sequences(prepared, split)) for split in rows)
    }
    with torch.no_grad():
        for parameter in module.model.parameters():
            parameter.add_(1.0)
    run = tmp_path / "run"
    run.mkdir()
    for name in ("schema.yaml", "vocab.json"):
        seal.write_text(run, name, (prepared / name).read_text("utf-8"))
    save(module.model, description, run)
    model = EmbeddingModel(run)
    state = torch.get_rng_state()
    embed_folder(model, prepared)
    assert torch.get_rng_state().equal(state)
    for split, vectors in expected.items():
        control = pd.read_parquet(run / "embeddings" / "untrained" / f"{split}.parquet")
        np.testing.assert_allclose(control.filter(like="emb_"), vectors, atol=1e-5)
        own = pd.read_parquet(run / "embeddings" / f"{split}.parquet")
        assert own.iloc[:, 0].tolist() == control.iloc[:, 0].tolist()
        assert not np.allclose(own.filter(like="emb_"), vectors, atol=1e-2)
    elsewhere = embed_folder(model, prepared, output=tmp_path / "new")
    files = [".lock", "checksums.jsonl", "test.parquet", "train.parquet"]
    assert sorted(path.name for path in elsewhere.iterdir()) == files
