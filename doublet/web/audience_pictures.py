"""The line of an audience's size over time, drawn into the page itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

WIDTH = 960
HEIGHT = 120
_MARGIN = 6


class Line(NamedTuple):
    """`points` of a polyline in a picture of `WIDTH` by `HEIGHT`; the largest size; the first and
    last moment in Unix seconds."""

    points: str
    most: int
    first: float
    last: float


def line_of(sizes: Sequence[tuple[float, int]]) -> Line | None:
    """The line through (moment, members), as steps: a size holds until the next one. None where
    there is but one moment.

    >>> line_of([(0, 0), (100, 10)]).points
    '6.0,114.0 954.0,114.0 954.0,6.0'
    """
    if len(sizes) < 2 or sizes[0][0] == sizes[-1][0]:
        return None
    first, last = sizes[0][0], sizes[-1][0]
    most = max(members for _, members in sizes)

    def x(at: float) -> float:
        return _MARGIN + (at - first) / (last - first) * (WIDTH - 2 * _MARGIN)

    def y(members: int) -> float:
        return HEIGHT - _MARGIN - members / max(most, 1) * (HEIGHT - 2 * _MARGIN)

    points, before = [], None
    for at, members in sizes:
        if before is not None:
            points.append((x(at), y(before)))
        points.append((x(at), y(members)))
        before = members
    kept = [point for n, point in enumerate(points) if n == 0 or point != points[n - 1]]
    return Line(" ".join(f"{a:.1f},{b:.1f}" for a, b in kept), most, first, last)
