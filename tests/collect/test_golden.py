"""What well-known clients send, and what becomes of it: answer, rows of the lake, the event.

A case in golden/requests says in its first lines who sends such a thing; the sections follow.
`--- request` may stand several times. In it, lines after the first that begin with `?` or `&` are
parameters of the address, and the fields of a form stand one a line, as they are before they are
encoded. PIXEL, TOKEN and NOW (Unix seconds; NOW000 is in milliseconds) are filled in. `--- answer`
has status and body of each request, `--- stored` the columns of its rows that are not null, without
what the server stamps, and `--- events` what the copies come to.

`pytest tests/collect/test_golden.py --update-golden` writes the last three anew.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from doublet.lake.table import Table
from tests.collector import Collector
from tests.factories import Pipeline

GOLDEN = Path(__file__).parent.parent / "golden" / "requests"
CASES = sorted(GOLDEN.glob("*.txt"))
STAMPS = frozenset(
    "account_id pixel_id received_at received_date log_slot log_offset event_key size_bytes sha256 "
    "fbtrace_id".split()
)
EVENT = (
    "event_name event_id kept_source kept_rule browser_copies server_copies value currency "
    "order_id conflicts"
)
_FORM = "application/x-www-form-urlencoded"


def requests_of(text: str) -> list[str]:
    """The `--- request` sections of a case."""
    return re.findall(r"^--- request\n(.*?)(?=^--- |\Z)", text, re.DOTALL | re.MULTILINE)


def send(client: httpx.Client, request: str) -> httpx.Response:
    """Send one section, every byte of it over the socket."""
    head, _, body = request.strip("\n").partition("\n\n")
    first, *lines = head.splitlines()
    method, path = first.split(" ", 1)
    while lines and lines[0][0] in "?&":
        mark, name, value = re.findall(r"([?&])([^=]*)=(.*)", lines.pop(0))[0]
        path += f"{mark}{quote(name, safe='')}={quote(value, safe='')}"
    headers = dict(line.split(": ", 1) for line in lines)
    if headers.get("content-type") == _FORM:
        body = urlencode(dict(line.split("=", 1) for line in body.splitlines()))
    elif headers.get("content-type", "").startswith("multipart/"):
        body = body.replace("\n", "\r\n") + "\r\n"
    return client.request(method, path, headers=headers, content=body.encode() or None)


def answer_of(answer: httpx.Response) -> str:
    """Status and body, without the trace id."""
    body = answer.text
    if answer.headers["content-type"].startswith("application/json"):
        body = json.dumps(drop_trace(answer.json()), ensure_ascii=False)
    elif body:
        body = answer.headers["content-type"]
    return f"{answer.status_code} {body}".strip()


def drop_trace(told: Any) -> Any:
    """The JSON of an answer without `fbtrace_id`, which is another one each time."""
    if isinstance(told, dict):
        return {key: drop_trace(value) for key, value in told.items() if key not in STAMPS}
    return [drop_trace(one) for one in told] if isinstance(told, list) else told


class Told:
    """What was answered and stored for all cases, each of which has a pixel of its own."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, list[str]] = {}
        self.pixels: dict[str, str] = {}
        running = Collector(folder)
        self.now = int(time.time())
        try:
            for case in CASES:
                pixel, token = running.catalog.create_pixel(running.account, case.stem)
                self.pixels[case.stem] = pixel.pixel_id
                text = case.read_text("utf-8").replace("PIXEL", pixel.pixel_id)
                text = text.replace("TOKEN", token).replace("NOW", str(self.now))
                self.answers[case.stem] = [
                    answer_of(send(running.client, request)) for request in requests_of(text)
                ]
        finally:
            running.close()
        self.pipeline = Pipeline(running.settings.data)
        self.pipeline.refresh()

    def _masked(self, name: str, text: str) -> str:
        return text.replace(str(self.now), "NOW").replace(self.pixels[name], "PIXEL")

    def answered(self, name: str) -> str:
        """The section on answers."""
        return self._masked(name, "\n".join(self.answers[name]))

    def stored(self, name: str) -> str:
        """The section on rows of the lake: those of `events`, then those of `refused`."""
        lake = self.pipeline.lake
        rows = [row for table in (lake.events, lake.refused) for row in self._rows(table, name)]
        return "\n".join(self._masked(name, pretty(row)) for row in rows) or "nothing"

    def events(self, name: str) -> str:
        """The section on events: one line each."""
        found = self.pipeline.engine.query(
            f"select {EVENT.replace(' ', ', ')} from events_deduplicated "
            "where pixel_id = $pixel order by event_time, event_name, event_id",
            {"pixel": self.pixels[name]},
        )
        lines = (json.dumps(readable(row), ensure_ascii=False, default=str) for row in found)
        return self._masked(name, "\n".join(lines)) or "none"

    def _rows(self, table: Table, name: str) -> list[dict[str, Any]]:
        if not (files := [file.path for file in table.files()]):
            return []
        return self.pipeline.engine.query(
            f"select * from {table.read_sql(files)} where starts_with(pixel_id, $pixel) "
            "order by log_slot, log_offset",
            {"pixel": self.pixels[name]},
        )


def readable(row: dict[str, Any]) -> dict[str, Any]:
    """A row without stamps and nulls; texts of JSON are values, decimals plain."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        if key in STAMPS or value is None or value == [] or value is False:
            continue
        if key in ("custom_data", "extra", "payload"):
            value = json.loads(value)
        elif key == "event_time" and "missing_ts" in (row["flags"] or []):
            value = "when it was received"
        elif key == "user_data":
            value = {name: one for name, one in value.items() if one is not None}
        found[key] = value
    return found


def pretty(row: dict[str, Any]) -> str:
    """A row as a block of lines, one column each."""
    return (
        "\n".join(
            f"{key}: {json.dumps(value, ensure_ascii=False, default=str)}"
            if not isinstance(value, str)
            else f"{key}: {value}"
            for key, value in readable(row).items()
        )
        + "\n"
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    told = Told(tmp_path_factory.mktemp("golden"))
    yield told
    told.pipeline.close()


@pytest.mark.parametrize("case", CASES, ids=[case.stem for case in CASES])
def test_what_a_client_sends_is_answered_stored_and_counted_as_its_case_says(
    told: Told, case: Path, request: pytest.FixtureRequest
) -> None:
    text = case.read_text("utf-8")
    sent = text[: text.index("--- answer")] if "--- answer" in text else text.rstrip() + "\n\n"
    name = case.stem
    outcome = (
        f"{sent}--- answer\n{told.answered(name)}\n\n--- stored\n{told.stored(name).rstrip()}\n\n"
        f"--- events\n{told.events(name)}\n"
    )
    if request.config.getoption("--update-golden"):
        case.write_text(outcome, "utf-8")
    assert text == outcome


def test_there_is_a_case_for_each_kind_of_client() -> None:
    kinds = "gateway gtm pixel rudderstack sdk segment shopify stape store woocommerce".split()
    assert set(kinds) <= {case.stem.split("_")[0] for case in CASES}
