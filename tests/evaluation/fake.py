"""Small prepared folders and run folders, written straight in the formats they are specified in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from grap_seq.evaluation.leak import LabelsUsed, Part
from grap_seq.evaluation.origin import Origin
from grap_seq.prep.folder.manifest import Manifest
from grap_seq.schema import Field, Label, Metric, Schema
from tests.data.toy import write_descriptions
from tests.sealed import reseal

SCHEMA = Schema(
    name="toy",
    id="client",
    time_unit="day",
    fields=(
        Field("shop", "categorical", size=5),
        Field("amount", "numerical"),
        Field("score", "numerical", by="shop"),
    ),
    labels=(Label("churn", "auc", ("no", "yes")),),
)
TYPES = {
    "client": pa.string(),
    "event_time": pa.list_(pa.float64()),
    "shop": pa.list_(pa.int32()),
    "amount": pa.list_(pa.float32()),
    "score": pa.list_(pa.float32()),
    "label": pa.int32(),
}


def write_part(folder: Path, number: int, rows: list[dict[str, Any]]) -> None:
    """One part-*.parquet from rows {client, event_time, shop, amount, score, label}."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema=pa.schema(TYPES))
    path = folder / f"part-{number:05d}.parquet"
    pq.write_table(table, path)
    if (folder.parent / "schema.yaml").is_file():
        write_descriptions(folder.parent, Schema.load(folder.parent))


def random_rows(
    rng: np.random.Generator, count: int, *, first: int = 0, classes: int = 2, unlabelled: float = 0
) -> list[dict[str, Any]]:
    """Sequences in which a higher class visits shop 1 more often and has larger amounts."""
    rows = []
    for number in range(first, first + count):
        label = int(rng.integers(classes))
        length = int(rng.integers(5, 20))
        often = rng.random(length) < 0.2 + 0.6 * label / (classes - 1)
        amount = rng.normal(label, 1.0, length)
        amount[rng.random(length) < 0.1] = np.nan
        rows.append(
            {
                "client": f"c{number:04d}",
                "event_time": np.sort(rng.uniform(0, 30, length)),
                "shop": np.where(often, 1, rng.integers(1, 5, length)),
                "amount": amount,
                "score": rng.normal(0.0, 1.0, length),
                "label": None if rng.random() < unlabelled else label,
            }
        )
    return rows


def prepared_folder(
    folder: Path,
    *,
    counts: tuple[int, int, int] = (200, 60, 120),
    classes: int = 2,
    unlabelled: float = 0.1,
    seed: int = 0,
) -> Path:
    """A prepared folder with two parts a split."""
    rng = np.random.default_rng(seed)
    names = ("no", "yes") if classes == 2 else tuple(f"group {i}" for i in range(classes))
    metric: Metric = "auc" if classes == 2 else "accuracy"
    schema = Schema(SCHEMA.name, SCHEMA.id, "day", SCHEMA.fields, (Label("churn", metric, names),))
    first = 0
    for split, count in zip(("train", "val", "test"), counts, strict=True):
        rows = random_rows(rng, count, first=first, classes=classes, unlabelled=unlabelled)
        write_part(folder / split, 0, rows[: count // 2])
        write_part(folder / split, 1, rows[count // 2 :])
        first += count
    write_descriptions(folder, schema)
    return folder


def write_embeddings(
    run: Path,
    prepared: Path,
    *,
    hidden: int = 4,
    seed: int = 0,
    encoder: Part | None = None,
    fraction: float = 1.0,
) -> None:
    """Embeddings that know the label in one of the columns of `mean`, and nothing elsewhere.

    Beside them those of an untrained encoder, which know nothing, and what model.json says about
    labels.
    """
    rng = np.random.default_rng(seed)
    for split in ("train", "val", "test"):
        rows = pd.read_parquet(prepared / split, columns=["client", "label"])
        vectors = rng.normal(size=(len(rows), 3 * hidden)).astype("float32")
        _write(run / "embeddings" / "untrained" / f"{split}.parquet", rows, vectors.copy())
        vectors[:, hidden] += rows.label.fillna(0).to_numpy("float32") * 1.5
        _write(run / "embeddings" / f"{split}.parquet", rows, vectors)
    used = LabelsUsed("churn", encoder, fraction, "probe")
    (run / "model.json").write_text(json.dumps({"labels": used.to_dict(), "weights": "fake"}))
    belong(run, prepared)


def belong(run: Path, prepared: Path) -> None:
    """Let what a run holds say that it is of its model and of these data, and record the files."""
    model = run / "model.json"
    weights = json.loads(model.read_text("utf-8"))["weights"] if model.is_file() else ""
    origin = Origin(weights, Manifest.load(prepared).data).to_dict()
    for path in (run / "embeddings").rglob("*.parquet"):
        table = pq.read_table(path)
        said = {k.decode(): v for k, v in (table.schema.metadata or {}).items()}
        pq.write_table(table.replace_schema_metadata(said | origin), path)
    for path in run.rglob("evaluation.json"):
        content = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps(content | {"made_of": origin}), "utf-8")
    reseal(run)


def _write(path: Path, rows: pd.DataFrame, vectors: npt.NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {f"emb_{i:04d}": vectors[:, i] for i in range(vectors.shape[1])}
    label = pa.array(rows.label, pa.int32(), from_pandas=True)
    table = pa.table({"client": rows.client, "label": label, **columns})
    parts = dict.fromkeys(("last", "mean", "max"), vectors.shape[1] // 3)
    metadata = {"parts": json.dumps(parts), "eval_length": "1200"}
    pq.write_table(table.replace_schema_metadata(metadata), path)
