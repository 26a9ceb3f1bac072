"""Embeddings in two dimensions: a sample of the sequences, PCA, then t-SNE.

t-SNE keeps neighbours together and nothing else: distances between groups mean nothing. It is slow
in the number of points, and more than 2,000 would cover each other anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

from grap_seq.evaluation.origin import Origin, open_embeddings
from grap_seq.schema import UNLABELLED, Label

POINTS, COMPONENTS = 2000, 50


@dataclass(frozen=True)
class Projection:
    """Two-dimensional embeddings.

    Attributes:
        points: (N, 2).
        labels: (N,) codes of the first label (see `schema.Label`), NaN where there is none.
        sequences: Number of sequences from which the N were drawn.
    """

    points: npt.NDArray[np.float64]
    labels: npt.NDArray[np.float64]
    sequences: int


def project(run: Path, prepared: Path, *, points: int = POINTS, seed: int = 0) -> Projection:
    """Project a random sample of a run's embeddings, of all splits.

    Args:
        run: Run folder with embeddings.
        prepared: The prepared folder they were made from.
        points: Sequences to draw at most.
        seed: Seed of the sample and of t-SNE.

    Raises:
        FileNotFoundError: The run has no embeddings.
        ValueError: Fewer than three sequences, or embeddings that are damaged, by another model of
            the run, or of other data.
    """
    paths = sorted((run / "embeddings").glob("*.parquet"))
    if not paths:
        raise FileNotFoundError(
            f"{run} has no embeddings; make them with `grap-seq embed run={run}`"
        )
    origin = Origin.now(run, prepared)
    files = [open_embeddings(run, path, origin) for path in paths]
    counts = [file.metadata.num_rows for file in files]
    total = sum(counts)
    if total < 3:
        raise ValueError(f"{run} has {total} embeddings; a picture needs at least three")
    chosen = np.zeros(total, dtype=bool)
    drawn = np.random.default_rng(seed).choice(total, size=min(points, total), replace=False)
    chosen[drawn] = True
    sample = pd.concat(
        _sample(file, mask) for file, mask in zip(files, _cut(chosen, counts), strict=True)
    )
    vectors = sample.filter(regex="^emb_").to_numpy(dtype=np.float64)
    vectors = StandardScaler().fit_transform(vectors)
    components = min(COMPONENTS, *vectors.shape)
    reduced = PCA(components, random_state=seed).fit_transform(vectors)
    perplexity = min(30.0, (len(sample) - 1) / 3)
    flat = TSNE(perplexity=perplexity, random_state=seed).fit_transform(reduced)
    labels = sample["label"].to_numpy(dtype=np.float64, na_value=np.nan)
    return Projection(flat.astype(np.float64), labels, total)


def groups(
    codes: npt.NDArray[np.float64], label: Label | None
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """What points are coloured by: classes, or quarters of the numbers that are shown.

    Args:
        codes: (N,) codes of the label, NaN where there is none.
        label: The label.

    Returns:
        The group of each point, -1 where there is no label, and the names of the groups.
    """
    known = ~np.isnan(codes)
    if label is None or not known.any():
        return np.full(len(codes), UNLABELLED), []
    if label.classes:
        return np.where(known, codes, UNLABELLED).astype(np.int64), list(label.classes)
    edges = np.unique(np.quantile(codes[known], [0.25, 0.5, 0.75], method="lower"))
    group = np.where(known, np.searchsorted(edges, codes), UNLABELLED)
    names = [f"{edge * label.std + label.mean:.4g}" for edge in edges]
    between = [f"{low} to {high}" for low, high in pairwise(names)]
    return group, [f"up to {names[0]}", *between, f"over {names[-1]}"]


def _sample(file: pq.ParquetFile, mask: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """The chosen rows of a file, batch by batch, so that the file need not fit in memory."""
    frames, start = [], 0
    for batch in file.iter_batches():
        rows = mask[start : start + len(batch)]
        frames.append(batch.filter(pa.array(rows)).to_pandas())
        start += len(batch)
    return pd.concat(frames) if frames else pd.DataFrame()


def _cut(mask: npt.NDArray[np.bool_], counts: list[int]) -> list[npt.NDArray[np.bool_]]:
    pieces: list[Any] = np.split(mask, np.cumsum(counts)[:-1])
    return pieces
