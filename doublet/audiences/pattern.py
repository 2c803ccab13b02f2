"""How much a regular expression asks of whoever runs it.

RE2 is never slower than in proportion to the text, but also to the size of the expression, and a
counted repetition is written out: `(a|b){500}` is as large as five hundred of them.
"""

from __future__ import annotations

import re

REPEATED_MAX = 500
"""By so many signs may counted repetitions make an expression larger."""

_token = re.compile(
    r"\\Q.*?(?:\\E|$)|\\[pPx]\{[^}]*\}|\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|"
    r"\{(?P<least>[0-9]+)(?P<open>,(?P<most>[0-9]*))?\}|.",
    re.DOTALL,
).finditer


def repeated(pattern: str) -> int:
    """By how many signs counted repetitions make the expression larger.

    >>> repeated("/order/[0-9]{4}-[0-9]{2}"), repeated("((ab){10}c){10}"), repeated("a{3,}")
    (4, 207, 2)
    """
    outside: list[int] = []
    size = last = plain = 0
    for token in _token(pattern):
        text = token[0]
        if token["least"] is not None:
            # Without an upper bound the last one of them goes on.
            times = max(int(token["least"]), int(token["most"] or 0), 1)
            size += last * (times - 1)
            last *= times
        elif text == "(":
            outside.append(size)
            size = last = 0
        elif text == ")" and outside:
            last = size
            size += outside.pop()
        elif text not in "*+?|":
            plain += 1
            size += 1
            last = 1
    # What was opened and never closed counts too.
    return size + sum(outside) - plain
