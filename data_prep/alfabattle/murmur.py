"""Spark's `hash` of text, by which a published split was drawn.

It is Murmur3 (x86, 32 bits) over the UTF-8 bytes but for the bytes after the last whole word: each
is mixed as a word of its own, sign-extended, where Murmur3 mixes them together once. Libraries for
Murmur3 therefore give other values, unless the length is a multiple of four.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]


def _rotate(words: Words, places: int) -> Words:
    return (words << np.uint32(places)) | (words >> np.uint32(32 - places))


def _mix(states: Words, words: Words) -> Words:
    words = _rotate(words * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)
    return _rotate(states ^ words, 13) * np.uint32(5) + np.uint32(0xE6546B64)


def _hash(data: NDArray[np.uint8], seed: int) -> Words:
    """Hashes of texts of one length, a row of `data` each."""
    count, length = data.shape
    whole = length // 4 * 4
    states: Words = np.full(count, seed, np.uint32)
    words = np.ascontiguousarray(data[:, :whole]).view("<u4").astype(np.uint32)
    for place in range(whole // 4):
        states = _mix(states, words[:, place])
    for place in range(whole, length):
        signed = data[:, place].view(np.int8).astype(np.int32)
        states = _mix(states, signed.view(np.uint32))
    states = states ^ np.uint32(length)
    states = (states ^ states >> np.uint32(16)) * np.uint32(0x85EBCA6B)
    states = (states ^ states >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    return states ^ states >> np.uint32(16)


def spark_hash(texts: Sequence[str], seed: int = 42) -> NDArray[np.int32]:
    """Signed 32-bit hash of each text, as `SELECT hash(text)` in Spark."""
    encoded = [text.encode() for text in texts]
    lengths = np.array([len(data) for data in encoded], dtype=np.int64)
    hashes = np.empty(len(encoded), np.int32)
    for length in np.unique(lengths):
        places = np.flatnonzero(lengths == length)
        block = np.frombuffer(b"".join(encoded[place] for place in places), np.uint8)
        hashes[places] = _hash(block.reshape(len(places), length), seed).view(np.int32)
    return hashes
