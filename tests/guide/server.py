"""A real server and whoever talks to the guide there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx

from doublet.catalog import Catalog, Setup
from tests.server import RunningServer, wait_for


class GuideServer(RunningServer):
    """A server with the guide, asked with the account's token."""

    def __init__(self, folder: Path, *flags: str) -> None:
        super().__init__(folder, "--set=load_interval_s=0.1", *flags, workers=1)
        self.catalog = Catalog(self.settings.catalog_url)
        self.client = httpx.Client(base_url=self.url, headers=self.headers, timeout=120)

    @property
    def operator_key(self) -> str:
        """What opens every account."""
        return (self.settings.run_folder / "operator.key").read_text("ascii")

    def begin(self, site_url: str, **answers: str) -> tuple[Setup, str]:
        """A new setup and its token, by the answers of a program."""
        given = {"platform": "html", "goal": "purchases", "place": "local", "site_url": site_url}
        answer = self.client.post("/setup.json", json=given | answers)
        assert 200 == answer.status_code, answer.text
        made = answer.json()
        return self.catalog.setups.one(made["setup_id"]), made["access_token"]

    def browser_event(self, setup: Setup, name: str, event_id: str, **fields: str) -> None:
        """What the pixel would send; with the test code unless `test_event_code` is given."""
        sent = {
            "id": setup.pixel_id,
            "ev": name,
            "eid": event_id,
            "ts": f"{time.time_ns() // 1_000_000}",
            "dl": setup.site_url,
            "test_event_code": setup.test_code,
            **fields,
        }
        assert 200 == httpx.post(f"{self.url}/px", data=sent).status_code

    def server_event(
        self, setup: Setup, token: str, name: str, event_id: str | None, **custom_data: Any
    ) -> httpx.Response:
        """What the site's server would send, without the code."""
        event = {
            "event_name": name,
            "event_time": int(time.time()),
            "action_source": "website",
            "event_source_url": setup.site_url,
            "user_data": {"client_user_agent": "Mozilla/5.0", "em": "mary@example.com"},
            "custom_data": custom_data,
        }
        if event_id is not None:
            event["event_id"] = event_id
        return httpx.post(
            f"{self.url}/v25.0/{setup.pixel_id}/events",
            json={"data": [event]},
            headers={"authorization": f"Bearer {token}"},
        )

    def count(self, setup: Setup, name: str) -> int:
        """How many events of a name the overview has of a setup's pixel."""
        rows = self.client.get(f"/overview.json?pixel={setup.pixel_id}").json()
        return sum(row["events"] for row in rows if row["event_name"] == name)

    def findings(self, setup: Setup) -> dict[str, dict[str, Any]]:
        """What was found so far, by check."""
        answer = self.client.get(f"/setup/{setup.setup_id}.json")
        return {each["check"]: each for each in answer.json()["findings"]}

    def wait_for(self, setup: Setup, check: str, state: str) -> dict[str, Any]:
        """A finding, once its check is in a state."""

        def look() -> dict[str, Any] | None:
            found = self.findings(setup)[check]
            return found if found["state"] == state else None

        found = wait_for(look, 30, f"{check} is {state}: {self.findings(setup)}")
        assert found
        return found

    def close(self) -> None:
        """Stop it as Ctrl-C does; no process may be left, the browser's included."""
        self.client.close()
        self.catalog.close()
        try:
            assert 0 == self.stop()
            self.wait_until_gone()
        finally:
            self.kill()
