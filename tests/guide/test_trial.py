"""A person's test order, as it comes in good and bad ways, and what is told of it; the pages and
commands around it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from typer.testing import CliRunner

from doublet.catalog import Setup
from doublet.cli import app
from doublet.errors import DoubletError
from doublet.guide.pair import Sent, arrived, judge_pair, judge_road
from doublet.probe.post import post
from tests.factories import ACCOUNT, NOON, PIXEL, SECOND, Pipeline, make_record
from tests.guide.plain_site import PlainSite
from tests.guide.server import GuideServer
from tests.server import free_port, wait_for

SENDER = 4
MONEY = {"cd[value]": "49.90", "cd[currency]": "EUR"}
PURCHASE = {"value": 49.90, "currency": "EUR"}


@pytest.fixture(scope="module")
def site(server: GuideServer) -> Iterator[PlainSite]:
    made = PlainSite(server.port)
    yield made
    made.close()


def setup_of(server: GuideServer, site: PlainSite, **answers: str) -> tuple[Setup, str]:
    """A setup whose site has the snippet."""
    setup, token = server.begin(f"{site.origin()}/", **answers)
    site.clean(setup.pixel_id)
    site.show(server.url)
    return setup, token


def test_both_copies_of_a_test_order_are_one_event_and_count_nowhere(
    server: GuideServer, site: PlainSite
) -> None:
    setup, token = setup_of(server, site)
    assert "waiting" == server.findings(setup)["test_browser"]["state"]
    server.browser_event(setup, "Purchase", "1001", **MONEY)
    found = server.wait_for(setup, "test_browser", "passed")
    assert "The browser's Purchase of 49.9000 EUR has the event id 1001." == found["says"]
    assert "DOUBLET_ACCESS_TOKEN" in server.findings(setup)["test_server"]["fix"]
    # The server's copy bears no code: it belongs to the test by its event id alone.
    assert 200 == server.server_event(setup, token, "Purchase", "1001", **PURCHASE).status_code
    found = server.wait_for(setup, "test_one", "passed")
    assert "1 of the browser and 1 of the server are one Purchase, 1001." == found["says"]
    assert 0 == server.count(setup, "Purchase")
    # The site itself was not looked at.
    assert None is server.client.get(f"/setup/{setup.setup_id}.json").json()["verified_at"]
    told = server.client.post(f"/setup/{setup.setup_id}/check.json").json()
    assert {"passed"} == {each["state"] for each in told["findings"]}, told
    assert told["verified_at"] >= setup.created_at
    assert 0 == server.count(setup, "PageView")
    # A fault that comes later takes the word back.
    site.page = ""
    told = server.client.post(f"/setup/{setup.setup_id}/check.json").json()
    assert None is told["verified_at"]


def test_different_event_ids_are_named(server: GuideServer, site: PlainSite) -> None:
    setup, token = setup_of(server, site)
    server.browser_event(setup, "Purchase", "1768.5", **MONEY)
    server.server_event(setup, token, "Purchase", "1002", **PURCHASE)
    found = server.wait_for(setup, "test_server", "failed")
    assert "ids_differ" == found["fault"]
    assert "id 1002, the browser's 1768.5" in found["says"]
    assert "Give both the same event id" in found["fix"]


def test_a_server_event_without_id_is_named(server: GuideServer, site: PlainSite) -> None:
    setup, token = setup_of(server, site, goal="leads")
    server.browser_event(setup, "Lead", "lead.7")
    server.server_event(setup, token, "Lead", None)
    found = server.wait_for(setup, "test_server", "failed")
    assert "server_without_id" == found["fault"]
    assert "the browser's is lead.7" in found["fix"]


def test_copies_joined_by_their_order_pass_with_a_note(
    server: GuideServer, site: PlainSite
) -> None:
    setup, token = setup_of(server, site)
    server.browser_event(setup, "Purchase", "b.1", **MONEY, **{"cd[order_id]": "4711"})
    server.server_event(setup, token, "Purchase", "s.1", **PURCHASE, order_id="4711")
    found = server.wait_for(setup, "test_one", "noted")
    assert "joined_otherwise" == found["fault"]
    assert "by order_id" in found["says"]
    assert "the same event id" in found["fix"]


def test_a_purchase_without_value_is_named(server: GuideServer, site: PlainSite) -> None:
    setup, _ = setup_of(server, site)
    server.browser_event(setup, "Purchase", "1003", **{"cd[currency]": "EUR"})
    found = server.wait_for(setup, "test_browser", "failed")
    assert "test_without_value" == found["fault"]
    assert "value: 49.90" in found["fix"]


def test_a_refused_server_event_is_told_with_its_fix(server: GuideServer, site: PlainSite) -> None:
    setup, token = setup_of(server, site)
    server.browser_event(setup, "Purchase", "1004", **MONEY)
    assert 400 == server.server_event(setup, token, "Purchase", "1004", value=1).status_code
    found = server.wait_for(setup, "test_server", "failed")
    assert "server_event_refused" == found["fault"]
    assert "custom_data.currency" in found["fix"]


def test_an_order_without_the_code_is_found_by_its_event_id(
    server: GuideServer, site: PlainSite
) -> None:
    setup, token = setup_of(server, site)
    # A code that the guide did not make, and one of another pixel's setup, make no test.
    other, _ = server.begin("http://127.0.0.1:1/")
    for n, code in enumerate(("", "SETUPABCDEFGHJKLM", other.test_code)):
        server.browser_event(setup, "Purchase", f"real.{n}", **MONEY, test_event_code=code)
    found = server.wait_for(setup, "test_browser", "failed")
    assert "test_without_code" == found["fault"]
    assert "by the link with the test code" in found["fix"]
    wait_for(lambda: server.count(setup, "Purchase") == 3, what="they count")
    server.server_event(setup, token, "Purchase", "real.1", **PURCHASE)
    body = {"event_id": "real.1"}
    path = f"/setup/{setup.setup_id}/test.json"

    def is_found() -> bool:
        told = server.client.post(path, json=body).json()
        return {"test_one": "passed"}.items() <= {
            each["check"]: each["state"] for each in told["findings"]
        }.items()

    wait_for(is_found, what="the named purchase counts once")


def test_a_server_that_sends_with_a_wrong_token_is_told(
    server: GuideServer, site: PlainSite
) -> None:
    setup, _ = setup_of(server, site)
    path = f"/setup/{setup.setup_id}/check.json"
    key = {"authorization": f"Bearer {server.operator_key}"}
    # The token made with it is remembered; the operator's key is none that events take.
    told = httpx.post(f"{server.url}{path}", headers=key, timeout=60).json()
    assert "passed" == told["findings"][-5]["state"], told["findings"][-5]
    own = server.catalog.setups.create(
        setup.account_id, setup.pixel_id, "html", "purchases", "local", setup.site_url
    )
    path = f"/setup/{own.setup_id}/check.json"
    for body, state, fault in (
        ({}, "unseen", ""),
        ({"access_token": "dbl_none"}, "failed", "server_refused"),
    ):
        told = httpx.post(f"{server.url}{path}", json=body, headers=key, timeout=60).json()
        found = {each["check"]: each for each in told["findings"]}
        assert (state, fault) == (found["server_road"]["state"], found["server_road"]["fault"])
        assert "skipped" == found["pair"]["state"]
    assert "DOUBLET_ACCESS_TOKEN" in found["server_road"]["fix"]


def test_a_server_that_is_reached_only_from_here_is_told(site: PlainSite, tmp_path: Path) -> None:
    closed = f"http://127.0.0.1:{free_port()}"
    server = GuideServer(tmp_path, f"--set=public_url={closed}")
    try:
        setup, token = server.begin(f"{site.origin()}/", place="own")
        path = f"/setup/{setup.setup_id}/check.json"
        told = server.client.post(path, json={"access_token": token}).json()
        road = {each["check"]: each for each in told["findings"]}["server_road"]
        assert ("noted", "server_local") == (road["state"], road["fault"])
        assert closed in road["says"]
        assert "routers" in road["fix"]
    finally:
        server.close()


def test_a_server_that_nothing_reaches_is_told() -> None:
    closed = f"http://127.0.0.1:{free_port()}"
    found = judge_road(post(f"{closed}/v25.0/1/events", {"data": []}, "dbl_x"), closed)
    assert ("failed", "server_unreachable") == (found.state, found.fault)
    assert closed in found.says
    assert "web server in front" in found.fix


def test_two_copies_that_stay_apart_are_told(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    records = [
        make_record(NOON + n * SECOND, source, event_name="PageView", event_id=event_id)
        for n, (source, event_id) in enumerate(
            (("browser", "pair"), ("server", "pair"), ("browser", "alone"), ("server", "other"))
        )
    ]
    pipeline.append(records)
    pipeline.refresh()
    texts = ("html", "purchases", "local", "http://shop.example/", "SETUP1", "")
    setup = Setup("set_1", ACCOUNT, PIXEL, "", *texts, {}, None, 0)
    events = arrived(pipeline.engine, setup, "PageView")
    pipeline.close()
    taken = Sent("http://127.0.0.1/v25.0/1/events", 200)
    assert "passed" == judge_pair(events, "pair", taken).state
    apart = judge_pair(events, "alone", taken)
    assert ("failed", "pair_apart") == (apart.state, apart.fault)
    assert "doublet explain" in apart.fix
    assert "waiting" == judge_pair(events, "late", taken).state


# --- pages ---------------------------------------------------------------------------------------


def test_a_setup_is_its_accounts_own_and_foreign_forms_are_refused(
    server: GuideServer, site: PlainSite
) -> None:
    setup, _ = setup_of(server, site)
    account = server.catalog.create_account("Other")
    _, theirs = server.catalog.create_pixel(account.account_id, "Other")
    other = {"authorization": f"Bearer {theirs}"}
    page = f"{server.url}/setup/{setup.setup_id}"
    assert 404 == httpx.get(f"{page}.json", headers=other).status_code
    assert 404 == httpx.post(f"{page}/check.json", headers=other).status_code
    assert 404 == httpx.post(f"{page}/share", headers=other).status_code
    assert 401 == httpx.get(f"{page}.json").status_code
    assert [] == httpx.get(f"{server.url}/setup.json", headers=other).json()
    answers = {"platform": "html", "goal": "leads", "place": "own", "site_url": "shop.example"}
    for action, body in (("/share", {}), ("/token", {}), ("/check", {}), ("", answers)):
        address = f"{server.url}/setup" if action == "" else page + action
        foreign = {**server.headers, "sec-fetch-site": "cross-site"}
        assert 403 == httpx.post(address, data=body, headers=foreign).status_code
    refused = server.client.post("/setup.json", json={**answers, "account": account.account_id})
    assert 400 == refused.status_code
    assert "shop.example" not in [each.site_url for each in server.catalog.setups.all()]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"platform": "geocities"}, "platform"),
        ({"goal": "fame"}, "goal"),
        ({"place": ""}, "place"),
        ({"site_url": "ftp://shop.example"}, "site_url"),
        ({"site_url": "https://user:pass@shop.example"}, "site_url"),
        ({"site_url": "https://[::1"}, "site_url"),
        ({"name": "a\nb"}, "name"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"currency": "XXQ"}, "currency"),
    ],
)
def test_a_wrong_answer_is_named_and_nothing_is_made(
    server: GuideServer, wrong: dict[str, str], field: str
) -> None:
    right = {"platform": "html", "goal": "leads", "place": "own", "site_url": "shop.example"}
    pixels = server.catalog.pixels()
    answer = server.client.post("/setup.json", json=right | wrong)
    assert 400 == answer.status_code
    assert [[field]] == answer.json()["error"]["error_data"]["blame_field_specs"]
    page = server.client.post("/setup", data=right | wrong)
    assert 400 == page.status_code
    assert 'role="alert"' in page.text
    assert pixels == server.catalog.pixels()


def test_the_operator_makes_accounts_and_each_secret_is_shown_once(server: GuideServer) -> None:
    key = {"authorization": f"Bearer {server.operator_key}"}
    with httpx.Client(base_url=server.url, headers=key, follow_redirects=True) as operator:
        form = {
            "platform": "woocommerce",
            "goal": "purchases",
            "place": "own",
            "site_url": "https://www.shop.example",
            "account": "new",
            "name": "Corner <b>Shop</b>",
            "time_zone": "Europe/Berlin",
            "currency": "chf",
        }
        page = operator.post("/setup", data=form)
        assert 200 == page.status_code
        (token,) = re.findall(r'id="access-token">(dbl_[\w-]+)<', page.text)
        assert "<b>Shop" not in page.text
        account = server.catalog.account_of_token(token)
        assert account is not None
        assert ("Corner <b>Shop</b>", "Europe/Berlin", "CHF") == (
            account.name,
            account.time_zone,
            account.currency,
        )
        (shop,) = server.catalog.shops.all(account.account_id)
        assert f"/v1/shops/{shop.shop_id}/webhooks" in page.text
        assert shop.secrets[0].value in page.text
        assert "public_url = &#34;https://t.shop.example&#34;" in page.text
        again = operator.get(page.url.path)
        assert token not in again.text
        shared = operator.post(f"{page.url.path}/share")
        (link,) = re.findall(r'id="share-link">([^<]+)<', shared.text)
        assert "share-link" not in operator.get(page.url.path).text
    for address in (link, link.replace("?key", ".json?key")):
        seen = httpx.get(address)
        assert 200 == seen.status_code
        assert not [s for s in (token, shop.secrets[0].value) if s in seen.text]
        assert server.catalog.setups.all(account.account_id)[0].test_code not in seen.text
    assert 404 == httpx.get(link[:-1]).status_code
    assert 404 == httpx.get(link.partition("key=")[0] + "key=").status_code
    # It reads and does nothing else.
    assert 401 == httpx.post(link.replace("?key", "/check?key")).status_code
    server.catalog.setups.unshare(page.url.path.rpartition("/")[2])
    assert 404 == httpx.get(link).status_code


def test_a_shopify_shop_takes_the_secret_that_shopify_shows(server: GuideServer) -> None:
    setup, _ = server.begin("https://shop.example", platform="shopify", place="own")
    page = server.client.get(f"/setup/{setup.setup_id}")
    before = server.catalog.shops.one(setup.shop_id)
    assert before.secrets[0].value not in page.text
    answer = server.client.post(f"/setup/{setup.setup_id}/shop", data={"secret": "shpss_1"})
    assert 303 == answer.status_code
    assert "shpss_1" == server.catalog.shops.one(setup.shop_id).secrets[0].value


def test_a_bigcommerce_shop_takes_what_opens_its_api(server: GuideServer) -> None:
    setup, _ = server.begin("https://shop.example", platform="bigcommerce", place="own")
    path = f"/setup/{setup.setup_id}"
    assert f"doublet shop connect {setup.shop_id}" in server.client.get(path).text
    for store_hash, kept in (
        ("../evil", ""),
        ("abc123", "https://api.bigcommerce.com/stores/abc123"),
    ):
        server.client.post(f"{path}/shop", data={"store_hash": store_hash, "api_token": "t"})
        assert kept == server.catalog.shops.one(setup.shop_id).target.get("api_url", "")


# --- in the terminal -----------------------------------------------------------------------------


class Done(NamedTuple):
    """What a command said, and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def doublet(server: GuideServer, *arguments: str, **environ: str) -> Done:
    """`doublet setup` on the server's data, in this process."""
    command = ["setup", *arguments, f"--data={server.settings.data}", f"--set=port={server.port}"]
    result = CliRunner().invoke(app, command, env=environ)
    error = result.exception
    if isinstance(error, DoubletError):
        return Done(error.exit_code, result.stdout, str(error))
    assert error is None or isinstance(error, SystemExit), error
    return Done(result.exit_code, result.stdout, result.stderr)


