"""Reads JSON as its senders write it: half a surrogate pair is no reason to lose a request."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

T = TypeVar("T")

# A pair, half of one, or any other escape, so that the backslash of `\\ud83d` begins nothing.
_escapes = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """A function that reads JSON as `kind`. Raises msgspec.MsgspecError, UnicodeError and
    RecursionError for what cannot be read."""
    decode = msgspec.json.Decoder(kind).decode

    def read(text: bytes) -> T:
        try:
            return decode(text)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            mended = without_halves(text)
            if mended == text:
                raise
            return decode(mended)

    return read


def without_halves(text: bytes) -> bytes:
    r"""JSON in which each escaped half of a surrogate pair is U+FFFD. JavaScript writes such a half
    where a text was cut within an emoji (ECMAScript, *JSON.stringify*).

    >>> without_halves(rb'"tea \ud83d" "\ud83c\udf75" "C:\\ud83d"')
    b'"tea \\ufffd" "\\ud83c\\udf75" "C:\\\\ud83d"'
    """
    return _escapes.sub(lambda found: rb"\ufffd" if found[1] else found[0], text)
