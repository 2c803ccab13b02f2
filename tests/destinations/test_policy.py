"""What goes to a destination: gates, enrichment, value rules, new names."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from doublet.catalog import Destination, DestinationRules
from doublet.destinations.contract import Kind
from doublet.destinations.meta import KIND
from doublet.destinations.policy import BROWSERS_MAX, Kept, Planned, Seen, Stored, plan

NOW = 1_790_000_000
HOUR = 3600
DAY = 24 * HOUR
UNLIMITED = KIND._replace(tells_limits=False)


def _stored(**fields: Any) -> Stored:
    return msgspec.convert(
        {
            "account_id": "act_1",
            "pixel_id": "1",
            "event_name": "Purchase",
            "event_time": NOW - 60,
            "event_id": "e1",
            "action_source": "website",
            "value": "119",
            "currency": "EUR",
            "browser_copies": 1,
            "log_slot": 3,
            "log_offset": 44,
            "first_received_at": NOW * 1_000_000,
            **fields,
        },
        Stored,
    )


def _plan(
    stored: Stored, kind: Kind = KIND, seen: dict[str, Seen] | None = None, **rules: Any
) -> Planned | Kept:
    destination = Destination(
        *("dst_1", "act_1", "meta", "Meta", 0, False, {"pixel_id": "12345"}, "token"),
        DestinationRules(**rules),
    )
    return plan(stored, destination, kind, NOW, (seen or {}).get)


def _planned(stored: Stored, kind: Kind = KIND, **more: Any) -> Planned:
    made = _plan(stored, kind, **more)
    assert isinstance(made, Planned), made
    return made


def _reason(stored: Stored, kind: Kind = KIND, **more: Any) -> tuple[bool, str]:
    made = _plan(stored, kind, **more)
    assert isinstance(made, Kept), made
    return made.is_failure, made.reason


def _seen(consent: dict[str, Any] | None = None, **more: Any) -> Seen:
    facts = more.pop("facts", {})
    fields = {"event_time": NOW - HOUR, "event_name": "AddToCart", "browsers": 1, **more}
    return Seen(facts=facts, consent=consent, consent_at=NOW - HOUR if consent else None, **fields)


# --- the two modes ----------------------------------------------------------------------------


def test_alone_every_event_goes_also_without_an_id() -> None:
    assert "e1" == _planned(_stored()).event.event_id
    # The same at each attempt, and no other event's.
    assert "doublet-3-44" == _planned(_stored(event_id=None)).event.event_id
    assert _planned(_stored(event_time=NOW - 3 * DAY))


def test_beside_the_platforms_own_pixel_only_what_it_can_deduplicate_goes() -> None:
    assert "e1" == _planned(_stored(), mode="beside").event.event_id
    assert (False, "no_event_id") == _reason(_stored(event_id=None), mode="beside")
    late = _stored(event_time=NOW - 48 * HOUR - 1)
    assert (False, "beyond_48_h") == _reason(late, mode="beside")
    by_server = _stored(event_time=NOW - 49 * HOUR, browser_copies=0, server_copies=1)
    assert (False, "beyond_48_h") == _reason(by_server, mode="beside")
    of_no_source = msgspec.structs.replace(by_server, action_source=None)
    assert (False, "beyond_48_h") == _reason(of_no_source, mode="beside")


def test_what_no_pixel_can_have_reported_goes_in_either_mode() -> None:
    crm = _stored(
        event_id=None,
        event_time=NOW - 3 * DAY,
        action_source="system_generated",
        browser_copies=0,
        server_copies=1,
    )
    assert _planned(crm, mode="beside")


def test_an_event_beyond_the_platforms_age_limit_is_a_dead_letter() -> None:
    assert (True, "too_old") == _reason(_stored(event_time=NOW - 7 * DAY - 1))
    assert _planned(_stored(event_time=NOW - 7 * DAY + 1))
    in_store = {"action_source": "physical_store", "browser_copies": 0}
    assert _planned(_stored(event_time=NOW - 61 * DAY, **in_store))
    assert (True, "too_old") == _reason(_stored(event_time=NOW - 63 * DAY, **in_store))


# --- consent and limited use ------------------------------------------------------------------

GRANTED = {"ad_storage": "granted", "ad_user_data": "granted"}
DENIED = {"ad_storage": "granted", "ad_user_data": "denied"}


@pytest.mark.parametrize(
    ("rule", "consent", "reason"),
    [
        ("not_denied", None, ""),
        ("not_denied", GRANTED, ""),
        ("not_denied", DENIED, "consent_denied"),
        ("not_denied", {"analytics_storage": "denied"}, ""),
        ("granted", None, "consent_missing"),
        ("granted", {"ad_storage": "granted"}, "consent_missing"),
        ("granted", GRANTED, ""),
        ("granted", DENIED, "consent_denied"),
        ("ignored", DENIED, ""),
    ],
)
def test_consent_opens_or_shuts_the_gate(
    rule: str, consent: dict[str, str] | None, reason: str
) -> None:
    made = _plan(_stored(consent=consent), consent=rule)
    assert reason == (made.reason if isinstance(made, Kept) else "")


def test_a_servers_event_has_its_persons_word() -> None:
    server = _stored(
        browser_copies=0,
        server_copies=1,
        user_data={"em": ["a" * 64], "fbp": "fb.1.1.1", "client_ip_address": None},
    )
    seen = {f"em={'a' * 64}": _seen(GRANTED), "fbp=fb.1.1.1": _seen(DENIED)}
    seen["fbp=fb.1.1.1"] = seen["fbp=fb.1.1.1"]._replace(consent_at=NOW)
    assert (False, "consent_denied") == _reason(server, seen=seen)
    del seen["fbp=fb.1.1.1"]
    made = _planned(server, seen=seen, consent="granted")
    assert "person" == made.consent_of
    shared = {f"em={'a' * 64}": _seen(GRANTED, browsers=BROWSERS_MAX + 1)}
    assert (False, "consent_missing") == _reason(server, seen=shared, consent="granted")
    # The event's own word stands above its person's.
    own = msgspec.structs.replace(server, consent=DENIED)
    assert (False, "consent_denied") == _reason(own, seen=seen)


def test_the_platform_can_be_told_whose_word_counted() -> None:
    # The server's copy stands, with an `extra` of its own.
    joined = _stored(consent=GRANTED, extra={"referrer_url": "https://a.example/"})
    assert {"referrer_url": "https://a.example/", "consent": GRANTED} == _planned(
        joined
    ).event.extra
    server = _stored(
        browser_copies=0, server_copies=1, user_data={"em": ["a" * 64]}, extra={"consent": {}}
    )
    of_person = _planned(server, seen={f"em={'a' * 64}": _seen(GRANTED)})
    assert {"consent": GRANTED} == of_person.event.extra


def test_limited_use_is_told_or_keeps_the_event_back() -> None:
    limited = _stored(flags=["limited_data_use"])
    by_browser = _stored(consent={**GRANTED, "gpc": True})
    # A signal alone names no purpose: the tables take it for no word on consent.
    of_nothing_else = _stored(extra={"consent": {"gpc": True}})
    for stored in (limited, by_browser, of_nothing_else):
        assert _planned(stored).event.is_limited
        assert (False, "limited") == _reason(stored, limited="withhold")
        assert (False, "limited") == _reason(stored, UNLIMITED)
    assert not _planned(_stored(flags=["missing_ts"])).event.is_limited


# --- enrichment -------------------------------------------------------------------------------

FACTS = {
    "fbc": "fb.1.1.click",
    "fbp": "fb.1.1.browser",
    "client_ip_address": "192.0.2.7",
    "client_user_agent": "Firefox",
    "external_id": ["b" * 64],
}


def test_what_a_servers_event_lacks_comes_from_the_same_order_then_lead_then_person() -> None:
    server = _stored(
        order_id="77",
        browser_copies=0,
        server_copies=1,
        user_data={"lead_id": "123", "em": ["a" * 64], "fbp": "fb.1.1.own"},
    )
    seen = {
        "order_id=77": _seen(facts={"fbc": "fb.1.1.order"}, event_name="Purchase"),
        "lead_id=123": _seen(facts={"fbc": "x", "client_ip_address": "192.0.2.8"}),
        f"em={'a' * 64}": _seen(facts=FACTS),
    }
    made = _planned(server, seen=seen)
    assert {
        "lead_id": "123",
        "em": ["a" * 64],
        "fbp": "fb.1.1.own",
        "fbc": "fb.1.1.order",
        "client_ip_address": "192.0.2.8",
        "client_user_agent": "Firefox",
        "external_id": ["b" * 64],
    } == made.event.user_data
    assert {
        "fbc": ("order_id", "Purchase"),
        "client_ip_address": ("lead_id", "AddToCart"),
        "client_user_agent": ("em", "AddToCart"),
        "external_id": ("em", "AddToCart"),
    } == {key: (origin.of, origin.event_name) for key, origin in made.filled.items()}


def test_a_browsers_event_is_not_filled_from_others() -> None:
    stored = _stored(order_id="77", user_data={"fbp": "fb.1.1.own"})
    assert {} == _planned(stored, seen={"order_id=77": _seen(facts=FACTS)}).filled


def test_an_old_address_or_what_many_share_is_nobodys() -> None:
    server = _stored(order_id="77", browser_copies=0, server_copies=1)
    old = {"order_id=77": _seen(facts=FACTS, event_time=NOW - 8 * DAY)}
    assert {"fbc", "fbp", "external_id"} == _planned(server, seen=old).filled.keys()
    shared = {"order_id=77": _seen(facts=FACTS, browsers=BROWSERS_MAX + 1)}
    assert {} == _planned(server, seen=shared).filled


# --- values and names -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "value"),
    [
        ({}, "119"),
        ({"value_minus": ["tax"]}, "100.0000"),
        ({"value_minus": ["tax", "shipping", "absent"]}, "95.1000"),
        ({"value_from": "profit"}, "31.5000"),
        ({"value_times": 0.3}, "35.7000"),
        ({"value_from": "profit", "value_minus": ["shipping"], "value_times": 2.0}, "53.2000"),
    ],
)
def test_the_value_sent_follows_the_rules(rules: dict[str, Any], value: str) -> None:
    stored = _stored(custom_data={"tax": 19, "shipping": "4.90", "profit": 31.5})
    assert value == _planned(stored, **rules).event.value


def test_without_the_field_that_is_to_be_sent_the_event_is_a_dead_letter() -> None:
    assert (True, "value_missing") == _reason(_stored(), value_from="profit")
    assert _planned(_stored(value=None), value_from="profit").event.value is None


def test_an_event_gets_its_new_name() -> None:
    assert "Order" == _planned(_stored(), rename={"Purchase": "Order"}).event.event_name
