"""Supervised training and fine-tuning: what moves, what stays, and what the files say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from grap_seq import commands, load, seal
from grap_seq import config as configs
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.embed import embed_rows
from grap_seq.nn.build import build_model
from grap_seq.nn.label_head import build_head
from grap_seq.prep.prepare import prepare
from grap_seq.schema import Schema
from grap_seq.training.data import PretrainData
from grap_seq.training.finetune import finetune, settings_of, supervised
from grap_seq.training.pretrain import describe, pretrain
from grap_seq.training.supervised import SupervisedModule, head_score
from tests.shop import TIMES, write_shop

# One process of `make test` runs them all: the runs below are made once.
pytestmark = pytest.mark.xdist_group("supervised")
SMALL = [
    *("dataset.hidden=8", "event_width=8", "epochs=1", "trainer.threads=1", "batch_size=16"),
    *("pooling=last_mean_max", "lr=0.001", "schedule=step"),
]
LAYERS = ["encoder.hidden=8", "encoder.layers=2", "encoder.heads=2", "encoder.feedforward=8"]
BASE = ["dataset=table", *SMALL, "select=last"]


@pytest.fixture(scope="module")
def runs(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A pretrained GRU, Transformer and HT-Transformer."""
    place = tmp_path_factory.mktemp("runs")
    encoders = {"gru": [], "transformer": LAYERS, "ht_transformer": LAYERS}
    for encoder, more in encoders.items():
        chosen = [f"encoder={encoder}", *more, f"run={place / encoder}", f"prepared={shop}"]
        pretrain(configs.compose("pretrain", [*BASE, *chosen]))
    return {encoder: place / encoder for encoder in encoders}


def tuned(run: Path, output: Path, *overrides: str) -> dict[str, torch.Tensor]:
    chosen = [f"run={run}", f"output={output}", "epochs=2", "batch_size=16", *overrides]
    finetune(settings_of(configs.compose("finetune", chosen)))
    return load_file(output / "model.safetensors")


def test_all_parameters_of_a_gru_learn(runs: dict[str, Path], tmp_path: Path) -> None:
    before = load_file(runs["gru"] / "model.safetensors")
    after = tuned(runs["gru"], tmp_path / "tuned")
    assert before.keys() == after.keys()
    assert not [name for name, value in before.items() if value.equal(after[name])]
    again = tuned(runs["gru"], tmp_path / "again")
    assert all(value.equal(again[name]) for name, value in after.items())


def labels_used(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "model.json").read_text())["labels"]
    return content


def test_model_json_says_what_was_seen(runs: dict[str, Path], shop: Path, tmp_path: Path) -> None:
    expected = {"label": "churned", "encoder": "weights", "fraction": 1.0, "epoch": "last"}
    assert labels_used(runs["gru"]) == expected
    for mode, encoder in (("pretrain", None), ("auxiliary", "gradient")):
        weighting = ["weighting=equal"] if mode == "pretrain" else []
        chosen = [*BASE, f"mode={mode}", *weighting, "labels.fraction=0.6", f"prepared={shop}"]
        pretrain(configs.compose("pretrain", [*chosen, f"run={tmp_path / mode}"]))
        assert labels_used(tmp_path / mode) == expected | {"encoder": encoder, "fraction": 0.6}
    # Fine-tuned, a run has seen what it has seen before too.
    for source, fraction in (("pretrain", 0.4), ("auxiliary", 0.6)):
        output = tmp_path / f"{source}_tuned"
        tuned(tmp_path / source, output, "labels.fraction=0.4", "epochs=1")
        found = labels_used(output)
        assert (found["encoder"], found["fraction"]) == ("gradient", fraction)


def _store(settings: Any, run: Path) -> None:
    with seal.write(run, "config.yaml") as temporary:
        configs.save(settings, temporary)


def test_clipping_is_the_pretrained_runs_unless_it_is_switched_off(tmp_path: Path) -> None:
    for stored, override, expected in (
        ("clip=0.5", "clip=null", 0.5),
        ("clip=0.5", "clip=0", 0),
        ("clip=null", "clip=null", 0),
        ("clip=null", "clip=2", 2),
    ):
        _store(OmegaConf.to_container(configs.compose("pretrain", [stored])), tmp_path)
        chosen = settings_of(configs.compose("finetune", [f"run={tmp_path}", override]))
        assert chosen.clip == expected
    with pytest.raises(ValueError, match="clip=-1: write a number from 0 "):
        settings_of(configs.compose("finetune", [f"run={tmp_path}", "clip=-1"]))


