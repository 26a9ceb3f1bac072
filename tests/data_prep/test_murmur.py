"""Spark's hash against values of Spark, and against scikit-learn's Murmur3 on whole words."""

from __future__ import annotations

import random

import pytest
from sklearn.utils import murmurhash3_32

from data_prep.alfabattle.murmur import spark_hash


# SELECT hash("") and so on, with Spark's default seed, 42.
@pytest.mark.parametrize(
    ("text", "value"), [("", 142593372), ("a", 1485273170), ("abc", 1322437556)]
)
def test_values_of_spark(text: str, value: int) -> None:
    assert spark_hash([text]).tolist() == [value]


def test_whole_words_are_common_murmur3() -> None:
    numbers = random.Random(0)
    for words in range(5):
        for _ in range(20):
            text = "".join(chr(numbers.randrange(128)) for _ in range(4 * words))
            seed = numbers.randrange(2**31)
            assert spark_hash([text], seed) == murmurhash3_32(text, seed=seed)
    assert spark_hash(["äö"]) == murmurhash3_32("äö", seed=42)


def test_a_tail_is_not() -> None:
    assert spark_hash(["abcde"]) != murmurhash3_32("abcde", seed=42)


def _padded(state: int, word: int) -> int:
    """What common Murmur3 does to its state for a whole word, from its definition."""
    word = word * 0xCC9E2D51 % 2**32
    word = (word * 2**15 % 2**32 + word // 2**17) * 0x1B873593 % 2**32
    state ^= word
    state = state * 2**13 % 2**32 + state // 2**19
    return (state * 5 + 0xE6546B64) % 2**32


def _final(state: int) -> int:
    state = (state ^ state // 2**16) * 0x85EBCA6B % 2**32
    state = (state ^ state // 2**13) * 0xC2B2AE35 % 2**32
    return state ^ state // 2**16


def test_tail_bytes_are_words_with_a_sign() -> None:
    # "é" is C3 A9: negative as signed bytes.
    state = 42
    for byte in (0xC3, 0xA9):
        state = _padded(state, byte - 256 + 2**32)
    expected = _final(state ^ 2)
    assert int(spark_hash(["é"])[0]) % 2**32 == expected


def test_each_text_keeps_its_place() -> None:
    texts = ["b", "", "a", "abcde", "ä", "a"]
    assert spark_hash(texts).tolist() == [int(spark_hash([text])[0]) for text in texts]
    assert spark_hash([]).tolist() == []
