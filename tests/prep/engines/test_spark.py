"""engine=spark gives the folder that engine=duckdb gives; its hash is the one that we compute."""

from __future__ import annotations

import json
import random
import shutil
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from data_prep.alfabattle.murmur import spark_hash
from grap_seq.prep.describe.recipes import names
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.engines import connect as connect_module
from grap_seq.prep.engines import spark as spark_engine
from grap_seq.prep.engines.base import parse_time
from grap_seq.prep.engines.connect import connect
from grap_seq.prep.fetch.synth import synth
from grap_seq.prep.prepare import prepare
from grap_seq.prep.stages.cells import as_number, as_text
from grap_seq.prep.stages.times import as_time
from grap_seq.resources import folder
from tests.prep.helpers import GOOD, SPEC, content_of, rows_of, write_source
from tests.prep.read.test_lists import list_parts

# One process of `make test` runs them all: a session takes long to start.
pytestmark = pytest.mark.xdist_group("spark")
# Small tables: compiling an expression takes longer than computing it.
QUICK = {
    "sql.adaptive.enabled": "false",
    "sql.codegen.factoryMode": "NO_CODEGEN",
    "sql.shuffle.partitions": "1",
    "driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "ui.enabled": "false",
}


@pytest.fixture(scope="module", autouse=True)
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A session that every connection of this module finds running and leaves running."""
    if spark_engine.java() is None:
        pytest.skip("Java 17 is missing (no `java` found): engine=spark is not tested")
    interrupt = signal.getsignal(signal.SIGINT)
    connection = connect(
        "spark",
        memory_limit="1GB",
        threads=1,
        temporary=tmp_path_factory.mktemp("spark"),
        spark=QUICK,
    )
    assert isinstance(connection, spark_engine.Spark)
    yield connection.session
    assert signal.getsignal(signal.SIGINT) is not interrupt
    connection.disconnect()
    assert signal.getsignal(signal.SIGINT) is interrupt


def assert_same(one: Path, other: Path) -> None:
    """Equal files; statistics after a logarithm may differ in their last bit."""
    first, second = content_of(one), content_of(other)
    fitted = [json.loads(f.pop("vocab.json"), parse_float=_rounded) for f in (first, second)]
    assert first == second
    assert fitted[0] == fitted[1]
    manifests = [json.loads((place / "manifest.json").read_text("utf-8")) for place in (one, other)]
    for manifest in manifests:
        # The checksum is of all of it, versions too.
        del manifest["versions"], manifest["files"]["vocab.json"], manifest["checksum"]
    assert manifests[0] == manifests[1]


def _rounded(number: str) -> float:
    return float(f"{float(number):.12g}")


def _source(name: str, place: Path) -> dict[str, Any]:
    """Raw files of a dataset: artificial ones, or its worked example where there are none."""
    recipe = folder("data_prep") / name
    golden = recipe / "golden"
    if (recipe / "synth.py").exists():
        return {"source": synth(name, place / "raw", rows=600, seed=3)}
    if name == "table":
        return {"source": golden / "events.csv", "spec": golden / "events.yaml"}
    raw = Path(shutil.copytree(golden, place / "raw"))
    if name == "flights":
        with zipfile.ZipFile(raw / "flights.csv.zip", "w") as archive:
            archive.write(golden / "flights.csv", "flights.csv")
    return {"source": raw, "spec": golden / "dataset.yaml"}


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_same_folder_from_every_recipe(name: str, tmp_path: Path) -> None:
    arguments = _source(name, tmp_path)
    for chosen in ("duckdb", "spark"):
        prepare(name, tmp_path / chosen, engine=chosen, **arguments)
    assert_same(tmp_path / "duckdb", tmp_path / "spark")


def test_a_bad_list_of_many_parts_is_named_by_its_part_and_row(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"part-41\.parquet, row 2: no time in column 'when'"):
        prepare("table", tmp_path / "out", source=list_parts(tmp_path), engine="spark")


TABLE = (
    "client,when,kind,amount,y\n"
    '1,01.02.2014,"a, ""b""\nc",1.5,n\n1,1.2.2014,7.0,,n\n2,03.02.2014,TRUE,inf,y\n'
    "2,04.02.2014,ä,1e3,y\n,04.02.2014,ä,2,y\n3,soon,ä,2,y\n3,05.02.2014,,0.1,n\n"
)


def test_killed_run_continues_and_bad_rows_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A folder of parts, in a place whose name would be a pattern to Spark.
    place = tmp_path / "a [b] {c}+%20"
    write_source(place, TABLE, time_format="%d.%m.%Y", label="y", name="parts")
    parts = place / "parts"
    parts.mkdir()
    header = TABLE.partition("\n")[0]
    (parts / "x+1 %.csv").write_text((place / "events.csv").read_text("utf-8"), "utf-8")
    (parts / "y.csv").write_text(f"{header}\n4,05.02.2014,b,3,n\n5,05.02.2014,b,-1,y\n", "utf-8")
    arguments: dict[str, Any] = {"source": parts, "spec": place / "events.yaml"}
    output = place / "spark"
    with pytest.raises(ValueError, match=r"x\+1 %\.csv, row 5: no id in column 'client'"):
        prepare("table", output, engine="spark", **arguments)
    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", _stop)
        with pytest.raises(KeyboardInterrupt):
            prepare("table", output, engine="spark", strict=False, **arguments)
    # What is done is not done again.
    monkeypatch.setattr(spark_engine.Spark, "write", _stop)
    manifest = prepare("table", output, engine="spark", strict=False, **arguments)
    prepare("table", place / "duckdb", strict=False, **arguments)
    assert_same(place / "duckdb", output)
    assert sum(manifest.dropped.values()) == 3
    assert len(rows_of(output)) == 5


def test_a_pattern_on_purpose_and_names_that_are_sql(tmp_path: Path) -> None:
    names = ["'; DROP TABLE x; --", '`"when', "[/red] ki.nd", "am*ou?nt, \\"]
    for part, row in (("dt=1+ %2F", [1, 0, "'", 1.5]), ("dt=2", [2, 1, "`", 2.5])):
        (tmp_path / part).mkdir()
        table = pa.table({name: [cell] for name, cell in zip(names, row, strict=True)})
        pq.write_table(table, tmp_path / part / "p.parquet")
    spec = {**SPEC, "id": names[0], "time": names[1], "categorical": [names[2], "dt"]}
    spec["numerical"] = names[3:]
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    arguments: dict[str, Any] = {
        "source": Path(f"glob:{tmp_path}/dt=*/*.parquet"),
        "spec": tmp_path / "spec.yaml",
    }
    for chosen in ("duckdb", "spark"):
        prepare("table", tmp_path / chosen, engine=chosen, **arguments)
    assert_same(tmp_path / "duckdb", tmp_path / "spark")
    assert [row[names[0]] for row in rows_of(tmp_path / "spark")] == [1, 2]


def test_zstd_needs_a_hadoop_that_knows_it(tmp_path: Path) -> None:
    packed = write_source(tmp_path).with_suffix(".csv.zst")
    packed.write_bytes(pa.compress(GOOD.encode(), "zstd", asbytes=True))
    with pytest.raises(ValueError, match=r"has no zstd.* or choose engine=duckdb"):
        prepare("table", tmp_path / "out", source=packed, engine="spark")


def _stop(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


NUMBERS = (
    *("1", "1.5", " 1.5 ", "1d", "1.5f", "1,5", "1e5", ".5", "5.", "+5", "inf", "-inf", "nan"),
    *("Infinity", "1e400", "", "  ", "abc", "٣", "1 2", "7.0", "-0.0", "1L", "true", None),
)
TIMES = (
    *("2014-11-18", "2014-11-18 05:06:07", "2014-11-18T05:06:07Z", "2014-11-18 05:06:07+03"),
    *("2014-11-18 05:06:07.123456", "2014-11-18 05:06", "2014-11-18 05", "2014", "2014-11"),
    *("2014/11/18", "2014/1/8 5:06", "2014-1-8", "2014-13-18", "2014-02-30", "18.11.2014"),
    *("05:06:07", "now", "1960-01-01 00:00:00.5", "1416268800", "", None),
)
FORMS = {
    "%d%b%y:%H:%M:%S": ("21OCT17:00:00:00", "1oct69:1:2:3", "31FEB17:00:00:00", "21OCT17", None),
    "%Y-%m-%d %H": ("2014-11-18 05", "2014-11-18 5", "2014-11-18", "2014-11-18 05:30"),
    "%Y-%m-%d %H:%M:%S%z": ("2014-11-18 05:06:07+0300", "2014-11-18 05:06:07-03:30"),
}
COUNTS = {
    "epoch_s": (1.6e9 + 0.1234567, -1.5, 1e300, 2.4e11),
    "epoch_ns": (1600000000123456789, -86400123456789500, 0),
    "%Y%m%d": (20240229, 20240230, 2024011, 19691231),
    "%Y%m%d%H%M": (202402291305, 202402292505),
}
FLOATS = [1.5, 1e-5, 1e16, 12345678.5, 0.1, 2e23, 1 / 3, 5.684341886080802e-14, -0.0, 7.0, None]


def test_cells_are_read_as_by_duckdb() -> None:
    spec = DatasetSpec.from_dict(SPEC)
    number = ibis.memtable(pa.table({"x": pa.array(NUMBERS, pa.string())}))
    time = ibis.memtable(pa.table({"x": pa.array(TIMES, pa.string())}))
    real = ibis.memtable(pa.table({"x": FLOATS, "y": pa.array(FLOATS, pa.float32())}))
    tables = [
        number.select("x", number=as_number(number.x, "x"), text=as_text(number.x)),
        time.select("x", time=as_time(time.x, spec, "timestamp")),
        real.select("x", double=as_text(real.x), single=as_text(real.y)),
    ]
    for form, cells in FORMS.items():
        table = ibis.memtable(pa.table({"x": pa.array(cells, pa.string())}))
        tables.append(table.select("x", time=parse_time(table.x, form)))
    for form, counts in COUNTS.items():
        read = DatasetSpec.from_dict({**SPEC, "time_format": form})
        for typed in (counts, list(map(str, counts))):
            table = ibis.memtable(pa.table({"x": typed}))
            tables.append(table.select("x", time=as_time(table.x, read, "timestamp")))
    spark, duckdb = connect("spark"), connect(threads=1)
    for table in tables:
        found, expected = (c.to_pyarrow(table).to_pylist() for c in (spark, duckdb))
        # As text: NaN is not equal to itself.
        assert list(map(str, found)) == list(map(str, expected))


def test_hash_is_that_of_spark(session: SparkSession) -> None:
    letters = random.Random(0)
    texts = [str(letters.randrange(10**8)) + "42" for _ in range(200)]
    for length in range(10):
        for alphabet in ("ab0", "aé", "ß漢😀\x00"):
            texts += ["".join(letters.choices(alphabet, k=length)) for _ in range(10)]
    rows = session.createDataFrame(pa.table({"x": texts})).selectExpr("x", "hash(x)").collect()
    assert [row[0] for row in rows] == texts
    assert [row[1] for row in rows] == spark_hash(texts).tolist()


def test_test_set_of_alfabattle_is_that_of_spark(session: SparkSession, tmp_path: Path) -> None:
    raw = synth("alfabattle", tmp_path / "raw", rows=3000, seed=2)
    prepare("alfabattle", tmp_path / "out", source=raw)
    target = session.read.csv(str(raw / "train_target.csv"), header=True)
    target.createOrReplaceTempView("target")
    tested = session.sql(
        "SELECT app_id FROM (SELECT app_id, row_number() OVER (PARTITION BY product, flag "
        "ORDER BY hash(concat(app_id, '42')), app_id) / count(*) OVER (PARTITION BY product, flag)"
        " AS share FROM target) WHERE share < 0.1"
    )
    expected = sorted(int(row[0]) for row in tested.collect())
    assert len(expected) > 10
    assert [row["app_id"] for row in rows_of(tmp_path / "out", "test")] == expected


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(connect_module.ENGINES, "spark", "no-such-package")
        with pytest.raises(ValueError, match=r"needs the package .*pip install 'grap-seq\[spark\]"):
            prepare("table", tmp_path / "out", source=write_source(tmp_path), engine="spark")
    monkeypatch.setattr(SparkSession, "getActiveSession", lambda: None)
    with pytest.raises(ValueError, match="memory_limit=2 apples; write for example"):
        connect("spark", memory_limit="2 apples")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=r"needs Java 17.*openjdk-17"):
        connect("spark")
