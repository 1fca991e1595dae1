"""Mutations of files by a seeded generator, for runs without a coverage-guided fuzzer."""

from __future__ import annotations

import numpy as np

__all__ = ["mutated"]

_NUMBERS = (0, 1, 2, *(2**bits + more for bits in (7, 8, 15, 16, 31, 32, 62, 63) for more in (-1, 0)))
_WORDS = tuple(b'nan -1 1e999 99999999999999999999 null { " \0 \xff\xfe ../ \n ,'.split(b" "))


def mutated(data: bytes, rng: np.random.Generator, longest: int, other: bytes = b"") -> bytes:
    """A few edits: bytes overwritten, put in, taken out, repeated, numbers of all widths, a piece of another file."""
    content = bytearray(data)
    for _ in range(1 + rng.geometric(0.4)):
        place = int(rng.integers(len(content) + 1))
        length = int(min(rng.geometric(0.1), len(content) - place))
        match rng.integers(8):
            case 0:
                content[place : place + 1] = rng.bytes(1)
            case 1:
                del content[place : place + length]
            case 2:
                content[place:place] = content[place : place + length]
            case 3:
                width = int(rng.choice([1, 2, 4, 8]))
                number = _NUMBERS[rng.integers(len(_NUMBERS))] % 256**width
                content[place : place + width] = number.to_bytes(width, ["little", "big"][rng.integers(2)])
            case 4:
                word = _WORDS[rng.integers(len(_WORDS))]
                content[place : place + int(rng.integers(len(word) + 1))] = word
            case 5 if content:
                content[min(place, len(content) - 1)] ^= 1 << int(rng.integers(8))
            case 6 if rng.random() < 0.2:
                del content[place:]
            case _:
                start = int(rng.integers(len(other) + 1))
                content[place : place + length] = other[start : start + length]
    return bytes(content[:longest])
