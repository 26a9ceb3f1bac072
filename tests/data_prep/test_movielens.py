"""The MovieLens recipe: both editions, every packing, damaged sources, and the real ratings."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from grap_seq.prep.folder.state import State
from grap_seq.prep.prepare import prepare
from tests.data_prep import recbole
from tests.data_prep.copies import SHARED, copy_golden, golden, prepared

NAME = "movielens"
REAL = SHARED / "ml-100k"


def _pack(source: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in source.iterdir():
            file.write(path, f"{archive.stem}/{path.name}")
    return archive


def _as_1m(source: Path, output: Path) -> Path:
    """The golden example in the files of ml-1m: ages by group, genres by name."""
    output.mkdir(parents=True)
    ratings = (source / "u.data").read_text("latin-1").replace("\t", "::")
    (output / "ratings.dat").write_text(ratings, "latin-1")
    users = "4::F::18::4::00001\n7::M::56::13::T8H1N\n9::F::1::10::00001\n"
    (output / "users.dat").write_text(users, "latin-1")
    films = "1::First, The (1990)::Action|Crime\n2::Fée (1980) (V)::Comedy\n3::unknown::unknown\n"
    (output / "movies.dat").write_text(films, "latin-1")
    return output


def test_both_editions_in_every_packing_give_the_same_folder(tmp_path: Path) -> None:
    newer = _as_1m(golden(NAME), tmp_path / "download" / "ml-1m")
    sources = [
        golden(NAME),
        _pack(golden(NAME), tmp_path / "ml-100k.zip"),
        newer,
        newer.parent,
        _pack(newer, tmp_path / "ml-1m.zip"),
    ]
    contents = [prepared(NAME, source, tmp_path / str(n)) for n, source in enumerate(sources)]
    assert all(content == contents[0] for content in contents)


@pytest.mark.parametrize("edition", ["ml-100k", "ml-1m"])
def test_age_groups_are_another_label(edition: str, tmp_path: Path) -> None:
    source, spec = golden(NAME), tmp_path / "age.yaml"
    if edition == "ml-1m":
        source = _as_1m(source, tmp_path / "raw")
    text = (golden(NAME) / "dataset.yaml").read_text("utf-8")
    spec.write_text(text.replace("label: gender", "label: age_group"), "utf-8")
    prepare(NAME, tmp_path / "out", source=source, spec=spec)
    classes = State.load(tmp_path / "out").labels[0].classes
    rows = pq.read_table(tmp_path / "out" / "train").to_pylist()
    found = {row["user"]: classes[row["label"]] for row in rows}
    assert found == {4: "18-24", 7: "56+", 9: "under 18"}


def _append(name: str, text: str) -> Callable[[Path], object]:
    def change(source: Path) -> None:
        with (source / name).open("a", encoding="latin-1") as file:
            file.write(text)

    return change


def _cut_archive(source: Path) -> None:
    archive = _pack(source, source / "ml-100k.zip")
    archive.write_bytes(archive.read_bytes()[:300])
    for path in source.glob("u.*"):
        path.unlink()


def _one_file_missing_in_archive(source: Path) -> None:
    (source / "u.item").unlink()
    _pack(source, source / "ml-100k.zip")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated archive": (_cut_archive, r"ml-100k\.zip is truncated or damaged .*download"),
    "incomplete archive": (_one_file_missing_in_archive, r"ml-100k\.zip is truncated or damaged"),
    "missing file": (
        lambda source: (source / "u.user").unlink(),
        r"holds neither u\.data, u\.user, u\.item nor ratings\.dat.*grap-seq download",
    ),
    "short row": (_append("u.data", "7\t2\t3\n"), r"a row of u\.data is damaged .*download"),
    "bad time": (_append("u.data", "7\t2\t3\tlater\n"), r"a row of u\.data is damaged .*later"),
    "no time": (_append("u.data", "7\t2\t3\t\n"), r"ratings, row 8: no time"),
    "two editions": (
        lambda source: _as_1m(source, source / "ml-1m"),
        r"holds several editions; pass one of them as source: .*raw, .*ml-1m",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named(case: str, tmp_path: Path) -> None:
    damage, message = DAMAGE[case]
    source = copy_golden(NAME, tmp_path)
    damage(source)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        prepared(NAME, source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_source_is_required(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs source=PATH; fetch the files with"):
        prepare(NAME, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*nowhere; fetch"):
        prepare(NAME, tmp_path / "out", source=tmp_path / "nowhere")


def test_unknown_film_and_unknown_user(tmp_path: Path) -> None:
    """A rating keeps its place without genres and year, and a user's sequence without a label."""
    source = copy_golden(NAME, tmp_path)
    _append("u.data", "5\t99\t1\t0\n5\t1\t1\t1\n")(source)
    prepared(NAME, source, tmp_path / "out")
    rows = {row["user"]: row for row in pq.read_table(tmp_path / "out" / "train").to_pylist()}
    assert rows[5]["label"] is None
    assert np.isnan(rows[5]["year"][0])
    assert (
        rows[5]["genres"][0] == State.load(tmp_path / "out").categorical["genres"].index(None) + 1
    )


def test_other_source_than_the_published_one_is_pointed_out(tmp_path: Path) -> None:
    for edition, count in (("ml-100k", 676), ("ml-1m", 4329)):
        source = golden(NAME)
        if edition == "ml-1m":
            source = _as_1m(source, tmp_path / "raw")
        manifest = prepare(NAME, tmp_path / edition, source=source)
        assert ("splits.train.sequences", count, 3) in manifest.differences


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GroupLens's files, or those of the package recbole written back into their form."""
    if (REAL / "ml-100k.inter").is_file():
        return recbole.write_back(REAL, tmp_path_factory.mktemp("movielens") / "ml-100k")
    if not (REAL / "u.data").is_file():
        pytest.skip(f"no files of ml-100k at {REAL} (GRAP_SEQ_SHARED)")
    return REAL


def test_real_ratings_against_pandas(real: Path, tmp_path: Path) -> None:
    manifest = prepare(NAME, tmp_path / "out", source=real)
    assert manifest.differences == []
    assert manifest.warnings == []
    ratings = pd.read_csv(real / "u.data", sep="\t", names=["user", "item", "rating", "second"])
    users = pd.read_csv(real / "u.user", sep="|", names=["user", "age", "gender", "job", "zip"])
    parts = [pq.read_table(tmp_path / "out" / s).to_pandas() for s in ("train", "val", "test")]
    found = pd.concat(parts).set_index("user").sort_index()
    days = (ratings["second"] / 86_400).sort_values().groupby(ratings["user"]).agg(list)
    for one, other in zip(found["event_time"], days, strict=True):
        assert np.allclose(one, other, rtol=1e-12, atol=0)
    assert (found["label"] == (users.set_index("user")["gender"] == "M")).all()
    values = np.array(State.load(tmp_path / "out").categorical["rating"], dtype=float)
    means = found["rating"].map(lambda codes: values[np.asarray(codes) - 1].mean())
    assert np.allclose(means, ratings.groupby("user")["rating"].mean())
