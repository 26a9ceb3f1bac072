"""Spark's `hash` of text, by which a published split was drawn.

It is Murmur3 (x86, 32 bits) over the UTF-8 bytes but for the bytes after the last whole word: each
is mixed as a word of its own, sign-extended, where Murmur3 mixes them together once. Libraries for
Murmur3 therefore give other values, unless the length is a multiple of four.
"""

from __future__ import annotations

MASK = 0xFFFFFFFF


def _rotate(word: int, places: int) -> int:
    return ((word << places) | (word >> (32 - places))) & MASK


def _mix(state: int, word: int) -> int:
    word = _rotate(word * 0xCC9E2D51 & MASK, 15) * 0x1B873593 & MASK
    return (_rotate(state ^ word, 13) * 5 + 0xE6546B64) & MASK


def spark_hash(text: str, seed: int = 42) -> int:
    """Signed 32-bit hash of a text, as `SELECT hash(text)` in Spark."""
    data = text.encode()
    whole = len(data) // 4 * 4
    state = seed
    for place in range(0, whole, 4):
        state = _mix(state, int.from_bytes(data[place : place + 4], "little"))
    for byte in data[whole:]:
        state = _mix(state, (byte - 256 if byte > 127 else byte) & MASK)
    state ^= len(data)
    state = (state ^ state >> 16) * 0x85EBCA6B & MASK
    state = (state ^ state >> 13) * 0xC2B2AE35 & MASK
    state ^= state >> 16
    return state - 2**32 if state >= 2**31 else state
