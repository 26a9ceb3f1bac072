"""Kinds of values: what they accept and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from grap_seq import kinds
from grap_seq.kinds import Kind, choice, each, number, whole

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (whole(1, 9), [1, 9], [0, 10, 1.0, "1", True, None, [1]]),
        (number(0, 1), [0, 1, 0.5], [-0.1, 1.1, NAN, INFINITE, "0.5", True, None]),
        (number(0, 1, above=True, below=True), [0.5], [0, 1, NAN]),
        (number(), [-1e30, 0, 1e30], [1e31, -INFINITE, NAN]),
        (choice("a", "b"), ["a"], ["c", "", None, 1, ["a"]]),
        (whole(1).or_word("auto").or_null(), [1, "auto", None], ["automatic", 0]),
        (each(choice("a", "b")), [[], ["a", "a"], ("b",)], ["a", ["c"], [["a"]], None]),
        (each(whole(1), 2), [[1, 2]], [[], [1], [1, 2, 3], [1, 0]]),
        (kinds.SWITCH, [True, False], [0, 1, "true", None]),
        (kinds.TEXT, ["a", " ", "数"], ["", "a\0b", "\udcff", 5, None]),
        (kinds.SIZE, ["2GB", "0.5 GiB", "512mb", "1G"], ["-5GB", "0GB", "0.0GB", "5", "GB", 2]),
        (kinds.MAPPING, [{}, {"a": 1}], [[], "a", None]),
    ],
)
def test_values(kind: Kind, right: list[Any], wrong: list[Any]) -> None:
    for value in right:
        kind.check("it", value)
    for value in wrong:
        with pytest.raises(ValueError, match=r"^it: "):
            kind.check("it", value)


def test_messages_say_what_to_write() -> None:
    for kind, value, message in (
        (whole(1, 9), "x", "it: write a whole number from 1 to 9"),
        (number(0, 1, above=True), 0, "it: write a number from above 0 to 1"),
        (number(0, 1, below=True).or_null(), 1, "it: write a number from 0 to below 1 or null"),
        (choice("cpu", "gpu"), "tpu", "it: did you mean 'gpu'? (one of cpu, gpu)"),
        (choice("cpu", "gpu"), 5, "it: write one of cpu, gpu"),
    ):
        with pytest.raises(ValueError, match="it") as error:
            kind.check("it", value)
        assert str(error.value) == message


def test_a_folder_is_no_file_nor_in_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "absent" / "deeper"):
        kinds.FOLDER.check("it", str(path))
    for path in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(ValueError, match="a folder, which is no file"):
            kinds.FOLDER.check("it", str(path))


@pytest.mark.parametrize("default", [True, 3, 0.5, "a", {"a": 1}, [1], None])
def test_the_kind_of_a_default_accepts_it(default: Any) -> None:
    kinds.like(default).check("it", default)
