"""Artificial raw files of every dataset that has a generator, through preparation and training."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from grap_seq import choices, commands
from grap_seq.prep.fetch.synth import ROWS_PER_BLOCK, blocks, lengths, synth
from grap_seq.resources import folder
from grap_seq.schema import SPLITS, Schema
from tests.prep.helpers import content_of

NAMES = sorted(path.parent.name for path in folder("data_prep").glob("*/synth.py"))


@pytest.mark.parametrize("name", NAMES)
def test_artificial_data_are_prepared_and_trained_on(name: str, tmp_path: Path) -> None:
    raw, prepared = tmp_path / "raw", tmp_path / "prepared"
    commands.synth([f"dataset={name}", f"output={raw}", "rows=4000", "seed=3"])
    commands.prepare([f"dataset={name}", f"source={raw}", f"output={prepared}"])
    schema = Schema.load(prepared)
    for split in SPLITS:
        rows = pq.read_table(prepared / split).to_pylist()
        assert rows, split
        for row in rows:
            assert (np.diff(row["event_time"]) >= 0).all()
        labels = {label for row in rows for label in np.atleast_1d(row["label"])}
        assert labels - {None} == set(range(len(schema.labels[0].classes))), split
    for place, encoder in enumerate(choices.names("encoder")):
        run_for_some_steps(name, prepared, tmp_path / encoder, encoder, NAMES.index(name) + place)


@pytest.mark.parametrize("name", sorted({*choices.names("dataset")} - {*NAMES}))
def test_the_other_datasets_configs(name: str, shop: Path, tmp_path: Path) -> None:
    """On a table of another kind: only the settings are theirs."""
    for place, encoder in enumerate(choices.names("encoder")):
        run_for_some_steps(name, shop, tmp_path / encoder, encoder, place)


def run_for_some_steps(name: str, prepared: Path, run: Path, encoder: str, place: int) -> None:
    """One experiment of a dataset and an encoder; over all of them every choice has its turn."""
    methods = [*choices.names("weighting"), "supervised"]
    methods.remove("fixed")  # Its weights are the user's.
    objectives = choices.names("objective")
    objective = objectives[place % len(objectives)]
    method = methods[(3 * place) % len(methods)]
    if objective == "coles" or (objective, method) == ("ntp", "searched"):
        # A single loss, or one that has no place in the list.
        method = "grap"
    sizes = ["dataset.hidden=8", "event_width=8", "objective.head_width=8", "batch_size=8"]
    if "transformer" in encoder:
        sizes += ["encoder.hidden=8", "encoder.layers=1", "encoder.feedforward=8"]
    settings = [f"experiment={name}_{encoder}_{method}", f"objective={objective}", *sizes]
    settings += ["objective.targets=[]"] if objective == "coles" else []
    settings += ["trainer=smoke", "trainer.threads=1", "trainer.max_steps=2", "select=last"]
    commands.pretrain([*settings, f"prepared={prepared}", f"run={run}", "epochs=1"])
    assert (run / "model.safetensors").is_file()


def test_several_labels_a_sequence_from_raw_files_to_scores(tmp_path: Path) -> None:
    raw, prepared, run = tmp_path / "raw", tmp_path / "prepared", tmp_path / "run"
    commands.synth(["dataset=mbd_mini", f"output={raw}", "rows=3000", "seed=3"])
    commands.prepare(["dataset=mbd_mini", f"source={raw}", f"output={prepared}"])
    arguments = [f"prepared={prepared}", f"run={run}", "trainer=smoke", "trainer.threads=1"]
    few = ["dataset.boosting.binary.n_estimators=20", "probe_sequences=200", "validate_every=1"]
    small = ["encoder.hidden=8", "event_width=8", "objective.head_width=8", "batch_size=8"]
    commands.pretrain(["dataset=mbd_mini", *arguments, "epochs=1", "select=probe", *few, *small])
    commands.embed([f"run={run}", "threads=1"])
    commands.evaluate([f"run={run}", "threads=1", "seeds=1", "folds=0"])
    result = json.loads((run / "evaluation.json").read_text("utf-8"))
    for split in SPLITS:
        rows = pq.read_table(prepared / split).to_pylist()
        assert result["n_labelled"][split] == sum(len(row["label"] or []) for row in rows)
    tuned = [f"run={run}", f"output={tmp_path / 'tuned'}", "epochs=1", "trainer.max_steps=2"]
    commands.finetune([*tuned, "trainer=smoke", "trainer.threads=1"])
    head = json.loads((tmp_path / "tuned" / "head.json").read_text("utf-8"))
    assert 0 < head["test"] < 1
    # Plain aggregates of what was known before each month find who needs money.
    assert result["test"]["aggregates"] > 0.6


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_every_byte(name: str, tmp_path: Path) -> None:
    contents = [
        content_of(synth(name, tmp_path / str(place), 1000, seed))
        for place, seed in enumerate((1, 1, 2))
    ]
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def test_sizes_and_blocks() -> None:
    generator = np.random.default_rng(0)
    for rows, mean, count in ((4000, 100.0, 400), (1000, 100.0, 100), (600_000, 100.0, 6000)):
        sizes = lengths(rows, mean, generator)
        assert len(sizes) == count
        assert sizes.sum() == pytest.approx(rows, rel=0.1)
        parts = list(blocks(sizes))
        assert [parts[0].start, parts[-1].stop] == [0, count]
        assert all(one.stop == two.start for one, two in itertools.pairwise(parts))
        assert max(sizes[part].sum() for part in parts) < ROWS_PER_BLOCK + sizes.max()


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no artificial data for dataset 'flights'"):
        synth("flights", tmp_path / "out", 1000, 0)
    with pytest.raises(ValueError, match="rows=10"):
        synth("churn", tmp_path / "out", 10, 0)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="another output="):
        synth("churn", tmp_path, 1000, 0)
