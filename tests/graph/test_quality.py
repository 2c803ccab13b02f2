"""`/da_checks` and `/dataset_quality`: the reports on quality in Meta's shapes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from doublet.reports.diagnostics import DIAGNOSTICS
from tests.dashboard import Site
from tests.factories import HOUR, SECOND, make_record, sha256
from tests.graph.test_nodes import get, read

EVERYTHING = (
    "web{event_name,event_match_quality{composite_score,match_key_feedback{identifier,"
    "coverage{percentage},potential_aly_acr_increase{percentage,description}},diagnostics{name,"
    "description,solution,percentage,affected_event_count,total_event_count}},event_coverage"
    "{percentage,goal_percentage,description,potential_aly_acr_increase{percentage,description}},"
    "dedupe_key_feedback{dedupe_key,browser_events_with_dedupe_key{percentage,description},"
    "server_events_with_dedupe_key{percentage,description},"
    "overall_browser_coverage_from_dedupe_key{percentage,description}},data_freshness"
    "{upload_frequency,description},acr{percentage,description},"
    "event_potential_aly_acr_increase{percentage,description}}"
)
"""All that Meta's page on the Dataset Quality API asks for."""


def send(site: Site) -> None:
    """Ten purchases an hour ago: eight of the browser, of which the server confirms five and adds
    two. The server's address is private on all of its copies, one of which has no user agent."""
    received_at = (int(time.time()) - 3600) * SECOND
    shop: Any = {"account_id": site.ours.account.account_id, "pixel_id": site.ours.pixel_id}
    records = []
    for n in range(10):
        sides = ["browser"] if n < 3 else ["browser", "server"] if n < 8 else ["server"]
        for side in sides:
            user_data = {
                "em": [sha256(f"p{n}@shop.example")],
                "client_ip_address": "192.168.1.7",
                "client_user_agent": "Mozilla/5.0" if n < 9 else None,
            }
            fields: Any = {"event_id": f"order.{n}", "user_data": user_data}
            records.append(make_record(received_at + n * SECOND, side, **shop, **fields))
    site.pipeline.append(records)
    site.pipeline.refresh()


def checks(site: Site, **parameters: str) -> dict[str, dict[str, Any]]:
    """The rows by key."""
    path = f"/v25.0/{site.ours.pixel_id}/da_checks"
    return {row["key"]: row for row in read(site, path, **parameters)["data"]}


def test_checks_that_fail_say_what_and_how_to_mend_it(site: Site) -> None:
    send(site)
    found = checks(site)
    assert {diagnostic.key for diagnostic in DIAGNOSTICS} == set(found)
    failed = {key for key, row in found.items() if row["result"] == "failed"}
    assert {
        "s2s_private_ip_address",
        "s2s_missing_ua",
        "s2s_low_event_coverage",
        "pixel_unconfirmed_purchase",
    } == failed
    row = found["s2s_low_event_coverage"]
    assert "Browser event that the server did not send" == row["title"]
    assert row["user_message"].startswith("Purchase: 3 of 8 events (37.5 %). Send every event")
    assert row["action_uri"].endswith(f"/quality?pixel={site.ours.pixel_id}")
    passed = found["s2s_missing_ip"]
    assert "passed" == passed["result"]
    assert {"key", "result", "title", "description", "user_message"} == set(passed)


def test_checks_that_fail_come_first(site: Site) -> None:
    send(site)
    path = f"/v25.0/{site.ours.pixel_id}/da_checks"
    first = read(site, path, limit="4", fields="result")
    assert ["failed"] * 4 == [row["result"] for row in first["data"]]
    rest = site.client.get(first["paging"]["next"], headers=site.ours.headers).json()
    assert ["passed"] * 4 == [row["result"] for row in rest["data"]]


@pytest.mark.parametrize(
    ("parameters", "sides"),
    [
        ({"connection_method": "BROWSER"}, {"events", "browser_events"}),
        ({"connection_method": "SERVER"}, {"events", "server_events", "judged", "both"}),
        ({"connection_method": "APP"}, set()),
    ],
)
def test_checks_are_chosen_by_connection(
    site: Site, parameters: dict[str, str], sides: set[str]
) -> None:
    expected = {diagnostic.key for diagnostic in DIAGNOSTICS if diagnostic.of in sides}
    assert expected == set(checks(site, **parameters))


