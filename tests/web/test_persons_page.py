"""The page on persons: found, exported, erased and kept apart by forms that show no identifier."""

from __future__ import annotations

import html
import json
import logging
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from doublet.catalog import Account, Catalog, Role
from doublet.normalize import identifier_key
from doublet.person import Wish, read_identifiers
from doublet.rounds import Freshener
from doublet.settings import Settings
from doublet.unmerging import unmerge
from doublet.web import refused
from doublet.web.access import Access
from doublet.web.forms import csrf_of
from doublet.web.persons_page import persons_page_routes
from doublet.web.protection import Protection
from doublet.web.tickets import TICKET_AGE_S, TICKETS_MAX, Search, Tickets
from tests.factories import NOON, SECOND, Pipeline, make_record, sha256
from tests.server import served

EMAIL = "Mary.Long@Example.com"
MAIL_HASH = sha256(EMAIL.lower())
FBP = f"fb.1.{NOON // 1000}.4711471147"
CUSTOMER = "customer-77"
OTHER = "bea@example.com"
HOSTILE = "<script>alert(1)</script>"
TRACES = (EMAIL, EMAIL.lower(), MAIL_HASH, FBP, CUSTOMER, sha256(CUSTOMER), OTHER, sha256(OTHER))
ROUTES = ("find", "export", "erase", "apart")


@dataclass
class Shop:
    """A page over the events of two persons, one of whom was two before; nobody is signed in."""

    url: str
    client: httpx.Client
    catalog: Catalog
    freshener: Freshener
    account: Account
    token: str
    others_token: str

    def get(self, path: str) -> httpx.Response:
        """What the account's token gets."""
        return self.client.get(path, headers={"authorization": f"Bearer {self.token}"})

    def post(self, action: str, **fields: str) -> httpx.Response:
        """A form, sent by the account's token."""
        headers = {"authorization": f"Bearer {self.token}"}
        return self.client.post(f"/persons/{action}", data=fields, headers=headers)

    def find(self, value: str = EMAIL, key: str = "em") -> httpx.Response:
        """Look for somebody."""
        return self.post("find", key=key, value=value)

    def ticket(self, value: str = EMAIL, key: str = "em") -> str:
        """That of a search."""
        return ticket_in(self.find(value, key).text)

    def user(self, role: Role) -> dict[str, str]:
        """Headers of somebody who has signed in, and what a form of hers must carry."""
        name = f"user-{role}"
        self.catalog.users.create(name)
        self.catalog.users.set_role(name, self.account.account_id, role)
        secret = self.catalog.users.begin_session(name)
        return {"cookie": f"doublet_session={secret}", "csrf": csrf_of(secret)}


def ticket_in(page: str) -> str:
    """What stands for a search in the forms of its answer."""
    (ticket,) = set(re.findall(r'name="ticket" value="([^"]+)"', page))
    return str(ticket)


