"""Which ad touches and days of ads are accepted, what becomes of them, and what refusals teach."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.accept.ad_touches import TOUCH_USER_KEYS
from doublet.person.identifiers import STRONG_KEYS
from doublet.refusal import Reason, Refusal
from tests.ads.messages import NOW_S, TODAY, ad_day, ad_day_of, touch, touch_of
from tests.collector import Collector, refusal_of
from tests.factories import ACCOUNT, NOON, SECOND, sha256

EMAIL = "planted.mary@private-mail.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    running = Collector(tmp_path_factory.mktemp("collector"))
    yield running
    running.close()


@pytest.fixture
def fresh(server: Collector) -> Collector:
    """The server, with what it stored before left aside."""
    server.new_records()
    return server


# --- touches ---------------------------------------------------------------------------------


def test_a_touch_becomes_a_record() -> None:
    record = touch_of(
        touch_id="t-1",
        campaign_id=77,
        ad_id="a1",
        placement="feed",
        cost=0.250,
        currency="eur",
        user_data={"em": "Mary@Example.com ", "madid": "38400000-8cf0-11bd-b23e-10b96e40000d"},
    )
    assert isinstance(record, dict)
    key = record.pop("touch_key")
    assert -(1 << 63) <= key < 1 << 63
    assert record == {
        "record_type": "ad_touch",
        "account_id": ACCOUNT,
        "source": "server",
        "received_at": NOON,
        "touch_id": "t-1",
        "kind": "click",
        "touched_at": NOON,
        "platform": "taboola",
        "campaign_id": "77",
        "ad_id": "a1",
        "placement": "feed",
        "click_id": "click-1",
        "cost": "0.25",
        "currency": "EUR",
        "user_data": {
            "em": [sha256("mary@example.com")],
            "madid": "38400000-8cf0-11bd-b23e-10b96e40000d",
        },
    }


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"kind": None}, "kind", "view, click, engaged_view, held_out"),
        ({"kind": "impression"}, "kind", "did you mean view?"),
        ({"kind": "clik"}, "kind", "did you mean click?"),
        ({"touched_at": None}, "touched_at", "2026-11-01T10:00:00+01:00"),
        ({"touched_at": NOW_S * 1000}, "touched_at", "not milliseconds"),
        ({"touched_at": NOW_S + 90_000}, "touched_at", "future"),
        ({"touched_at": 5}, "touched_at", "2000"),
        ({"touched_at": "2026-05-28T20:26:40"}, "touched_at", "offset"),
        ({"platform": None}, "platform", "meta, google, tiktok"),
        ({"platform": "What?"}, "platform", "letters, digits"),
        ({"platform": "{source}"}, "platform", "placeholder {source}"),
        ({"click_id": "{clickid}"}, "click_id", "placeholder {clickid}"),
        ({"click_id": "__CLICKID__"}, "click_id", "placeholder __CLICKID__"),
        ({"ad_id": "{{ad.id}}"}, "ad_id", "placeholder {{ad.id}}"),
        ({"campaign_id": "%%CAMPAIGN_ID%%"}, "campaign_id", "placeholder %%CAMPAIGN_ID%%"),
        ({"touch_id": "v-${CLICK}"}, "touch_id", "placeholder ${CLICK}"),
        ({"placement": "[SITE]"}, "placement", "placeholder [SITE]"),
        ({"click_id": None}, "user_data", "names nobody"),
        ({"click_id": None, "user_data": {"em": "nobody"}}, "user_data", "names nobody"),
        ({"user_data": {"fn": "Mary"}}, "user_data", "user_data.fn identifies no person"),
        ({"user_data": {"client_user_agent": "x"}}, "user_data", "fbp"),
        ({"user_data": {EMAIL: 1}}, "user_data", "unknown key"),
        ({"kind": "held_out"}, "experiment", "name of the holdout"),
        ({"cost": -1, "currency": "EUR"}, "cost", "below zero"),
        ({"cost": "1,5", "currency": "EUR"}, "cost", "with a point"),
        ({"cost": 1}, "currency", "EUR"),
        ({"currency": "EURO"}, "currency", "three-letter"),
        ({"click_id": "x" * 2000}, "click_id", "1024"),
    ],
)
def test_a_touch_that_is_wrong_is_refused_with_what_to_do(
    fields: dict[str, Any], field: str, words: str
) -> None:
    refusal = touch_of(**fields)
    assert isinstance(refusal, Refusal)
    assert (Reason.INVALID_AD_TOUCH, field) == (refusal.reason, refusal.field)
    assert words in refusal.message
    assert EMAIL not in refusal.message


@pytest.mark.parametrize(
    ("given", "stored"),
    [("Facebook", "meta"), ("Google Ads", "google"), (" taboola ", "taboola"), ("IG", "meta")],
)
def test_one_platform_has_one_name(given: str, stored: str) -> None:
    assert stored == touch_of(platform=given)["platform"]  # type: ignore[index]


def test_a_clock_that_is_a_little_fast_is_flagged() -> None:
    assert "flags" not in touch_of(touched_at=NOW_S + 300)  # type: ignore[operator]
    flagged = touch_of(touched_at=NOW_S + 301)
    assert ["touched_at_in_future"] == flagged["flags"]  # type: ignore[index]


def test_a_touch_is_taken_however_old_it_is() -> None:
    assert NOON - 40 * 86_400 * SECOND == touch_of(touched_at=NOW_S - 40 * 86_400)["touched_at"]  # type: ignore[index]


def test_a_touch_without_an_id_is_named_by_what_it_says() -> None:
    def named(**fields: Any) -> tuple[str, int]:
        record = touch_of(click_id=None, kind="view", **fields)
        return record["touch_id"], record["touch_key"]  # type: ignore[index]

    mary, hashed = {"em": "mary@example.com"}, {"em": [sha256("mary@example.com")]}
    assert named(user_data=mary) == named(user_data=hashed)
    others: list[dict[str, Any]] = [
        {"user_data": mary},
        {"user_data": {"em": "john@example.com"}},
        {"user_data": mary, "touched_at": NOW_S - 1},
        {"user_data": mary, "ad_id": "a2"},
        {"user_data": mary, "campaign_id": "a2"},
        {"user_data": mary, "platform": "meta"},
    ]
    assert len(others) == len({named(**fields) for fields in others})


def test_a_click_is_named_by_its_click_id() -> None:
    first, again = touch_of(), touch_of(touched_at=NOW_S + 1, cost=1, currency="EUR")
    assert first["touch_key"] == again["touch_key"]  # type: ignore[index]
    assert first["touch_key"] != touch_of(click_id="click-2")["touch_key"]  # type: ignore[index]


def test_a_view_and_its_click_may_share_an_id() -> None:
    keys = {
        touch_of(touch_id="1", kind=kind, platform=platform)["touch_key"]  # type: ignore[index]
        for kind in ("view", "click")
        for platform in ("meta", "taboola")
    }
    assert 4 == len(keys)


def test_what_identifies_a_person_is_what_persons_are_found_by() -> None:
    assert set(STRONG_KEYS) == set(TOUCH_USER_KEYS)


# --- days ------------------------------------------------------------------------------------


def test_a_day_becomes_a_record() -> None:
    reported = {
        "purchase": {"value": {"count": 12, "value": 118.50}, "1d_view": {"count": "2"}},
        "lead": {"7d_click": {}},
    }
    record = ad_day_of(reported=reported, time_zone="Europe/Berlin", reach="900")
    assert record == {
        "record_type": "ad_day",
        "account_id": ACCOUNT,
        "source": "server",
        "received_at": NOON,
        "platform": "meta",
        "level": "ad",
        "date": TODAY,
        "campaign_id": "c1",
        "campaign_name": "Spring",
        "adset_id": "s1",
        "adset_name": "Berlin",
        "ad_id": "a1",
        "ad_name": "Red shoe",
        "impressions": 1000,
        "clicks": 20,
        "reach": 900,
        "spend": "12.5",
        "currency": "EUR",
        "reported": {
            "purchase": {"value": {"count": "12", "value": "118.5"}, "1d_view": {"count": "2"}}
        },
        "time_zone": "Europe/Berlin",
    }


_NO_FIGURES = {"date": None, "impressions": None, "clicks": None, "spend": None}
_NOTHING = {**_NO_FIGURES, "campaign_name": None, "adset_name": None, "ad_name": None}


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"platform": None}, "platform", "meta, google"),
        ({"campaign_id": None, "adset_id": None, "ad_id": None}, "ad_id", "of nothing"),
        ({"level": "account"}, "level", "campaign, adset, ad"),
        ({"level": "adset"}, "level", "names ad_id"),
        ({"level": "ad", "ad_id": None}, "ad_id", "needs ad_id"),
        ({"ad_id": "{{ad.id}}"}, "ad_id", "placeholder {{ad.id}}"),
        ({"ad_id": "9.8E+15"}, "ad_id", "as text"),
        ({"date": None}, "date", "date is missing"),
        (
            {**_NO_FIGURES, **dict.fromkeys(("campaign_name", "adset_name", "ad_name"))},
            "date",
            "says nothing",
        ),
        (
            {**_NOTHING, "date": "2026-05-01", "reach": None, "reported": None},
            "date",
            "says nothing",
        ),
        ({"date": "28.05.2026"}, "date", "2026-11-01"),
        ({"date": "2026-02-30"}, "date", "no day"),
        ({"date": "2026-05-30"}, "date", "future"),
        ({"date": "1999-12-31"}, "date", "2000"),
        ({"impressions": -1}, "impressions", "whole number"),
        ({"clicks": 1.5}, "clicks", "whole number"),
        ({"reach": "many"}, "reach", "plain number"),
        ({"spend": -1}, "spend", "below zero"),
        ({"spend": "1,5"}, "spend", "with a point"),
        ({"currency": None}, "currency", "EUR"),
        ({"time_zone": "Berlin"}, "time_zone", "Europe/Berlin"),
        ({"reported": {"pur chase": {"value": {"count": 1}}}}, "reported", "7d_click"),
        ({"reported": {"purchase": {"7d click": {"count": 1}}}}, "reported", "7d_click"),
        ({"reported": {"purchase": {"value": {"count": "x"}}}}, "reported", "plain number"),
        (
            {"reported": {f"a{n}": {"value": {"count": 1}} for n in range(3000)}},
            "reported",
            "larger than 65536",
        ),
    ],
)
def test_a_day_that_is_wrong_is_refused_with_what_to_do(
    fields: dict[str, Any], field: str, words: str
) -> None:
    refusal = ad_day_of(**fields)
    assert isinstance(refusal, Refusal)
    assert (Reason.INVALID_AD_DAY, field) == (refusal.reason, refusal.field)
    assert words in refusal.message


def test_the_level_is_that_of_the_finest_id() -> None:
    levels = [
        ad_day_of(**dict.fromkeys(without))["level"]  # type: ignore[index]
        for without in ([], ["ad_id"], ["ad_id", "adset_id"])
    ]
    assert ["ad", "adset", "campaign"] == levels


def test_names_alone_need_no_day() -> None:
    record = ad_day_of(**_NO_FIGURES)
    assert "date" not in record  # type: ignore[operator]
    assert "Red shoe" == record["ad_name"]  # type: ignore[index]


def test_a_name_is_one_line_without_addresses() -> None:
    record = ad_day_of(campaign_name=f"Spring\n{EMAIL} ")
    assert "planted" not in record["campaign_name"]  # type: ignore[index]
    assert record["campaign_name"].startswith("Spring ")  # type: ignore[index]


# --- over HTTP -------------------------------------------------------------------------------


def _post(server: Collector, path: str, body: Any, token: str | None = None) -> Any:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    headers = {"authorization": f"Bearer {server.token if token is None else token}"}
    return server.client.post(path, content=content, headers=headers)


def test_an_ad_server_tells_its_touches_over_http(fresh: Collector) -> None:
    now = time.time()
    touches = [
        touch(touched_at=now, kind="view", user_data={"em": EMAIL}, click_id=None),
        touch(touched_at=now),
    ]
    answer = _post(fresh, "/v1/ad_touches", {"data": touches})
    assert (200, 2) == (answer.status_code, answer.json()["ad_touches_received"])
    # What is answered is on the disk.
    found = [(r["record_type"], r["account_id"], r["kind"]) for r in fresh.new_records()]
    assert found == [("ad_touch", fresh.account, "view"), ("ad_touch", fresh.account, "click")]
    stored = b"".join(p.read_bytes() for p in Path(fresh.settings.data).rglob("*") if p.is_file())
    assert sha256(EMAIL).encode() in stored
    assert b"planted" not in stored


def test_days_of_ads_come_over_http(fresh: Collector) -> None:
    today = time.strftime("%Y-%m-%d", time.gmtime())
    answer = _post(
        fresh, "/v1/ad_days", {"data": [ad_day(date=today), ad_day(date=today, ad_id=5)]}
    )
    assert (200, 2) == (answer.status_code, answer.json()["ad_days_received"])
    found = [(r["record_type"], r["account_id"], r["ad_id"]) for r in fresh.new_records()]
    assert found == [("ad_day", fresh.account, "a1"), ("ad_day", fresh.account, "5")]


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/v1/ad_touches", b"{", "malformed_body"),
        ("/v1/ad_touches", {"data": []}, "no_events"),
        ("/v1/ad_touches", {"data": [{}] * 1001}, "too_many_events"),
        ("/v1/ad_touches", {"data": [touch(), touch(kind="gone")]}, "invalid_ad_touch"),
        ("/v1/ad_touches", {"data": [touch(email=EMAIL)]}, "invalid_ad_touch"),
        ("/v1/ad_days", {"data": []}, "no_events"),
        ("/v1/ad_days", {"data": [ad_day(), ad_day(spend=-1)]}, "invalid_ad_day"),
        ("/v1/ad_days", {"data": "x"}, "invalid_ad_day"),
    ],
)
def test_one_bad_message_refuses_its_request_and_is_kept(
    fresh: Collector, path: str, body: Any, reason: str
) -> None:
    answer = _post(fresh, path, body)
    assert reason == refusal_of(answer)
    record = fresh.new_record()
    assert ("refused", reason, fresh.account) == tuple(
        record[name] for name in ("record_type", "reason", "account_id")
    )


def test_what_is_refused_keeps_nothing_of_a_person(fresh: Collector) -> None:
    person = {"user_data": {"em": EMAIL, "fn": "Plantedfirstname"}, "click_id": "Plantedclick"}
    odd = dict.fromkeys(("kind", "platform", "cost", "currency", "touched_at"), "Planted name")
    bodies = {
        "/v1/ad_touches": [touch(**person), touch(**odd), touch(**{EMAIL: 1}, placement=EMAIL)],
        "/v1/ad_days": [ad_day(**{EMAIL: 1}), ad_day(spend="Planted", date="Planted", level=EMAIL)],
    }
    for path, messages in bodies.items():
        for message in messages:
            answer = _post(fresh, path, {"data": [message]})
            assert 400 == answer.status_code
            assert "lanted" not in answer.text
    stored = b"".join(p.read_bytes() for p in Path(fresh.settings.data).rglob("*") if p.is_file())
    assert b"invalid_ad_touch" in stored
    assert b"lanted" not in stored


def test_touches_and_days_need_a_token_and_a_post(fresh: Collector) -> None:
    for path in ("/v1/ad_touches", "/v1/ad_days"):
        assert 401 == _post(fresh, path, {"data": [touch()]}, token="dbl_wrong").status_code
        assert [""] == [record["account_id"] for record in fresh.new_records()]
        assert "method_not_allowed" == refusal_of(fresh.client.get(path))
