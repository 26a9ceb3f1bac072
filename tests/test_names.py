"""The end of an error message about a name."""

from __future__ import annotations

from grap_seq.names import MAX_SHOWN, nearest


def test_the_closest_comes_first() -> None:
    found = nearest("fligths", ["table", "flights"])
    assert found == "did you mean 'flights'? (one of flights, table)"


def test_without_a_close_one_there_is_the_list() -> None:
    assert nearest("zzz", []) == "choose one of (none)"
    many = nearest("zzz", [f"name{n:03}" for n in range(MAX_SHOWN + 5)])
    assert many.startswith("choose one of name000, name001")
    assert many.endswith("name059 and 5 more")


def test_nested_names_may_be_meant_and_are_not_listed() -> None:
    found = nearest("hidden", ["seed", "run"], nested=["encoder.hidden", "encoder.layers"])
    assert found == "did you mean 'encoder.hidden'? (one of run, seed)"
