"""The paper's table of images: which data sets it finds, and its runs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from grap_seq import commands
from grap_seq.experiments.images import check_images, on_disk
from grap_seq.experiments.methods import METHODS
from grap_seq.experiments.plan import plan, with_bases
from grap_seq.experiments.scores import published

ASKED = ["table=3", "seeds=2", "budget=smoke"]


def test_images_are_those_in_the_folder_and_those_that_come_with_a_package(tmp_path: Path) -> None:
    assert on_disk(tmp_path) == ["digits"]
    (tmp_path / "cifar10").mkdir()
    assert on_disk(tmp_path) == ["cifar10", "digits"]
    with pytest.raises(FileNotFoundError, match=r"no cifar100 in .* leave out datasets="):
        check_images(["digits", "cifar100"], tmp_path)


def test_each_dataset_has_the_backbone_of_its_config() -> None:
    found = plan("3", ["digits", "cifar10"], [], ["equal"], 1, "full")
    assert [(one.dataset, one.encoder) for one in found] == [
        ("digits", "convnet"),
        ("cifar10", "resnet18"),
    ]
    assert found[0].training == ["data=digits", "backbone=convnet", "weighting=equal", "seed=0"]


def test_medians_are_taken_from_the_run_of_the_same_seed() -> None:
    found = with_bases(plan("3", ["digits"], [], ["grap_medians"], 2, "smoke"))
    assert [(one.method, one.seed) for one in found] == [
        ("grap", 0),
        ("grap_medians", 0),
        ("grap", 1),
        ("grap_medians", 1),
    ]
    job = found[3].job(Path("data"), 1)
    assert (job.command, job.prepared, job.evaluation) == ("vision", None, None)
    assert job.base == found[2].job(Path("data"), 1)
    # No label has trained the encoder.
    assert not METHODS["grap_medians"].learns_labels


def test_the_papers_values_stand_beside_its_datasets() -> None:
    """From the paper's Table 3."""
    assert published("3", "resnet18", "grap", "cifar100") == pytest.approx((0.7090, 0.0006))
    assert published("3", "resnet18", "grap_medians", "cifar10") == pytest.approx((0.9316, 0.0009))
    assert published("3", "convnet", "grap", "digits") is None
    assert published("3", "resnet18", "pcgrad", "cifar10") is None


def test_a_table_of_digits(tmp_path: Path) -> None:
    words = ["methods=[grap,grap_medians]", f"data={tmp_path}", f"output={tmp_path}/results"]
    commands.reproduce([*ASKED, *words])
    frame = pd.read_parquet(tmp_path / "results" / "table_3_runs.parquet")
    assert frame["state"].tolist() == ["done"] * 4, frame["error"].tolist()
    assert frame["test_embedding"].between(0.2, 1).all()
    # By the seed alone.
    assert frame.groupby("seed")["test_untrained"].nunique().tolist() == [1, 1]
    text = (tmp_path / "results" / "table_3.md").read_text("utf-8")
    scores = frame[frame["method"] == "grap_medians"]["test_embedding"]
    assert f"{scores.mean():.4f} ± {scores.std():.4f} (2)" in text
    untrained = frame.groupby("seed")["test_untrained"].first()
    spread = f"{untrained.mean():.4f} ± {untrained.std():.4f}"
    assert f"| digits | convnet | untrained encoder | {spread} |" in text


def test_images_have_neither_folds_nor_a_search(tmp_path: Path) -> None:
    for word in ("folds=3", "tuned=2"):
        with pytest.raises(ValueError, match="table=3 is of images"):
            commands.reproduce([*ASKED, word, f"data={tmp_path}", f"output={tmp_path}/results"])
