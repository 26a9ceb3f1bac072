"""The picture shows a sample of the right size, with each point's own label."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import silhouette_score

from grap_seq.pages.projection import Projection, groups, project
from grap_seq.schema import Label
from tests.evaluation.fake import belong, prepared_folder


def write(
    run: Path,
    split: str,
    vectors: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    labels: list[int | None],
) -> None:
    (run / "embeddings").mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(vectors.astype("float32")).rename(columns=lambda i: f"emb_{i:04d}")
    frame.insert(0, "client", [f"{split}{i}" for i in range(len(frame))])
    frame["label"] = pd.array(labels, dtype="Int32")
    frame.to_parquet(run / "embeddings" / f"{split}.parquet")


def projected(run: Path, **options: int) -> Projection:
    prepared = run / "data"
    if not prepared.is_dir():
        prepared_folder(prepared, counts=(4, 2, 2))
    (run / "model.json").write_text(json.dumps({"weights": "fake"}))
    belong(run, prepared)
    return project(run, prepared, **options)


def test_groups_stay_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        labels: list[int | None] = [i % 2 for i in range(40)]
        vectors = rng.normal(size=(40, 5)) + 20 * np.array(labels, dtype=float)[:, None]
        write(tmp_path, split, vectors, labels)
    projection = projected(tmp_path)
    assert projection.sequences == 80
    assert projection.points.shape == (80, 2)
    assert silhouette_score(projection.points, projection.labels) > 0.5


def test_sample_is_drawn_by_the_seed(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 3))
    write(tmp_path, "train", vectors, [None] * 20 + [1] * 30)
    first = projected(tmp_path, points=12)
    assert len(first.points) == 12
    assert first.sequences == 50
    assert set(first.labels[~np.isnan(first.labels)]) == {1}
    assert np.isnan(first.labels).any()
    np.testing.assert_array_equal(first.points, projected(tmp_path, points=12).points)
    assert (projected(tmp_path, points=12, seed=1).points != first.points).any()


def test_points_are_coloured_by_classes_or_by_quarters_of_a_number() -> None:
    codes = np.array([0, np.nan, 1, 1])
    found, names = groups(codes, Label("left", "auc", ("no", "yes")))
    assert (found.tolist(), names) == ([0, -1, 1, 1], ["no", "yes"])
    assert groups(codes, None)[0].tolist() == [-1] * 4
    numbers = np.arange(8.0)
    label = Label("spend", "mae", mean=10, std=2)
    found, names = groups(np.append((numbers - 10) / 2, np.nan), label)
    assert found.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, -1]
    assert names == ["up to 1", "1 to 3", "3 to 5", "over 5"]
    # Hardly any spread: fewer groups, none of them empty.
    found, names = groups(np.array([0.0, 0.0, 0.0, 0.0, 3.0]), label)
    assert (found.tolist(), names) == ([0, 0, 0, 0, 1], ["up to 10", "over 10"])


def test_too_little_to_show(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="grap-seq embed run="):
        projected(tmp_path)
    write(tmp_path, "train", np.zeros((2, 3)), [0, 1])
    with pytest.raises(ValueError, match="at least three"):
        projected(tmp_path)