def test_fine_tuning_without_clipping(runs: dict[str, Path], tmp_path: Path) -> None:
    """A clip that no gradient reaches is none."""
    loose, off = (
        tuned(runs["gru"], tmp_path / name, clip)
        for name, clip in (("loose", "clip=1e9"), ("off", "clip=0"))
    )
    assert all(value.equal(off[name]) for name, value in loose.items())


def test_adapters_change_linear_maps_by_a_low_rank(runs: dict[str, Path], tmp_path: Path) -> None:
    before = load_file(runs["ht_transformer"] / "model.safetensors")
    after = tuned(runs["ht_transformer"], tmp_path / "tuned", "lora.rank=2", "lora.alpha=8")
    assert before.keys() == after.keys()
    changed = {name for name, value in before.items() if not value.equal(after[name])}
    linear = ("queries_keys_values", "output", "feedforward.0", "feedforward.3")
    assert changed == {
        f"encoder.layers.{layer}.{name}.weight" for layer in (0, 1) for name in linear
    }
    for name in changed:
        ranks = torch.linalg.svdvals((after[name] - before[name]).double())
        assert ranks[2] < 1e-5 * ranks[0]
    model = load(tmp_path / "tuned")
    assert model.embed(_events()).shape == (6, model.model.embedding_size)


def test_a_transformer_gets_a_token_that_sums_up(runs: dict[str, Path], tmp_path: Path) -> None:
    before = load_file(runs["transformer"] / "model.safetensors")
    after = tuned(runs["transformer"], tmp_path / "tuned", "lora.rank=2")
    assert after.keys() - before.keys() == {"encoder.end"}
    assert before.keys() <= after.keys()
    model = load(tmp_path / "tuned")
    assert model.description["encoder"]["end_token"] is True
    # It learns: after training with another rate it is another one.
    again = tuned(runs["transformer"], tmp_path / "again", "lora.rank=2", "lr=0.1")
    assert not after["encoder.end"].equal(again["encoder.end"])
    # Tuned once more, it keeps its token.
    third = tuned(tmp_path / "tuned", tmp_path / "third", "lora.rank=2")
    assert third.keys() == after.keys()


def _events() -> Any:
    from tests.shop import purchases

    return purchases(6, seed=4)


