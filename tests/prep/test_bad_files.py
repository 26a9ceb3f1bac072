"""Files that are missing, damaged or no tables: each is named."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from grap_seq.prep.describe.suggest import suggest
from grap_seq.prep.prepare import prepare
from tests.prep.helpers import GOOD, packed, write_source

HEADER = "client,when,kind,amount\n"


def test_missing_files(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*absent\.csv"):
        prepare("table", output, source=tmp_path / "absent.csv")
    undescribed = tmp_path / "undescribed.csv"
    undescribed.touch()
    with pytest.raises(FileNotFoundError, match=r"no dataset description .*suggest"):
        prepare("table", output, source=undescribed)
    undescribed.unlink()
    source = write_source(tmp_path, label="y", labels="labels.csv")
    with pytest.raises(FileNotFoundError, match=r"no label file .*labels\.csv; correct 'labels'"):
        prepare("table", output, source=source)
    source.unlink()
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*events\.csv"):
        prepare("table", output, source=source)
    with pytest.raises(ValueError, match="needs source=FILE"):
        prepare("table", output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.yaml"]


def test_files_that_are_no_table(tmp_path: Path) -> None:
    write_source(tmp_path)
    output, spec = tmp_path / "out", tmp_path / "events.yaml"
    odd = tmp_path / "events.xlsx"
    odd.touch()
    with pytest.raises(ValueError, match=r"give CSV \(\.csv, \.csv\.gz, \.csv\.zst\) or parquet"):
        prepare("table", output, source=odd)
    broken = tmp_path / "events.parquet"
    broken.write_bytes(b"PAR1 cut")
    with pytest.raises(ValueError, match=r"events\.parquet is no complete parquet file"):
        prepare("table", output, source=broken)
    empty = tmp_path / "empty.csv"
    empty.touch()
    with pytest.raises(ValueError, match=r"empty\.csv"):
        prepare("table", output, source=empty, spec=spec)
    ragged = tmp_path / "ragged.csv"
    ragged.write_text(GOOD + "5,0,a,1,extra\n", "utf-8")
    with pytest.raises(ValueError, match=r"ragged\.csv: .*Line: 6 .*5,0,a,1,extra"):
        prepare("table", output, source=ragged, spec=spec)
    ragged.write_text("client,when,kind,kind\n", "utf-8")
    with pytest.raises(ValueError, match="a column name occurs twice"):
        prepare("table", output, source=ragged, spec=spec)
    folder = tmp_path / "parts"
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no \.csv or \.parquet"):
        prepare("table", output, source=folder, spec=spec)
    (folder / "a.csv").write_text(GOOD, "utf-8")
    (folder / "b.csv").write_text("when,client,kind,amount\n", "utf-8")
    with pytest.raises(ValueError, match=r"b\.csv has other columns than .*a\.csv"):
        prepare("table", output, source=folder, spec=spec)
    (folder / "b.parquet").touch()
    with pytest.raises(ValueError, match="mixes CSV and parquet"):
        prepare("table", output, source=folder, spec=spec)


def big(rows: int = 20_000) -> bytes:
    """A CSV file of several read blocks."""
    return (HEADER + "".join(f"{i % 50},{i},k{i % 7},{i}\n" for i in range(rows))).encode()


DAMAGED = {
    "a parquet file cut in half": ("events.parquet", None, "is no complete parquet file; fetch"),
    "a truncated gzip": (
        "events.csv.gz",
        gzip.compress(big())[:30_000],
        "the compressed file ends early; fetch it again",
    ),
    "a gzip cut in its header": (
        "events.csv.gz",
        gzip.compress(big())[:5],
        "is no complete gzip file",
    ),
    "plain text named gz": ("events.csv.gz", big(), "is no complete gzip file"),
    "Latin-1": (
        "events.csv",
        big().replace(b",k3,", b",\xe9,"),
        r"line 5 is not UTF-8; convert the file, for example with `iconv -f LATIN1",
    ),
    "UTF-16": (
        "events.csv",
        big(9).decode().encode("utf-16"),
        "the header is not UTF-8; convert the file, for example with `iconv -f UTF-16",
    ),
    "a wrong delimiter": (
        "events.csv",
        big(9).replace(b",", b":"),
        r"the header 'client:when:kind:amount' is one column; separate columns by a comma",
    ),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_file_is_named(tmp_path: Path, case: str, strict: bool) -> None:
    name, content, message = DAMAGED[case]
    write_source(tmp_path)
    path = tmp_path / name
    if content is None:
        pq.write_table(pa.table({"client": range(9000)}), path)
        content = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path}.*{message}"):
        prepare("table", tmp_path / "out", source=path, strict=strict)
    assert not (tmp_path / "out").exists()


def _flipped(content: bytes, place: int = 20_000) -> bytes:
    return (
        content[:place]
        + bytes(255 - byte for byte in content[place : place + 64])
        + content[place + 64 :]
    )


UNREADABLE: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "parquet cut": ("parquet", lambda content: content[: len(content) // 2]),
    "gzip cut": ("csv.gz", lambda content: content[: len(content) // 2]),
    "gzip with another byte": ("csv.gz", lambda content: _flipped(content)),
    "zstd with another byte": ("csv.zst", lambda content: _flipped(content)),
    "empty": ("csv", lambda content: b""),
    "Latin-1": ("csv", lambda content: content.replace(b",k3,", b",\xe9,")),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("case", UNREADABLE)
def test_one_unreadable_part_of_a_folder_is_named(tmp_path: Path, case: str, strict: bool) -> None:
    ending, damage = UNREADABLE[case]
    write_source(tmp_path).unlink()
    parts = tmp_path / "events"
    parts.mkdir()
    for name in "abc":
        part = parts / f"{name}.{ending}"
        if ending == "parquet":
            table = csv.read_csv(pa.BufferReader(big()))
            pq.write_table(table, part, compression="zstd", use_dictionary=False)
        else:
            part.write_bytes(packed(big(), ending))
    bad = parts / f"b.{ending}"
    bad.write_bytes(damage(bad.read_bytes()))
    with pytest.raises((ValueError, OSError), match=rf"{bad}"):
        prepare("table", tmp_path / "out", source=parts, strict=strict)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
def test_a_part_with_a_damaged_page_is_named(
    tmp_path: Path, compression: str, strict: bool
) -> None:
    """The footer is whole, so only reading the page of texts shows it."""
    write_source(tmp_path).unlink()
    parts = tmp_path / "events"
    parts.mkdir()
    table = csv.read_csv(pa.BufferReader(big()))
    for name in "abc":
        pq.write_table(
            table, parts / f"{name}.parquet", compression=compression, use_dictionary=False
        )
    bad = parts / "b.parquet"
    column = pq.read_metadata(bad).row_group(0).column(table.column_names.index("kind"))
    middle = column.data_page_offset + column.total_compressed_size // 2
    bad.write_bytes(_flipped(bad.read_bytes(), middle))
    message = rf"^{bad} is damaged; fetch or write it again$"
    with pytest.raises(ValueError, match=message):
        prepare("table", tmp_path / "out", source=parts, strict=strict)
    with pytest.raises(ValueError, match=message):
        suggest(parts, tmp_path / "new.yaml")
    assert not (tmp_path / "out").exists()
