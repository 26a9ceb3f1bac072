"""Data coded by other vocabularies or scalers than a run's are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from grap_seq.prep.folder.state import State, check_codes
from grap_seq.prep.prepare import prepare
from grap_seq.prep.transform import encode
from grap_seq.schema import Schema
from tests.sealed import reseal
from tests.shop import SPEC, purchases


def _prepared(
    folder: Path, events: pd.DataFrame, spec: str = SPEC, like: Path | None = None
) -> Path:
    folder.mkdir()
    events.to_parquet(folder / "events.parquet")
    (folder / "events.yaml").write_text(spec)
    prepare("table", folder / "prepared", source=folder / "events.parquet", like=like)
    return folder / "prepared"


@pytest.fixture
def run(shop: Path, tmp_path: Path) -> Path:
    """What a run keeps of the data that it was trained on."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("schema.yaml", "vocab.json"):
        shutil.copy(shop / name, folder)
    reseal(folder)
    return folder


def test_the_same_codes_pass_whatever_the_data(shop: Path, run: Path, tmp_path: Path) -> None:
    check_codes(shop, run)
    new = _prepared(tmp_path / "new", purchases(30, seed=3).assign(kind="food"), like=run)
    check_codes(new, run)
    assert State.load(new).codes == State.load(shop).codes


def test_a_vocabulary_in_another_order_is_refused(shop: Path, run: Path, tmp_path: Path) -> None:
    events = purchases(80)
    events["kind"] = events["kind"].map({"food": "books", "books": "food", "toys": "toys"})
    other = _prepared(tmp_path / "other", events)
    assert Schema.load(other).hash == Schema.load(shop).hash
    assert State.load(other).codes != State.load(shop).codes
    with pytest.raises(ValueError, match=r"other.*the vocabulary of 'kind'.*like=.*run"):
        check_codes(other, run)


def test_other_scalers_are_refused(run: Path, tmp_path: Path) -> None:
    events = purchases(80)
    events["amount"] *= 10
    other = _prepared(tmp_path / "other", events)
    with pytest.raises(ValueError, match=r"otherwise .*, in the scaler of 'amount'; .*like="):
        check_codes(other, run)


def test_a_time_counted_otherwise_is_refused(run: Path, tmp_path: Path) -> None:
    other = _prepared(tmp_path / "other", purchases(80), SPEC + "relative_time: true\n")
    with pytest.raises(ValueError, match="in the relative_time;"):
        check_codes(other, run)


def test_a_damaged_vocabulary_codes_nothing(shop: Path, run: Path, tmp_path: Path) -> None:
    for folder in (run, Path(shutil.copytree(shop, tmp_path / "copied"))):
        path = folder / "vocab.json"
        path.write_bytes(path.read_bytes().replace(b"food", b"fool"))
        with pytest.raises(ValueError, match=r"vocab\.json .*another checksum"):
            _prepared(tmp_path / f"like-{folder.name}", purchases(9), like=folder)
        with pytest.raises(ValueError, match=r"vocab\.json .*another checksum"):
            encode(purchases(9), folder)


def test_other_fields_are_another_schema(run: Path, tmp_path: Path) -> None:
    spec = SPEC.replace("numerical: {amount: {by: kind}}", "numerical: []")
    other = _prepared(tmp_path / "other", purchases(80), spec)
    with pytest.raises(ValueError, match=r"another schema.*like="):
        check_codes(other, run)