def text_of(page: str) -> str:
    """What a person reads of a page."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def event(account: Account, pixel_id: str, n: int, name: str, **user_data: Any) -> bytes:
    """An event that is received n seconds after NOON."""
    return make_record(
        NOON + n * SECOND,
        account_id=account.account_id,
        pixel_id=pixel_id,
        event_name=name,
        event_id=f"e{n}",
        user_data={**user_data, "client_user_agent": "x"},
    )


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    settings = Settings(data=tmp_path / "data")
    settings.data.mkdir()
    catalog = Catalog(settings.catalog_url)
    catalog.migrate()
    account = catalog.create_account("Our shop", "Europe/Berlin", "EUR")
    pixel, token = catalog.create_pixel(account.account_id, "Our shop")
    others = catalog.create_account("Their shop", "Europe/Berlin", "EUR")
    _, others_token = catalog.create_pixel(others.account_id, "Their shop")
    make = partial(event, account, pixel.pixel_id)
    writing = Pipeline(tmp_path / "made")
    writing.append(
        [
            make(0, "ViewContent", fbp=FBP),
            make(1, "Lead", em=[MAIL_HASH], external_id=[sha256(CUSTOMER)]),
            make(2, HOSTILE, em=[sha256(OTHER)]),
            make(90, "Purchase", fbp=FBP, em=[MAIL_HASH]),
        ]
    )
    writing.close()
    shutil.copytree(tmp_path / "made" / "log", settings.data / "log")
    freshener = Freshener(settings)
    freshener.freshen()

    def decide(account_id: str, a: str, b: str, reason: str, revoked: bool) -> None:
        unmerge(settings, account_id, a, b, reason, revoked=revoked)

    door = Access(catalog, {"opr_test"}.__contains__)
    app = Starlette(
        routes=persons_page_routes(door, catalog, freshener.engine, decide, freshener),
        middleware=[Middleware(Protection)],
        exception_handlers=refused.HANDLERS,
    )
    with served(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield Shop(url, client, catalog, freshener, account, token, others_token)
    freshener.close()
    catalog.close()


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield
    assert [] == [trace for trace in TRACES if trace in caplog.text]


# --- finding ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [("em", f" {EMAIL} "), ("em", MAIL_HASH), ("external_id", CUSTOMER), ("fbp", FBP)],
)
def test_a_person_is_found_by_any_identifier_and_shown_without_them(
    shop: Shop, key: str, value: str
) -> None:
    answer = shop.find(value, key)
    assert 200 == answer.status_code
    assert f"{shop.url}/persons/find" == str(answer.url)
    assert "no-store" == answer.headers["cache-control"]
    text = text_of(answer.text)
    assert "3 records" in text
    assert "before as 2 persons" in text
    given = next(i for i in read_identifiers({key: value.strip()}))
    prefix = f"{identifier_key(shop.account.account_id, given):015x}"[:8]
    assert f"{key} {prefix}… (looked for)" in text
    assert 3 == len(re.findall(r"(?:em|fbp|external_id) [0-9a-f]{8}…", text))
    assert 1 == text.count("(looked for)")
    assert [] == [trace for trace in TRACES if trace in answer.text]


def test_the_events_of_a_person_are_told_with_links(shop: Shop) -> None:
    page = shop.find().text
    rows = shop.freshener.engine.query(
        "select event_name, kept_log_slot || '-' || kept_log_offset as copy "
        "from events_deduplicated where event_id in ('e0', 'e1', 'e90') order by event_time desc"
    )
    links = re.findall(r'<a href="/event\?copy=([^"]+)">([^<]+)</a>', page)
    assert [(row["copy"], row["event_name"]) for row in rows] == links
    assert "2026-05-28 22:28:10" in text_of(page)
    assert "no browser said anything" in text_of(page)


def test_the_last_word_on_consent_is_told(shop: Shop, tmp_path: Path) -> None:
    with shop.freshener.engine.transaction() as tx:
        tx.run(
            "update events_deduplicated set consent = "
            '\'{"ad_user_data": "granted", "ad_storage": "denied", "source": "tcf"}\' '
            "where event_id = 'e90'"
        )
    text = text_of(shop.find().text)
    assert "ad_storage denied, ad_user_data granted (tcf), the last word" in text
    assert "nothing in particular" not in text


def test_names_of_events_are_shown_escaped(shop: Shop) -> None:
    page = shop.find(OTHER).text
    assert HOSTILE not in page
    assert html.escape(HOSTILE) in page


def test_nobody_is_said_as_such(shop: Shop) -> None:
    text = text_of(shop.find("nobody@example.com").text)
    assert "Nobody has this identifier" in text
    assert "nobody@example.com" not in text


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("em", "  ", "No identifier was given"),
        ("fn", "Mary", "fn fits many people"),
        ("fbp", "4711471147", "A value of fbp is none that an event could have"),
        ("4711471147", "x", "A key of user_data is unknown"),
    ],
)
def test_what_is_no_identifier_is_refused_without_repeating_it(
    shop: Shop, key: str, value: str, said: str
) -> None:
    answer = shop.find(value, key)
    assert (400, True) == (answer.status_code, said in text_of(answer.text))
    assert "4711471147" not in answer.text
    assert "Mary" not in answer.text


# --- export and erasure ----------------------------------------------------------------------


def test_the_export_is_a_file_of_all_that_is_kept(shop: Shop) -> None:
    answer = shop.post("export", ticket=shop.ticket())
    assert "application/x-ndjson" == answer.headers["content-type"]
    assert 'filename="person.jsonl"' in answer.headers["content-disposition"]
    wish = Wish(shop.account.account_id, read_identifiers({"em": EMAIL}))
    expected = shop.freshener.export_person(wish)
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["table"] for row in expected] == [row["table"] for row in rows]
    assert 3 == sum(row["table"] == "events" for row in rows)
    (change,) = shop.catalog.changes.newest(shop.account.account_id)
    assert ("person.exported", "", {"rows": len(rows)}) == (
        change.what,
        change.target,
        change.details,
    )


def test_an_erasure_is_counted_then_confirmed_then_done(shop: Shop) -> None:
    ticket = shop.ticket()
    plan = shop.post("erase", ticket=ticket)
    text = text_of(plan.text)
    assert "Copies of events 3 Refused requests 0 Ad touches 0" in text
    assert "Identifiers 1 em, 1 external_id, 1 fbp" in text
    assert [] == shop.freshener.erasures.all()
    unsure = shop.post("erase", ticket=ticket, step="confirm")
    assert (400, True) == (unsure.status_code, "Tick the box" in unsure.text)
    assert [] == shop.freshener.erasures.all()
    assert [] == [trace for trace in TRACES if trace in plan.text + unsure.text]
    done = shop.post("erase", ticket=ticket, step="confirm", confirm="erase")
    assert (303, "/persons#erasures") == (done.status_code, done.headers["location"])
    (erasure,) = shop.freshener.erasures.all()
    assert f"waiting – 0 0 0 {erasure.erasure_id}" in text_of(shop.get("/persons").text)
    assert 1 == shop.freshener.erase()
    shop.freshener.freshen()
    assert f"3 0 0 {erasure.erasure_id}" in text_of(shop.get("/persons").text)
    assert "done" == shop.get("/persons.json").json()["erasures"][0]["state"]
    assert "Nobody has this identifier" in text_of(shop.find().text)
    assert "3 records" not in text_of(shop.find(OTHER).text)
    (change,) = shop.catalog.changes.newest(shop.account.account_id)
    assert ("person.erased", erasure.erasure_id) == (change.what, change.target)


def test_only_what_carries_the_identifier_may_be_meant(shop: Shop) -> None:
    plan = shop.post("erase", ticket=shop.ticket(FBP, "fbp"), exact="1")
    assert "Copies of events 2" in text_of(plan.text)
    assert '<input type="hidden" name="exact" value="1">' in plan.text
    whole = shop.post("erase", ticket=shop.ticket(FBP, "fbp"))
    assert "Copies of events 3" in text_of(whole.text)


@pytest.mark.parametrize("action", ["export", "erase"])
def test_a_ticket_is_of_one_account_and_one_search(shop: Shop, action: str) -> None:
    theirs = {"authorization": f"Bearer {shop.others_token}"}
    for ticket, headers in ((shop.ticket(), theirs), ("guessed", None), ("", None)):
        fields = {"ticket": ticket, "confirm": "erase"}
        answer = (
            shop.client.post(f"/persons/{action}", data=fields, headers=headers)
            if headers
            else shop.post(action, **fields)
        )
        assert (410, True) == (answer.status_code, "This search is over" in answer.text)
    assert [] == shop.freshener.erasures.all()


def test_tickets_end_with_their_time_and_are_bounded() -> None:
    now = [0.0]
    tickets = Tickets(lambda: now[0])
    search = Search("act_1", frozenset({"em=x"}))
    first = tickets.issue(search)
    assert search == tickets.search(first, "act_1")
    assert tickets.search(first, "act_2") is None
    now[0] = TICKET_AGE_S
    assert search == tickets.search(first, "act_1")
    now[0] = TICKET_AGE_S + 1
    assert tickets.search(first, "act_1") is None
    issued = [tickets.issue(search) for _ in range(TICKETS_MAX + 1)]
    assert tickets.search(issued[0], "act_1") is None
    assert search == tickets.search(issued[1], "act_1")
    assert len(set(issued)) == len(issued)


# --- who may ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.READ_ONLY, ()),
        (Role.ANALYST, ("find",)),
        (Role.OWNER, ("find", "export", "erase", "apart")),
    ],
)
def test_each_role_may_do_its_part(shop: Shop, role: Role, allowed: tuple[str, ...]) -> None:
    user = shop.user(role)
    headers = {"cookie": user["cookie"]}
    fields = {"ticket": shop.ticket(), "key": "em", "value": EMAIL}
    fields |= {"key_a": "em", "value_a": EMAIL, "key_b": "em", "value_b": OTHER, "reason": "Two."}
    for action in ROUTES:
        answer = shop.client.post(
            f"/persons/{action}", data={**fields, "csrf": user["csrf"]}, headers=headers
        )
        assert (403 != answer.status_code) == (action in allowed), action
        forged = shop.client.post(f"/persons/{action}", data=fields, headers=headers)
        assert 403 == forged.status_code, action
        foreign = shop.client.post(
            f"/persons/{action}",
            data={**fields, "csrf": user["csrf"]},
            headers={**headers, "sec-fetch-site": "cross-site"},
        )
        assert 403 == foreign.status_code, action
        assert 401 == shop.client.post(f"/persons/{action}", data=fields).status_code
    page = shop.client.get("/persons", headers=headers).text
    assert ('action="/persons/find"' in page) == ("find" in allowed)
    assert ('action="/persons/apart"' in page) == ("apart" in allowed)
    forms = page.count('<form method="post"')
    assert (
        forms
        == page.count('type="hidden" name="csrf"')
        == 1 + ("find" in allowed) + ("apart" in allowed)
    )


# --- merges and decisions --------------------------------------------------------------------


def test_merges_are_listed_with_what_their_twins_say(shop: Shop) -> None:
    (row,) = shop.get("/persons.json").json()["merges"]
    text = text_of(shop.get("/persons").text)
    assert f"{row['person_id']} {row['merged_into']} Purchase e90 carries em, fbp" in text
    names, line = shop.get("/persons.csv").text.splitlines()
    assert names.startswith("person_id,merged_into,merged_at,")
    assert line.startswith(f"{row['person_id']},{row['merged_into']},")
    early = shop.get("/persons?until=2026-01-01")
    assert "No persons were merged in these days" in text_of(early.text)
    assert [] == shop.get("/persons.json?until=2026-01-01").json()["merges"]
    refused = shop.get("/persons.json?pixel=1")
    assert 400 == refused.status_code


def test_two_persons_are_kept_apart_and_that_is_taken_back(shop: Shop) -> None:
    fields = {"key_a": "em", "value_a": EMAIL, "key_b": "fbp", "value_b": FBP}
    answer = shop.post("apart", **fields, reason=f"A tablet that {OTHER} shares")
    assert (303, "/persons#decisions") == (answer.status_code, answer.headers["location"])
    shop.freshener.freshen()
    page = shop.get("/persons").text
    assert "stands A tablet that" in text_of(page)
    assert "em, fbp" in text_of(page)
    assert [] == [trace for trace in TRACES if trace in page]
    assert "Kept 1 record, 0 touches with ads, 1 conversion " in text_of(shop.find().text)
    assert "Kept 2 records" in text_of(shop.find(FBP, "fbp").text)
    undone = shop.post("apart", **fields, reason="It was one tablet", undo="1")
    assert 303 == undone.status_code
    shop.freshener.freshen()
    assert "taken back" in text_of(shop.get("/persons").text)
    assert "3 records" in text_of(shop.find().text)
    changes = shop.catalog.changes.newest(shop.account.account_id)
    assert [{"undo": True}, {"undo": False}] == [change.details for change in changes]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"value_b": EMAIL}, "Both are the same em"),
        ({"value_b": OTHER, "reason": " "}, "Say why"),
        ({"value_b": ""}, "An identifier is KEY=VALUE"),
    ],
)
def test_a_decision_that_is_none_says_why(shop: Shop, fields: dict[str, str], said: str) -> None:
    whole = {"key_a": "em", "value_a": EMAIL, "key_b": "em", "reason": "Two sisters", **fields}
    answer = shop.post("apart", **whole)
    assert (400, True) == (answer.status_code, said in text_of(answer.text))
    assert [] == [trace for trace in TRACES if trace in answer.text]


def test_an_account_without_persons_is_told_how_they_become_one(shop: Shop) -> None:
    theirs = {"authorization": f"Bearer {shop.others_token}"}
    text = text_of(shop.client.get("/persons", headers=theirs).text)
    assert "No persons were merged yet" in text
    assert "Nothing was decided" in text
    found = shop.client.post("/persons/find", data={"key": "em", "value": EMAIL}, headers=theirs)
    assert "Nobody has this identifier" in text_of(found.text)


def test_who_sees_several_accounts_says_which(shop: Shop) -> None:
    headers = {"authorization": "Bearer opr_test", "accept": "text/html"}
    account = shop.account.account_id
    unsaid = shop.client.get("/persons", headers=headers)
    assert (400, True) == (unsaid.status_code, "Choose an account" in unsaid.text)
    page = shop.client.get(f"/persons?account={account}", headers=headers).text
    assert f'action="/persons/find?account={account}"' in page
    fields = {"key": "em", "value": EMAIL}
    assert 400 == shop.client.post("/persons/find", data=fields, headers=headers).status_code
    found = shop.client.post(f"/persons/find?account={account}", data=fields, headers=headers)
    assert "3 records" in text_of(found.text)
    assert f'action="/persons/erase?account={account}"' in found.text
    ticket = ticket_in(found.text)
    erased = shop.client.post(
        f"/persons/erase?account={account}",
        data={"ticket": ticket, "step": "confirm", "confirm": "erase"},
        headers=headers,
    )
    assert f"/persons?account={account}#erasures" == erased.headers["location"]
    (change,) = shop.catalog.changes.newest(account)
    assert ("operator", "person.erased") == (change.who, change.what)
