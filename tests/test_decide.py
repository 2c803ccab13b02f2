"""A decider alone, over real sockets: what it answers without a worker, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from doublet.catalog import Catalog
from doublet.decide.asked import DecideRequest, device, features_of, read_decide, who
from doublet.delivery.links import HeldOut, Link, Links
from doublet.log.disk import DiskLog
from doublet.refusal import Refusal
from doublet.settings import Settings
from tests.delivery.test_links import LINK
from tests.factories import ACCOUNT, sha256
from tests.server import DoubletProcess, free_port

EMAIL = "jo@example.com"


class Decider(DoubletProcess):
    """A real `doublet decide` in a folder, without a worker."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.settings = Settings(data=folder / "data", decide_port=self.port)
        self.catalog = Catalog(self.settings.catalog_url)
        self.catalog.migrate()
        self.account_id = self.catalog.create_account("Shop").account_id
        _, self.token = self.catalog.create_pixel(self.account_id, "Site")
        data = f"--data={self.settings.data}"
        super().__init__(folder, "decide", data, f"--port={self.port}", "--workers=1")
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"authorization": f"Bearer {self.token}"},
            timeout=30,
            trust_env=False,
        )
        self.wait_until(self._is_up, what="/health answers")
        self._positions: dict[int, int] = {}

    def _is_up(self) -> bool:
        try:
            return self.client.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def links(self) -> Links:
        """Links as this decider makes them."""
        return Links(self.settings.delivery_folder)

    def records(self) -> list[dict[str, Any]]:
        """What was logged since the last call."""
        log = DiskLog(self.settings.log_folder)
        found = []
        for slot in log.partitions():
            chunk = log.read(slot, self._positions.get(slot, 0), 1 << 24)
            if chunk is not None:
                self._positions[slot] = chunk.next_position
                found += [msgspec.json.decode(line) for line in chunk.lines.splitlines()]
        return [each for each in found if "record_type" in each]

    def close(self) -> None:
        """Stop it; no process may be left."""
        self.client.close()
        self.catalog.close()
        try:
            assert 0 == self.stop()
            self.wait_until_gone()
        finally:
            self.kill()


@pytest.fixture(scope="module")
def decider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Decider]:
    made = Decider(tmp_path_factory.mktemp("decider"))
    yield made
    made.close()


def test_without_anything_published_it_answers_and_says_what_to_start(decider: Decider) -> None:
    answer = decider.client.post("/v1/decide", json={"fbp": "fb.1.1780000000000.1"})
    assert 200 == answer.status_code
    found = answer.json()
    assert [] == found["ads"]
    assert "doublet serve" in found["reason"]
    assert [] == decider.records()
    health = decider.client.get("/health").json()
    assert (0, "starting") == (health["ads"], health["status"])


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "JSON"),
        (b'{"n": 99}', 400, "1 to 10"),
        (b'{"n": 0}', 400, "1 to 10"),
        (b'{"placement": "jo@example.com"}', 400, "home_top"),
        (b'{"user_data": 7}', 400, "user_data"),
        (b'{"usr_data": {}}', 400, "usr_data"),
        (b'{"explain": "yes"}', 400, "explain"),
    ],
)
def test_what_is_wrong_is_told(decider: Decider, body: bytes, status: int, said: str) -> None:
    answer = decider.client.post("/v1/decide", content=body)
    assert status == answer.status_code
    error = answer.json()["error"]
    assert said in f"{error['message']} {error['error_user_msg']}"
    assert EMAIL not in answer.text


def test_only_the_account_may_ask_and_only_with_post(decider: Decider) -> None:
    for headers in ({"authorization": ""}, {"authorization": "Bearer dbl_unknown"}):
        answer = decider.client.post("/v1/decide", json={}, headers=headers)
        assert "Bearer" in answer.json()["error"]["error_user_msg"]
    in_body = {"access_token": decider.token}
    answer = decider.client.post("/v1/decide", json=in_body, headers={"authorization": ""})
    assert 200 == answer.status_code
    assert "POST" in decider.client.get("/v1/decide").json()["error"]["error_user_msg"]
    assert "/v1/decide" in decider.client.get("/v1/other").json()["error"]["error_user_msg"]


def test_a_link_is_taken_also_when_nothing_is_known_of_its_ad(decider: Decider) -> None:
    # Of any account, decided long ago: late, but made here.
    link = msgspec.structs.replace(LINK, held_out=(HeldOut("21", "22", "23"),))
    sealed = decider.links().seal(link)
    assert 200 == decider.client.get("/v1/i", params={"t": sealed}).status_code
    view, held_out = decider.records()
    assert ("view", "held_out") == (view["kind"], held_out["kind"])
    assert "cost" not in view
    answer = decider.client.get("/v1/c", params={"t": sealed})
    assert (302, "https://shop.example/shoes?fbclid=abc") == (
        answer.status_code,
        answer.headers["location"],
    )
    (click,) = decider.records()
    assert ("click", "abc") == (click["kind"], click["click_id"])
    for path in ("/v1/i", "/v1/c"):
        decider.client.get(path, params={"t": sealed})
        decider.client.head(path, params={"t": sealed})
    assert [] == decider.records()


def test_an_impression_in_time_is_durable_with_its_cost(decider: Decider) -> None:
    import time

    link: Link = msgspec.structs.replace(LINK, decided_at=int(time.time()), decision_id="now")
    sealed = decider.links().seal(link)
    assert 200 == decider.client.post("/v1/i", params={"t": sealed}).status_code
    view = decider.records()[0]
    assert ("0.0250", "EUR") == (view["cost"], view["currency"])


# --- what is known of the person -------------------------------------------------------------


def test_plain_values_are_hashed_and_what_fits_many_is_left_out() -> None:
    given = {"em": EMAIL, "client_ip_address": "203.0.113.7", "ct": "Berlin"}
    known = who(DecideRequest(user_data=given, fbp="fb.1.1780000000000.1"), ACCOUNT, "")
    assert {"em": [sha256(EMAIL)], "fbp": "fb.1.1780000000000.1"} == known.user_data
    assert f"em={sha256(EMAIL)}" == known.identifier
    assert known.person
    hashed = who(DecideRequest(user_data={"em": sha256(EMAIL)}), ACCOUNT, "")
    assert (known.identifier, known.person) == (hashed.identifier, hashed.person)
    nobody = who(DecideRequest(user_data={"ct": "Berlin", "fbp": "nonsense"}), ACCOUNT, "")
    assert ({}, [], "", 0) == nobody


def test_features_say_what_is_known_and_no_more() -> None:
    from datetime import UTC

    asked = DecideRequest(placement="home", url="https://Jo:x@Shop.Example:8443/a?em=jo@x.de")
    features = features_of(asked, {"9", "7"}, 1_780_000_000, UTC, "")
    assert (
        "aud:7",
        "aud:9",
        "hour:20",
        "weekday:3",
        "device:unknown",
        "place:home",
        "site:shop.example",
    ) == features


def test_devices() -> None:
    tablet = "Mozilla/5.0 (Linux; Android 15; SM-X710) Safari/537.36"
    phone = "Mozilla/5.0 (Linux; Android 15; Pixel 9) Mobile Safari/537.36"
    assert ("tablet", "phone", "unknown") == (device(tablet), device(phone), device(""))
    # Quadratic in its length, this would take an hour.
    assert "tablet" == device("Android" * 1_000_000 + "Mobile")


def test_an_empty_body_asks_for_one_ad() -> None:
    asked = read_decide(b"")
    assert not isinstance(asked, Refusal)
    assert (1, "", None) == (asked.n, asked.placement, asked.user_data)