def test_adapters_of_every_rank_start_as_the_pretrained_model(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    before = load_file(runs["ht_transformer"] / "model.safetensors")
    after = tuned(runs["ht_transformer"], tmp_path / "tuned", "lr=0")
    assert all(value.equal(after[name]) for name, value in before.items())


def test_head_score_is_the_auc_of_the_head_on_labelled_rows(shop: Path) -> None:
    settings = configs.compose("pretrain", [*BASE, *TIMES, f"prepared={shop}"])
    model = build_model(Schema.load(shop), describe(settings))
    head = build_head(model.embedding_size, 2)
    val = Sequences(shop, "val")
    assert val.label is not None
    module = SupervisedModule(model, head, val.label)
    val.labels = np.where(np.arange(len(val)) % 3 == 0, -1, val.labels)
    module.train()
    found = head_score(module, val, 1200)
    assert all(part.training for part in module.modules())
    rows = np.flatnonzero(val.labels >= 0)
    vectors = embed_rows(model, val, rows, 1200)
    # A fresh batch norm only scales, by the same factor for all.
    logits = vectors @ head.get_parameter("1.weight").detach().numpy().T
    difference = logits[:, 1] - logits[:, 0]
    assert found == pytest.approx(roc_auc_score(val.labels[rows], difference))


def test_supervised_from_the_command_line(shop: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    commands.pretrain(
        [*BASE, "mode=supervised", f"prepared={shop}", f"run={run}", "epochs=6", "lr=0.01"]
    )
    head = json.loads((run / "head.json").read_text())
    assert head["metric"] == "auc"
    assert head["validation"] > 0.6
    assert labels_used(run)["encoder"] == "gradient"
    assert len((run / "metrics.csv").read_text().splitlines()) == 7
    commands.embed([f"run={run}"])
    assert (run / "embeddings" / "test.parquet").is_file()
    commands.evaluate(
        [f"run={run}", "head=true", "boosting.binary.min_data_in_leaf=5", "threads=1"]
    )
    result = json.loads((run / "evaluation.json").read_text())
    assert result["head"]["test"] == head["test"]
    assert result["classifier"]["min_data_in_leaf"] == 5
    assert "has learned the labels of" in result["notes"][0]
    commands.report([f"run={run}"])
    assert (run / "report.html").is_file()


def test_runs_are_named_after_their_mode() -> None:
    assert configs.compose("pretrain", ["mode=supervised"]).run == "runs/flights_gru_supervised"
    auxiliary = configs.compose("pretrain", ["mode=auxiliary"])
    assert (auxiliary.run, auxiliary.weighting.name) == ("runs/flights_gru_auxiliary", "auxiliary")


def test_training_sees_a_part_of_the_labels_and_probes_all(shop: Path) -> None:
    from grap_seq.data.crops import CropPolicy

    data = PretrainData(shop, CropPolicy(), 8, labelled=True, fraction=0.4)
    whole = PretrainData(shop, CropPolicy(), 8, labelled=True)
    assert (data.train.labels >= 0).all()
    seen = sum(len(rows) for rows in data.train_dataloader().dataset.of(0).batches)
    every = sum(len(rows) for rows in whole.train_dataloader().dataset.of(0).batches)
    assert 0 < seen < every
    unlabelled = PretrainData(shop, CropPolicy(), 8, fraction=0.4).train_dataloader().dataset.of(0)
    assert sum(len(rows) for rows in unlabelled.batches) == every
    assert int((unlabelled.sequences.labels >= 0).sum()) == seen


def test_a_run_of_another_version_is_named(runs: dict[str, Path], tmp_path: Path) -> None:
    stored = configs.load(runs["gru"] / "config.yaml")
    del stored["schedule"]
    _store(stored, tmp_path)
    with pytest.raises(ValueError, match=r"by another version of grap_seq.*train it again"):
        settings_of(configs.compose("finetune", [f"run={tmp_path}"]))


def test_errors_name_the_remedy(runs: dict[str, Path], shop: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(ValueError, match="has none; use adapters=full"):
        tuned(runs["gru"], output, "adapters=lora")
    with pytest.raises(ValueError, match="adapters=some: choose one of auto, full, lora"):
        tuned(runs["gru"], output, "adapters=some")
    with pytest.raises(ValueError, match=r"labels\.fraction=0"):
        tuned(runs["gru"], output, "labels.fraction=0")
    for wrong, remedy in (
        ("epochs=0", "write a whole number from 1"),
        ("lr=fast", "write a number"),
    ):
        with pytest.raises(ValueError, match=f"{wrong}: .*{remedy}"):
            tuned(runs["gru"], output, wrong)
    with pytest.raises(ValueError, match="mode=auxiliary and weighting=grap"):
        commands.pretrain([*BASE, f"prepared={shop}", "mode=auxiliary", "weighting=grap"])
    source = write_shop(tmp_path, 40)
    spec = tmp_path / "events.yaml"
    spec.write_text(spec.read_text().replace("label: churned", "label: null"))
    prepare("table", tmp_path / "unlabelled", source=source)
    unlabelled = f"prepared={tmp_path / 'unlabelled'}"
    with pytest.raises(ValueError, match="has no label to learn"):
        supervised(configs.compose("pretrain", [*BASE, "mode=supervised", unlabelled]))
    with pytest.raises(ValueError, match="has no label to learn"):
        tuned(runs["gru"], output, unlabelled)
    spec.write_text(spec.read_text().replace("label: null", "label: churned\nmetric: accuracy"))
    prepare("table", tmp_path / "other", source=source)
    with pytest.raises(ValueError, match=r"another schema than .*prepare it with .*like="):
        tuned(runs["gru"], output, f"prepared={tmp_path / 'other'}")
    with pytest.raises(FileNotFoundError, match=r"no config\.yaml"):
        commands.finetune([f"run={tmp_path / 'absent'}"])
