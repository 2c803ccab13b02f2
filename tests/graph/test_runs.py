"""Reports in the background, through Meta's SDK."""

from __future__ import annotations

import json
import time
from decimal import Decimal

import httpx
import pytest
from facebook_business.adobjects.adreportrun import AdReportRun
from facebook_business.exceptions import FacebookRequestError

from tests.dashboard import Site
from tests.graph.ads import LAST_WEEK, account, fill, ids

pytestmark = pytest.mark.usefixtures("api")


@pytest.fixture(autouse=True)
def _ads(site: Site) -> None:
    fill(site)


def test_a_report_is_made_in_the_background(site: Site) -> None:
    run = account(site).get_insights_async(
        fields=["ad_id", "spend"], params={"time_range": LAST_WEEK, "level": "ad"}
    )
    assert isinstance(run, AdReportRun)
    give_up_at = time.monotonic() + 30
    while run.api_get()["async_status"] != "Job Completed":
        assert time.monotonic() < give_up_at, dict(run)
        time.sleep(0.02)
    assert (100, False) == (run["async_percent_completion"], run["is_running"])
    # What it found stays as it was.
    with site.pipeline.engine.transaction() as tx:
        tx.run("delete from ad_days")
    rows = list(run.get_insights(params={"limit": 3}))
    assert (8, Decimal(196)) == (len(rows), sum(Decimal(row["spend"]) for row in rows))
    assert {"ad_id", "date_start", "date_stop"} == set(run.get_insights(fields=["ad_id"])[0])
    theirs = httpx.get(f"{site.url}/v25.0/{run['id']}", headers=site.theirs.headers)
    assert 33 == theirs.json()["error"]["error_subcode"]


def test_a_report_that_nobody_is_at_is_begun_anew(site: Site) -> None:
    params = {"time_range": json.dumps(LAST_WEEK), "fields": '["spend"]'}
    node = ids(5)["campaign_id"]
    made = site.catalog.reporting.create_run(
        site.ours.account.account_id, node, params, "Job Running"
    )
    run = AdReportRun(made.report_run_id)
    with pytest.raises(FacebookRequestError, match="not done"):
        run.get_insights()
    give_up_at = time.monotonic() + 30
    while run.api_get()["async_status"] != "Job Completed":
        assert time.monotonic() < give_up_at, dict(run)
    assert ["154"] == [row["spend"] for row in run.get_insights()]


def test_a_report_that_fails_says_why(site: Site) -> None:
    with pytest.raises(FacebookRequestError, match="time_increment must be"):
        account(site).get_insights_async(params={"time_increment": "1000"})
    made = site.catalog.reporting.create_run(
        site.ours.account.account_id, "me", {"level": "galaxy"}, "Job Not Started"
    )
    run = AdReportRun(made.report_run_id)
    give_up_at = time.monotonic() + 30
    while run.api_get(fields=["async_status", "error_message"])["async_status"] != "Job Failed":
        assert time.monotonic() < give_up_at, dict(run)
    assert "level must be one of" in run["error_message"]
    with pytest.raises(FacebookRequestError, match=r"report failed: .*level must be one of"):
        run.get_insights()
