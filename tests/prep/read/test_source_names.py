"""A source's path is a file's name and a column's name is a column's name, whatever is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from grap_seq.prep.describe.spec import RESERVED
from grap_seq.prep.describe.suggest import suggest
from grap_seq.prep.folder.state import State
from grap_seq.prep.prepare import prepare
from tests.prep.helpers import GOOD, SPEC, rows_of, write_source

# Beside each folder there is one that its name as a pattern would match.
FOLDERS = {
    "glob[1]": "glob1",
    "st*r": "star",
    "wh?t": "what",
    "[!a]": "b",
    "**": "any",
    "[[]": "[",
    "back\\slash": "backslash",
    "it's": "its",
    "'\"; DROP TABLE x; --": "x",
    "amount=7": "amount",
    "new\nline": "newline",
    "glob:not": "not",
    "%41 $HOME {a,b} ü": "A",
}


def clients(folder: Path) -> list[str]:
    return [str(row["client"]) for row in rows_of(folder)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "csv") for name in FOLDERS]
    + [(name, "parquet") for name in ("glob[1]", "st*r", "it's", "amount=7")],
)
def test_a_path_is_no_pattern(tmp_path: Path, name: str, kind: str) -> None:
    labels = "labels=1.csv" if "\\" in name else "lab[e]l*s.csv"
    for folder, table in ((name, GOOD), (FOLDERS[name], "client,when,kind,amount\n9,0,a,1\n")):
        source = write_source(tmp_path / folder, table, label="y", labels=labels)
        if kind == "parquet":
            pd.read_csv(source).to_parquet(source.with_suffix(".parquet"))
            source.unlink()
        (tmp_path / folder / labels).write_text("client,y\n1,a\n2,b\n3,a\n")
        (tmp_path / folder / "labels.csv").write_text("client,y\n1,c\n2,c\n3,c\n")
    output = tmp_path / name / "out"
    prepare("table", output, source=tmp_path / name / f"events.{kind}")
    assert clients(output) == ["1", "2", "3"]
    assert State.load(output).labels[0].classes == ("a", "b")


def test_a_part_is_no_pattern_and_no_partition(tmp_path: Path) -> None:
    parts = tmp_path / "amount=5" / "p*"
    parts.mkdir(parents=True)
    (parts / "a*.csv").write_text(GOOD)
    (parts / "a[12].csv").write_text("client,when,kind,amount\n4,0,a,1\n")
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    output = tmp_path / "kind=x" / "out"
    prepare("table", output, source=parts, spec=tmp_path / "spec.yaml")
    assert clients(output) == ["1", "2", "3", "4"]
    assert State.load(output).categorical["kind"] == ("a", "b")
    assert len({number for row in rows_of(output) for number in row["amount"]}) == 4


def test_a_path_that_duckdb_has_no_words_for_is_refused(tmp_path: Path) -> None:
    source = write_source(tmp_path / "back\\sl*sh")
    with pytest.raises(ValueError, match=r"a backslash and one of \* \? \[; rename it"):
        prepare("table", tmp_path / "out", source=source)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    for place, row in (("dt=1/b.csv", "3,2,a,7"), ("dt=2/a.csv", "1,0,a,1"), ("c.txt", "5,0,a,1")):
        path = tmp_path / "parts [x]" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"client,when,kind,amount\n{row}\n")
    (tmp_path / "parts [x]" / "dt=3.csv").mkdir()
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    return tmp_path / "parts [x]"


def test_a_pattern_is_one_on_purpose(parts: Path, tmp_path: Path) -> None:
    pattern = Path(f"glob:{tmp_path}/parts [[]x]/**/*.csv")
    with pytest.raises(ValueError, match=r"source=glob:.* needs spec=FILE"):
        prepare("table", tmp_path / "out", source=pattern)
    with pytest.raises(ValueError, match=r"source=glob:.* needs spec=FILE"):
        suggest(pattern)
    manifest = prepare("table", tmp_path / "out", source=pattern, spec=tmp_path / "spec.yaml")
    assert clients(tmp_path / "out") == ["1", "3"]
    assert manifest.source["names"] == ["b.csv", "a.csv"]
    none = Path(f"glob:{tmp_path}/parts [x]/*.csv")
    with pytest.raises(FileNotFoundError, match=r"no file matches glob:.*correct the pattern"):
        prepare("table", tmp_path / "no", source=none, spec=tmp_path / "spec.yaml")


# What means something to SQL, to Ibis, to Hive, to a shell, to Rich or to nobody.
PIECES = (
    *("'", '"', "`", ";", "--", "/*", "*/", "\\", "%", "$", "{x}", "${x}", "?", "*", "(", ")", ","),
    *("DROP TABLE events", "select", " ", "\t", "\n", "\x1b[31m", "[/red]", "=cmd()", "../"),
    *("NULL", "time", "label", "event_time", "id", "__x", "é", "漢", "😀", "a", "A", "1", "."),
)
column = (
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=5)
    .map("".join)
    # Those are preparation's own, and refused in a sentence.
    .filter(lambda name: not name.startswith("__") and name not in RESERVED)
)


@settings(max_examples=10)
@given(
    names=st.lists(column, min_size=6, max_size=6, unique_by=str.lower),
    text=st.booleans(),
)
def test_a_columns_name_is_data(
    names: list[str], text: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("names")
    if text:
        # A line break ends the header of a CSV file.
        names = [name.replace("\n", "\N{SYMBOL FOR NEWLINE}") for name in names]
    user, when, kind, amount, label, fact = names
    table = {
        user: ["1", "1", "2", "2", "3", "3", "4", "4"],
        when: list(range(8)),
        kind: ["'", '"', ";", "'", "a", "b", ";", "a"],
        amount: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, None],
        label: ["x'", "x'", 'y"', 'y"', "x'", "x'", 'y"', 'y"'],
        fact: ["f", "f", "g", "g", "g", "g", "f", "f"],
    }
    source = folder / ("t.csv" if text else "t.parquet")
    frame = pd.DataFrame(table)
    frame.to_csv(source, index=False) if text else frame.to_parquet(source)
    spec: dict[str, Any] = {
        **{"name": "n", "id": user, "time": when, "categorical": [kind], "label": label},
        **{"numerical": {amount: {"by": kind}}, "static": {"categorical": [fact]}},
        "split": {"validation": 0, "test": 0},
    }
    (folder / "t.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True), "utf-8")
    prepare("table", folder / "out", source=source)
    rows = rows_of(folder / "out")
    assert [str(row[user]) for row in rows] == ["1", "2", "3", "4"]
    state = State.load(folder / "out")
    values = list(state.categorical[kind])
    assert [[values[code - 1] for code in row[kind]] for row in rows] == [
        *(["'", '"'], [";", "'"], ["a", "b"], [";", "a"]),
    ]
    assert [row["label"] for row in rows] == [0, 1, 0, 1]


@pytest.mark.parametrize("key", ["id", "time", "label", "categorical"])
def test_a_zero_byte_in_a_name_is_refused_in_a_sentence(key: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {key: ["a\0b"] if key == "categorical" else "a\0b"}
    source = write_source(tmp_path, **changes)
    with pytest.raises(ValueError, match=rf"events\.yaml: {key}.*a\\x00b.*: write "):
        prepare("table", tmp_path / "out", source=source)
