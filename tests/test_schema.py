"""Schemas: what is read back, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from grap_seq.schema import Field, Label, Schema


def test_schema_round_trip_and_hash(tmp_path: Path) -> None:
    fields = (Field("kind", "categorical", size=5), Field("amount", "numerical", by="kind"))
    schema = Schema("shop", "client", "day", fields, (Label("churned", "auc", ("no", "yes")),))
    schema.save(tmp_path)
    assert Schema.load(tmp_path) == schema
    assert [f.name for f in schema.categorical] == ["kind"]
    assert [f.name for f in schema.numerical] == ["amount"]
    other = Schema("shop", "client", "day", fields[:1], (Label("churned", "auc", ("no", "yes")),))
    assert other.hash != schema.hash


def test_edited_schema_is_refused(tmp_path: Path) -> None:
    Schema("shop", "client", "day", (Field("kind", "categorical", size=5),)).save(tmp_path)
    path = tmp_path / "schema.yaml"
    path.write_text(path.read_text("utf-8").replace("size: 5", "size: 6"), "utf-8")
    with pytest.raises(ValueError, match="changed after preparation"):
        Schema.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="grap-seq prepare"):
        Schema.load(tmp_path / "elsewhere")
