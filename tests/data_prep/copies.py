"""The same raw tables in the packings in which copies of a dataset come."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from grap_seq.prep.prepare import prepare
from grap_seq.resources import folder
from tests.prep.helpers import content_of

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("GRAP_SEQ_SHARED", ROOT.parent / "shared" / "data"))


def golden(name: str) -> Path:
    return folder("data_prep") / name / "golden"


def copy_golden(name: str, place: Path) -> Path:
    """The golden raw files of a dataset in a folder of their own, to be changed."""
    return Path(shutil.copytree(golden(name), place / "raw"))


def write_folds(name: str, place: Path) -> Path:
    """The golden raw files of a dataset whose tables are folders of parquet folds."""
    for table in ("ptls/trx", "targets"):
        text = (golden(name) / f"{Path(table).name}.json").read_text("utf-8")
        for fold, rows in json.loads(text).items():
            path = place / table / f"fold={fold}" / "part-00000.snappy.parquet"
            path.parent.mkdir(parents=True)
            pq.write_table(pa.Table.from_pylist(rows), path)
    return place


def prepared(name: str, source: Path, output: Path) -> dict[str, bytes]:
    """Prepare with the golden description; the bytes of every file but the manifest."""
    prepare(name, output, source=source, spec=golden(name) / "dataset.yaml")
    return content_of(output)


def repack(path: Path, packing: str) -> None:
    """Replace one CSV table by the same in another packing, with its names in other letters."""
    header, _, rest = path.read_text("utf-8").partition("\n")
    header = PACKINGS[packing](header)
    path.write_text(f"{header}\n{rest}", "utf-8")
    if packing == "gz":
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
    elif packing == "parquet":
        pq.write_table(_text_table(path), path.with_suffix(".parquet"))
    else:
        parts = path.with_suffix("")
        parts.mkdir()
        lines = rest.splitlines()
        for place, block in enumerate((lines[:1], lines[1:])):
            (parts / f"part-{place}.csv").write_text("\n".join([header, *block, ""]), "utf-8")
    path.unlink()


PACKINGS: dict[str, Callable[[str], str]] = {"gz": str.upper, "parquet": str.lower, "parts": str}


def _text_table(path: Path) -> pa.Table:
    """Columns typed as Arrow finds them, but codes with leading zeros stay text."""
    names = path.read_text("utf-8").partition("\n")[0].split(",")
    kinds = {name: pa.string() for name in names if "icd9" in name.lower()}
    options = csv.ConvertOptions(column_types=kinds, strings_can_be_null=True, null_values=[""])
    return csv.read_csv(path, convert_options=options)


def every_packing_agrees(name: str, place: Path) -> None:
    """All tables of a golden example, in every packing, give the same prepared folder."""
    plain = prepared(name, golden(name), place / "plain")
    for packing in PACKINGS:
        source = copy_golden(name, place / packing)
        for path in sorted(source.rglob("*.csv")):
            if not (packing == "parts" and path.parent != source):
                repack(path, packing)
        assert prepared(name, source, place / packing / "out") == plain, packing
