"""Raw events on Spark: the embeddings of one process, bit by bit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.errors import PythonException
from pyspark.sql import SparkSession

from grap_seq import config as configs
from grap_seq import seal
from grap_seq.evaluation.embed import CHUNK_ROWS
from grap_seq.evaluation.events_on_spark import embed_events
from grap_seq.evaluation.load import load
from grap_seq.evaluation.model import EmbeddingModel
from grap_seq.evaluation.save import save
from grap_seq.prep.engines import spark as spark_engine
from grap_seq.prep.engines.connect import connect
from grap_seq.schema import Schema
from grap_seq.training.pretrain import build_module, numbers_of
from tests.prep.engines.test_spark import QUICK
from tests.shop import TIMES

pytestmark = pytest.mark.xdist_group("spark")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    if spark_engine.java() is None:
        pytest.skip("Java 17 is missing (no `java` found): nothing is embedded on Spark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        folder = tmp_path_factory.mktemp("spark")
        connection = connect("spark", memory_limit="1GB", threads=2, temporary=folder, spark=QUICK)
        assert isinstance(connection, spark_engine.Spark)
        yield connection.session
        connection.disconnect()


@pytest.fixture
def model(shop: Path, tmp_path: Path) -> EmbeddingModel:
    """Of the shop, untrained."""
    chosen = ["dataset=table", "dataset.hidden=8", "event_width=8", *TIMES]
    settings = configs.compose("pretrain", chosen)
    module, description = build_module(settings, Schema.load(shop), numbers_of(shop))
    run = tmp_path / "run"
    run.mkdir()
    for name in ("schema.yaml", "vocab.json"):
        seal.write_text(run, name, (shop / name).read_text("utf-8"))
    save(module.model, description, run)
    return load(run, device="cpu")


def events(customers: int) -> pd.DataFrame:
    """Of two chunks and a bit, ids out of order, some with many events."""
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 4, customers) + 20 * (rng.random(customers) < 0.01)
    ids = np.repeat(rng.permutation(customers) * 3 - 1000, counts)
    frame = pd.DataFrame(
        {
            "customer": ids,
            "when": rng.integers(0, 30, len(ids)).astype(float),
            "kind": rng.choice(["food", "toys", "books", "unheard of"], len(ids)),
            "amount": rng.normal(size=len(ids)).round(3),
        }
    )
    return frame.sample(frac=1, random_state=1)


@pytest.mark.slow
def test_tasks_embed_what_one_process_does(session: SparkSession, model: EmbeddingModel) -> None:
    table = events(2 * CHUNK_ROWS + 100)
    expected = model.embed(table)
    assert len(expected) == 2 * CHUNK_ROWS + 100
    frame = session.createDataFrame(table).repartition(3)
    found = embed_events(model, frame, device="cpu").toPandas()
    pd.testing.assert_frame_equal(
        found.set_index("customer").sort_index(), expected, check_exact=True
    )
    # Ids as text are ordered as the numbers that preparation had.
    text = session.createDataFrame(table.astype({"customer": str}))
    again = embed_events(model, text, device="cpu").toPandas()
    pd.testing.assert_frame_equal(
        again.set_index("customer").sort_index(), expected, check_exact=True
    )
    missing = session.createDataFrame(
        [(None, 1.0, "food", 2.0), (1, 2.0, "toys", 1.0)],
        "customer bigint, when double, kind string, amount double",
    )
    with pytest.raises(PythonException, match="customer"):
        embed_events(model, missing, device="cpu").collect()
    with pytest.raises(ValueError, match="'customer' is double: give ids as text or whole numbers"):
        embed_events(model, session.createDataFrame(table.astype({"customer": float})))