@pytest.mark.parametrize("text", ['["s2s_missing_ip","nope"]', "s2s_missing_ip, nope"])
def test_checks_are_chosen_by_name(site: Site, text: str) -> None:
    assert ["s2s_missing_ip"] == list(checks(site, checks=text))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"connection_method": "MAIL"}, "(#100) connection_method must be one of {ALL, APP, "),
        ({"checks": "[1"}, "(#100) checks begins like a JSON array, but is none"),
        ({"fields": "nope"}, "(#100) Tried accessing nonexisting field (nope) on node type (DAC"),
    ],
)
def test_a_wrong_parameter_of_checks_is_named(
    site: Site, parameters: dict[str, str], message: str
) -> None:
    found = get(site, f"/v25.0/{site.ours.pixel_id}/da_checks", **parameters)
    assert 400 == found.status_code
    assert found.json()["error"]["message"].startswith(message)


def dataset(site: Site, **parameters: str) -> dict[str, Any]:
    """The quality of our shop's dataset."""
    found = read(site, "/v25.0/dataset_quality", dataset_id=site.ours.pixel_id, **parameters)
    assert isinstance(found, dict)
    return found


def test_quality_of_a_dataset_is_told_per_event_name(site: Site) -> None:
    send(site)
    (row,) = dataset(site, fields=EVERYTHING, agent_name="partner")["web"]
    quality = row["event_match_quality"]
    # Of the seven events of the server all have em, six also address and user agent.
    assert 3.8 == quality["composite_score"]
    assert [("email", 100.0), ("ip_address", 100.0), ("user_agent", 85.7)] == [
        (each["identifier"], each["coverage"]["percentage"])
        for each in quality["match_key_feedback"]
    ]
    found = {each["name"]: each for each in quality["diagnostics"]}
    private = found["Private IP address"]
    assert (100.0, 7, 7) == (
        private["percentage"],
        private["affected_event_count"],
        private["total_event_count"],
    )
    assert private["solution"] == "Read the visitor's address from the proxy's header."
    coverage = row["event_coverage"]
    assert (62.5, 75) == (coverage["percentage"], coverage["goal_percentage"])
    # Two more than the eight that the browser reported.
    assert 25.0 == row["acr"]["percentage"]
    assert "Purchase" == row["event_name"]
    feedback = {each["dedupe_key"]: each for each in row["dedupe_key_feedback"]}
    assert {"event_id", "external_id", "fbp"} == set(feedback)
    by_id = feedback["event_id"]
    by_id.pop("dedupe_key")
    shares = {name: told["percentage"] for name, told in by_id.items()}
    assert {
        "browser_events_with_dedupe_key": 100.0,
        "server_events_with_dedupe_key": 100.0,
        "overall_browser_coverage_from_dedupe_key": 62.5,
    } == shares
    assert "real_time" == row["data_freshness"]["upload_frequency"]


def test_fields_of_quality_are_chosen_at_every_depth(site: Site) -> None:
    send(site)
    chosen = "web{event_name,event_match_quality{composite_score},event_coverage{percentage}}"
    assert [
        {
            "event_name": "Purchase",
            "event_match_quality": {"composite_score": 3.8},
            "event_coverage": {"percentage": 62.5},
        }
    ] == dataset(site, fields=chosen)["web"]


def test_quality_has_all_fields_unless_some_are_named(site: Site) -> None:
    send(site)
    assert dataset(site) == dataset(site, fields="web")
    (row,) = dataset(site)["web"]
    assert {"event_name", "event_match_quality", "event_coverage", "acr"} <= set(row)


def test_a_dataset_without_events_has_no_rows(site: Site) -> None:
    assert {"web": []} == dataset(site, fields=EVERYTHING)
    assert {"offline": []} == dataset(site, fields="offline{event_name}")


def test_what_only_one_side_sent_is_not_compared(site: Site) -> None:
    received_at = int(time.time()) * SECOND - HOUR
    shop: Any = {"account_id": site.ours.account.account_id, "pixel_id": site.ours.pixel_id}
    site.pipeline.append(
        [
            make_record(received_at, "browser", event_name="Lead", custom_data=None, **shop),
            make_record(received_at, "server", event_name="Contact", custom_data=None, **shop),
        ]
    )
    site.pipeline.refresh()
    rows = {row["event_name"]: row for row in dataset(site)["web"]}
    assert {"event_name", "event_coverage"} == set(rows["Lead"])
    assert 0 == rows["Lead"]["event_coverage"]["percentage"]
    assert {"event_name", "event_match_quality", "data_freshness"} == set(rows["Contact"])
