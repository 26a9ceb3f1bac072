"""Features and labels of the same sequence stand in the same row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from grap_seq.data.labels import Examples
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.aggregates import aggregates
from grap_seq.evaluation.labelled import load
from tests.evaluation.fake import prepared_folder, write_embeddings


def test_rows_belong_together(tmp_path: Path) -> None:
    prepared = prepared_folder(tmp_path / "data", counts=(30, 10, 20), unlabelled=0.3)
    run = tmp_path / "run"
    write_embeddings(run, prepared, hidden=2)

    data = load(run, prepared, tmp_path)

    assert data.pooling == "last_mean_max"
    for split in ("train", "val", "test"):
        known = pd.read_parquet(prepared / split).dropna(subset="label").set_index("client")
        known = known.sort_index()
        rows = data.rows(split)
        np.testing.assert_array_equal(data.labels[rows], known.label)
        vectors = pd.read_parquet(run / "embeddings" / f"{split}.parquet").set_index("client")
        vectors = vectors.loc[known.index].filter(like="emb_")
        np.testing.assert_array_equal(data.features["embedding"][rows], vectors)
        sequences = Sequences(prepared, split)
        order = [sequences.ids(0, len(sequences)).to_pylist().index(one) for one in known.index]
        until = sequences.until[order]
        examples = Examples(
            np.array(order), sequences.lengths[order], known.label.to_numpy(), until
        )
        plain = pd.concat(aggregates(sequences, examples, 1200))
        np.testing.assert_array_equal(data.features["aggregates"][rows], plain)
        control = run / "embeddings" / "untrained" / f"{split}.parquet"
        untrained = pd.read_parquet(control).set_index("client").loc[known.index]
        np.testing.assert_array_equal(
            data.features["untrained"][rows], untrained.filter(like="emb_")
        )
        assert data.ids[rows].tolist() == known.index.tolist()
        for number, pooling in enumerate(("last", "mean", "max")):
            expected = vectors.iloc[:, 2 * number : 2 * number + 2]
            np.testing.assert_array_equal(data.poolings[pooling][rows], expected)
