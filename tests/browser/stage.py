"""The demo, and beside its shoppers whatever else a page can show: ads and what they cost, leads, a
relay with a dead letter, refused requests, alerts, users; in words that a test chooses."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx

from doublet.audiences.presets import preset
from doublet.catalog import AlertRow, Audience, Catalog, DestinationRules
from doublet.delivery.take_in import TakeIn
from doublet.settings import Settings
from tests.running_demo import SHOPPERS, RunningDemo
from tests.server import wait_for

DAY_S = 86_400


class Stage:
    """A running demo; `words` stands in every name that somebody outside can choose."""

    def __init__(self, folder: Path, words: str = "", shoppers: int = SHOPPERS) -> None:
        self.words = words
        self.demo = RunningDemo(folder, shoppers=shoppers)
        try:
            self._set()
        except BaseException:
            self.demo.kill()
            raise

    def _set(self) -> None:
        """All that stands on the stage."""
        self.demo.wait_for_summary()
        self.url = f"http://127.0.0.1:{self.demo.port}"
        self.token = httpx.URL(self.demo.address("Dashboard")).params["access_token"]
        # One client for all: each of its own would read the machine's certificates again.
        self.client = httpx.Client(base_url=self.url, timeout=60)
        self.settings = Settings(data=self.demo.data, port=self.demo.port)
        self.catalog = Catalog(self.settings.catalog_url)
        (self.account,) = self.catalog.accounts()
        (self.pixel,) = self.catalog.pixels()
        self.now = int(time.time())
        self._ads()
        self._leads()
        self._refused()
        self._relay()
        self._alert()
        self.audience_id = self._audiences()
        self._campaigns()
        try:
            self.until(lambda: not self._missing(), what="everything is modelled")
        except AssertionError:
            missing, said = self._missing(), self.demo.stderr[-2000:]
            raise AssertionError(f"missing: {missing}\n{said}") from None

    def close(self) -> None:
        """Stop the demo."""
        self.client.close()
        self.catalog.close()
        self.demo.stop()
        self.demo.wait_until_gone()

    def until(self, look: Any, what: str) -> Any:
        """The first true value of `look`."""
        return wait_for(look, 180, what)

    def get(self, path: str) -> httpx.Response:
        """What the account's token gets."""
        headers = {"authorization": f"Bearer {self.token}"}
        return self.client.get(path, headers=headers)

    def post(self, path: str, body: Any, status: int = 200) -> httpx.Response:
        """The answer to JSON that this account sends."""
        headers = {"authorization": f"Bearer {self.token}"}
        answer = self.client.post(path, json=body, headers=headers)
        assert status == answer.status_code, answer.text
        return answer

    def send(self, *events: dict[str, Any], status: int = 200) -> httpx.Response:
        """Events of the server."""
        path = f"/v25.0/{self.pixel.pixel_id}/events"
        return self.post(path, {"data": [self.event(**each) for each in events]}, status)

    def event(self, **fields: Any) -> dict[str, Any]:
        """A purchase of a customer who is known by an external id."""
        usual = {
            "event_name": "Purchase",
            "event_time": self.now,
            "event_id": "staged",
            "action_source": "website",
            "event_source_url": "https://shop.example/thanks",
            "user_data": {"external_id": "customer-1", "client_user_agent": "test"},
            "custom_data": {"value": 80, "currency": "USD", "order_id": "S-1"},
        }
        return {**usual, **fields}

    def _ads(self) -> None:
        who = {"external_id": "customer-1"}
        ids = {"platform": "meta", "campaign_id": "12", "adset_id": "34", "ad_id": "56"}
        touched = {"touched_at": self.now - 7200, "user_data": who, **ids}
        self.post(
            "/v1/ad_touches",
            {
                "data": [
                    {"kind": "view", "touch_id": "v1", **touched, "touched_at": self.now - 9000},
                    {"kind": "click", "click_id": "c1", **touched},
                ]
            },
        )
        days = [
            {
                **ids,
                "date": time.strftime("%Y-%m-%d", time.gmtime(self.now - n * DAY_S)),
                "campaign_name": f"Autumn {self.words}",
                "adset_name": f"Warm visitors {self.words}",
                "ad_name": f"Red shoe {self.words}",
                "impressions": 1000,
                "clicks": 20,
                "spend": 12.5,
                "currency": "USD",
                "reported": {"purchase": {"value": {"count": 3, "value": 118.5}}},
            }
            for n in range(3)
        ]
        self.post("/v1/ad_days", {"data": days})
        self.send({})

    def _leads(self) -> None:
        self.send({"event_name": "Lead", "event_id": "lead.1", "custom_data": {}})
        stage = {"lead_id": "lead.1", "stage": f"qualified {self.words}", "crm": "HubSpot"}
        self.post(
            "/v1/leads", {"data": [{**stage, "changed_at": self.now, "email": "jo@example.org"}]}
        )

    def _refused(self) -> None:
        self.send({"event_name": f"Odd {self.words}", "event_time": 12}, status=400)

    def _relay(self) -> None:
        standin, token = self.catalog.create_pixel(self.account.account_id, "Stand-in")
        rules = DestinationRules(pixels=[self.pixel.pixel_id], merge_wait_s=0, batch_wait_s=0.1)
        self.catalog.create_destination(
            self.account.account_id,
            "meta",
            f"Meta {self.words}"[:60].strip(),
            {"pixel_id": standin.pixel_id, "url": self.url},
            token,
            rules,
        )
        # A Purchase without a currency, which only the pixel's door takes, becomes a dead letter.
        asked = {"id": self.pixel.pixel_id, "ev": "Purchase", "eid": "dead", "cd[value]": "5"}
        assert 200 == self.client.get("/tr/", params=asked).status_code
        own = {"value": 30, "currency": "USD", "order_id": "S-2"}
        self.send({"event_id": "relayed", "custom_data": own})

    def _audiences(self) -> str:
        """One audience for each way to gather people; the id of the one that has some."""

        def create(name: str, subtype: Any = "WEBSITE", **fields: Any) -> str:
            wanted = Audience(
                *("", self.account.account_id, f"{name} {self.words}".strip(), subtype),
                description=f"Made by hand {self.words}",
                **fields,
            )
            return self.catalog.audiences.create(wanted).audience_id

        pixels = [self.pixel.pixel_id]
        visitors = create("Visitors", rule=preset("visitors").make(pixels), preset="visitors")
        create("Buyers", rule=rule_of("Purchase", self.words, pixels[0]), retention_days=30)
        create("Customers", "CUSTOM")
        spec = '{"ratio": 0.01, "allow_international_seeds": true}'
        create("Alike", "LOOKALIKE", origin_audience_id=visitors, lookalike_spec=spec)
        return visitors

    def _campaigns(self) -> None:
        """A running campaign with two ad sets and an ad."""
        cells = {
            "campaign": f"Winter {self.words}".strip(),
            "campaign_status": "ACTIVE",
            "adset": f"Warm {self.words}".strip(),
            "adset_status": "ACTIVE",
            "pixel_id": self.pixel.pixel_id,
            "event_name": f"Won {self.words}".strip(),
            "daily_budget": "1250.5",
        }
        shown = {"title": self.words, "body": self.words, "link_url": "https://shop.example/"}
        ad = {"ad": f"Blue shoe {self.words}".strip(), **shown}
        taken = TakeIn(self.catalog, self.account).take(
            [(1, {**cells, **ad}), (2, {**cells, "adset": "Cold"})]
        )
        assert ["made", "made"] == [each.outcome for each in taken]

    def address(self, path: str) -> str:
        """A path of this server; AUDIENCE stands for the id of an audience."""
        return f"{self.url}{path.replace('AUDIENCE', self.audience_id)}"

    def _alert(self) -> None:
        row = AlertRow(
            0,
            self.account.account_id,
            self.pixel.pixel_id,
            "volume",
            "Purchase",
            "server",
            (self.now - 7200) * 1_000_000,
            self.now * 1_000_000,
            None,
            3600,
            2.0,
            30.0,
            20.0,
            40.0,
            "opened",
        )
        self.catalog.save_alert(row)

    def _missing(self) -> list[str]:
        """What a page would not show yet."""
        (relay,) = self.get("/relay.json").json()
        there = {
            "a sent event": relay["sent"],
            "a dead letter": relay["failed"],
            "a lead": self.get("/leads.json").json()["leads"],
            "a refused request": self.get("/refused.json").json(),
            "a member": self.get(f"/audience.json?id={self.audience_id}").json()["reach"],
            "a path": self.get("/paths.json").json()["rows"],
        }
        return [name for name, found in there.items() if not found]


def rule_of(event_name: str, words: str, pixel_id: str) -> str:
    """Persons with such an event at an address without these words."""
    filters = [
        {"field": "event", "operator": "eq", "value": event_name},
        {"field": "url", "operator": "not_contains", "value": words or "nothing"},
    ]
    rule = {
        "event_sources": [{"id": pixel_id, "type": "pixel"}],
        "retention_seconds": 30 * DAY_S,
        "filter": {"operator": "and", "filters": filters},
    }
    return json.dumps({"inclusions": {"operator": "or", "rules": [rule]}})
