"""The stream that says when the tables are newer."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx

from tests.dashboard import Site


def _moments(site: Site, lines: Iterator[str], count: int) -> list[int]:
    """The moments of the next messages."""
    found: list[int] = []
    kind = ""
    for line in lines:
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: ") and kind == "as_of":
            found.append(int(line.removeprefix("data: ")))
            if len(found) == count:
                break
    return found


def test_it_speaks_at_once_and_whenever_the_tables_are_newer(site: Site) -> None:
    started = int(time.time())
    with (
        httpx.Client(base_url=site.url, timeout=30) as client,
        client.stream("GET", "/v1/as_of", headers=site.ours.headers) as answer,
    ):
        assert "text/event-stream" in answer.headers["content-type"]
        lines = answer.iter_lines()
        (first,) = _moments(site, lines, 1)
        site.add(site.ours, ("server", "1"))
        (second,) = _moments(site, lines, 1)
        assert started <= first <= second <= int(time.time()) + 1


def test_it_is_for_those_who_may_see_the_account(site: Site) -> None:
    assert 401 == site.get("/v1/as_of").status_code
    foreign = f"/v1/as_of?account={site.theirs.account.account_id}"
    assert 400 == site.get(foreign, site.ours).status_code