def test_the_command_leads_to_verified_and_says_what_is_wrong(
    server: GuideServer, site: PlainSite
) -> None:
    account = f"--account={server.account_id}"
    flags = ("--platform=html", "--goal=purchases", "--place=local", account)
    done = doublet(server, *flags, "--json", f"--site={site.origin()}/")
    assert 0 == done.returncode, done.stderr
    made = json.loads(done.stdout)
    setup_id, token = made["setup_id"], made["access_token"]
    site.clean(made["pixel_id"])
    site.page = "<!doctype html>"
    done = doublet(server, setup_id, "--check")
    assert SENDER == done.returncode
    assert "snippet_missing" in done.stderr
    assert "Put the snippet into the head of every page" in done.stdout
    site.show(server.url)
    setup = server.catalog.setups.one(setup_id)
    server.browser_event(setup, "Purchase", "1009", **MONEY)
    server.server_event(setup, token, "Purchase", "1009", **PURCHASE)
    done = doublet(server, setup_id, "--check", "--wait=30", DOUBLET_ACCESS_TOKEN=token)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "Verified." in done.stdout
    link = doublet(server, setup_id, "--share").stdout.strip()
    assert "Verified" in httpx.get(link).text
    assert 0 == doublet(server, setup_id, "--revoke").returncode
    assert 404 == httpx.get(link).status_code
    shown = doublet(server, setup_id)
    assert token not in shown.stdout
    assert f"test_event_code={setup.test_code}" in shown.stdout
    address = doublet(server, "--browser").stdout.strip()
    assert "Set up a site" in httpx.get(address, follow_redirects=True).text
    rows = json.loads(doublet(server, "--list", "--json").stdout)
    assert "yes" == next(row["verified"] for row in rows if row["id"] == setup_id)
    assert 0 == doublet(server, setup_id, "--remove").returncode
    assert 3 == doublet(server, setup_id).returncode


def test_without_a_terminal_a_missing_answer_is_named(server: GuideServer) -> None:
    done = doublet(server, "--platform=html", f"--account={server.account_id}")
    assert 3 == done.returncode
    assert "goal is missing" in done.stderr
