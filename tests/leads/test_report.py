"""What is reported of leads: which stages they reached, and after how long."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from doublet.accept import Arrival, accept_leads
from doublet.event import LeadsRequest, WireLead
from tests.dashboard import Shop, Site
from tests.factories import HOUR, NOON, SECOND, make_record
from tests.imports.calling import run
from tests.imports.test_cli import folder
from tests.server import RunningServer, wait_for

__all__ = ["folder"]

DAY = 24 * HOUR
META_ID = "1234567890123456"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def form(shop: Shop, event_id: str, at: int = 0, source: str = "browser", **fields: Any) -> bytes:
    """A Lead event, `at` µs after NOON."""
    return make_record(
        NOON + at,
        source,
        account_id=shop.account.account_id,
        pixel_id=shop.pixel_id,
        event_name="Lead",
        event_id=event_id,
        custom_data=None,
        **fields,
    )


def stage(shop: Shop, lead_id: str, name: str, at: int) -> bytes:
    """A CRM's word, `at` µs after NOON, received at once."""
    lead = WireLead(lead_id=lead_id, stage=name, changed_at=(NOON + at) // SECOND)
    arrival = Arrival(shop.account.account_id, "", "server", NOON + at, 0)
    records = accept_leads(LeadsRequest(data=[lead]), arrival, {shop.pixel_id: ""})
    assert isinstance(records, list), records
    return records[0]


@pytest.fixture
def filled(site: Site) -> Site:
    """Four leads of ours: two of browsers, one of Meta's, one that only the CRM knows."""
    ours, theirs = site.ours, site.theirs
    records = [
        form(ours, "a"),
        form(ours, "a", SECOND, "server"),
        form(ours, "b", DAY),
        form(ours, "meta", DAY, "server", user_data={"lead_id": META_ID}),
        form(theirs, "x"),
        stage(ours, "a", "contacted", HOUR),
        stage(ours, "a", "contacted", 5 * HOUR),
        stage(ours, "a", "won", 2 * DAY),
        stage(ours, "b", "contacted", DAY + 3 * HOUR),
        stage(ours, META_ID, "contacted", DAY + 2 * HOUR),
        stage(ours, "crm-7", "contacted", 3 * DAY),
        stage(theirs, "x", "lost", HOUR),
    ]
    # As in any slot of the log, receipts rise.
    site.pipeline.append(sorted(records, key=lambda record: json.loads(record)["received_at"]))
    site.pipeline.refresh()
    return site


def test_a_lead_counts_once_in_each_stage(filled: Site) -> None:
    report = filled.get("/leads.json", filled.ours).json()
    assert (4, 2) == (report["leads"], report["matched"])
    assert [
        {"stage": "contacted", "leads": 4, "share": 1.0, "matched": 2, "median_s": 2 * 3600},
        {"stage": "won", "leads": 1, "share": 0.25, "matched": 1, "median_s": 2 * 86_400},
    ] == report["rows"]
    page = filled.get("/leads", filled.ours).text
    for words in ("contacted", "100 %", "25 %", "2.0 h", "2.0 days"):
        assert words in page
    assert "lost" not in page
    lines = filled.get("/leads.csv", filled.ours).text.splitlines()
    assert ["stage,leads,share,matched,median_s", "contacted,4,1.0,2,7200.0"] == lines[:2]


def test_a_lead_belongs_to_the_day_on_which_it_came(filled: Site) -> None:
    # NOON is 22:26 on the 28th in the shop's zone.
    def of(**filters: str) -> tuple[int, list[tuple[str, int]]]:
        answer = filled.client.get("/leads.json", params=filters, headers=filled.ours.headers)
        report = answer.json()
        return report["leads"], [(row["stage"], row["leads"]) for row in report["rows"]]

    assert (1, [("contacted", 1), ("won", 1)]) == of(until="2026-05-28")
    assert (2, [("contacted", 2)]) == of(since="2026-05-29", until="2026-05-29")
    assert (1, [("contacted", 1)]) == of(since="2026-05-31")
    assert (0, []) == of(since="2026-06-05")
    assert (4, [("contacted", 4), ("won", 1)]) == of(pixel=filled.ours.pixel_id)


def test_without_leads_the_page_says_so(site: Site) -> None:
    assert "No leads yet" in site.get("/leads", site.ours).text
    assert {"leads": 0, "matched": 0, "rows": []} == site.get("/leads.json", site.ours).json()


# --- the commands ----------------------------------------------------------------------------


def test_a_crms_file_tells_the_stages(folder: Path) -> None:
    at = int(time.time()) - 5 * 86_400
    lines = [
        "Record ID,Lifecycle stage,Last modified date,Email,Deal amount,Owner",
        f"eid-1,contacted,{at},mary@private.example,,Jo",
        f"eid-1,won,{at + 86_400},mary@private.example,1500,Jo",
        f"eid-2,contacted,{at},,,Jo",
    ]
    (folder / "crm.csv").write_text("\n".join(lines) + "\n")
    asked = run(folder, "lead", "import", "crm.csv", "--crm=HubSpot", "--dry-run")
    for column, field in (
        ("Record ID", "lead_id"),
        ("Lifecycle stage", "event_name"),
        ("Last modified date", "event_time"),
        ("Email", "em"),
        ("Deal amount", "value"),
    ):
        assert any(column in line and field in line for line in asked.stderr.splitlines())
    assert "Left aside: Owner." in asked.stderr
    for imported in (3, 0):
        done = run(folder, "lead", "import", "crm.csv", "--crm=HubSpot", "--yes", "--json")
        assert imported == json.loads(done.stdout)["imported"]
    # What the command line, HTTP and a file say of one lead is one event.
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    run(folder, "lead", "stage", "eid-2", "contacted", "--at", moment)
    run(folder, "lead", "stage", "eid-2", "lost", "--email=jo@private.example")
    wrong = run(folder, "lead", "stage", "eid-2", "won", "--value=5,5", code=4)
    assert "with a point" in wrong.stderr
    run(folder, "refresh")
    report = json.loads(run(folder, "report", "leads", "--json").stdout)
    assert (2, [("contacted", 2), ("lost", 1), ("won", 1)]) == (
        report["leads"],
        [(row["stage"], row["leads"]) for row in report["rows"]],
    )
    shown = run(folder, "report", "leads").stdout
    assert "contacted" in shown
    assert "100 %" in shown
    overview = json.loads(run(folder, "report", "overview", "--json").stdout)
    assert {"contacted": 2, "lost": 1, "won": 1} == {
        row["event_name"]: row["events"] for row in overview
    }
    stored = b"".join(
        p.read_bytes() for p in folder.rglob("*") if p.name != "crm.csv" and p.is_file()
    )
    assert b"private.example" not in stored


@pytest.mark.slow
def test_from_the_form_to_the_report(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        now = int(time.time())
        hit = {"id": server.pixel_id, "ev": "Lead", "eid": "eid-9", "dl": "https://site.example/"}
        assert 200 == httpx.get(f"{server.url}/tr/", params=hit).status_code
        told = {"lead_id": "eid-9", "stage": "qualified", "changed_at": now + 3600}
        for _ in range(2):
            answer = httpx.post(
                f"{server.url}/v1/leads", json={"data": [told]}, headers=server.headers
            )
            assert 1 == answer.json()["leads_received"], answer.text
        wait_for(lambda: len(server.run("report", "leads")["rows"]) == 1, what="the stage")
        report = server.run("report", "leads")
        (row,) = report["rows"]
        assert (1, 1, 1, 1) == (report["leads"], report["matched"], row["leads"], row["matched"])
        assert 3500 < row["median_s"] <= 3600
