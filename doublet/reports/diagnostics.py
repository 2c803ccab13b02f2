"""Diagnostics: faults of what arrives, by Meta's names, with the share of events they touch.

`DIAGNOSTICS` is the closed list; `diagnostics.sql` holds the same conditions for the engine.
"""

# ruff: noqa: E501

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Literal, NamedTuple

import msgspec

from doublet.accept import MARKS
from doublet.catalog import Account
from doublet.engine import Engine
from doublet.event import STANDARD_EVENTS
from doublet.normalize import DUDS
from doublet.reports import report_sql
from doublet.reports.quality import COVERAGE_GOAL_SHARE, QualityRow, filters, judged_rows

HOT_EVENTS_MIN = 50
HOT_SHARE_MIN = 0.1
OVERLAP_SHARE_MIN = 0.5


class Diagnostic(NamedTuple):
    """One fault: Meta's key for it, what it is called, when it holds of an event (of what the
    server sent itself, where it did), how to mend it, how bad it is, and the events that its share is of."""

    key: str
    title: str
    condition: str
    fix: str
    severity: Literal["high", "medium", "low"]
    of: Literal["events", "browser_events", "server_events", "both", "judged"]


class DiagnosticRow(msgspec.Struct):
    """One fault of one event name: `affected` of `total` events, share 0–1, when such events were
    first and last received, at most two of their event ids, and what to do. `total` counts the
    events that the fault can be found on: all, those of the browser, those of the server, of
    both, or of the server with action_source website."""

    diagnostic: str
    title: str
    severity: str
    event_name: str
    affected: int
    total: int
    share: float
    first_seen_at: datetime
    last_seen_at: datetime
    examples: list[str]
    fix: str


_HOT = f"One value on at least {HOT_EVENTS_MIN} events and {HOT_SHARE_MIN:.0%} of those with one."
_FBC = "Send the cookie _fbc as it is: fb.1.<milliseconds of the click>.<fbclid>, case kept."

# One fault a line reads as the table that it is.
# fmt: off
# Keys: facebook_business, AdsSignalDiagnosticIssue. Only the names are public; the conditions are
# Doublet's reading of them and of Meta's help pages.
DIAGNOSTICS: tuple[Diagnostic, ...] = (
    Diagnostic("s2s_missing_currency_for_value_or_item_price", "Value without currency", "A value came without a currency.", "Send custom_data.currency (ISO 4217) beside every value.", "high", "events"),
    Diagnostic("s2s_missing_value_for_currency", "Currency without value", "A currency came without a value.", "Send custom_data.value beside the currency.", "medium", "events"),
    Diagnostic("pixel_missing_value_parameter", "Browser Purchase without value", "A Purchase of the browser came without a value.", "Give fbq('track', 'Purchase', …) a value and a currency.", "high", "browser_events"),
    Diagnostic("pixel_missing_currency_parameter", "Browser Purchase without currency", "A Purchase of the browser came without a currency.", "Give fbq('track', 'Purchase', …) a value and a currency.", "high", "browser_events"),
    Diagnostic("pixel_invalid_value_parameter", "Invalid value", "The value is no plain number.", "Send 1234.50: no symbol, no thousands separator.", "high", "events"),
    Diagnostic("pixel_invalid_currency", "Invalid currency", "The currency is no code of ISO 4217.", "Send ISO 4217, e.g. EUR.", "high", "events"),
    Diagnostic("pixel_mismatched_value_currency_parameter", "Copies disagree on the money", "Copies of one event give different values or currencies.", "Take value and currency of browser and server from the same order total.", "high", "events"),
    Diagnostic("website_event_session_multiple_purchase_events_fire", "Several purchases in a session", "A Purchase of the same fbp up to 30 minutes after another.", "Report a purchase once per order, not on each view of the thank-you page; send one event_id.", "medium", "events"),
    Diagnostic("s2s_dedupe_key_low_coverage", "Server event without event id", "A copy of the server has no event_id (offline events need none).", "Send the event_id that the browser used.", "high", "server_events"),
    Diagnostic("s2s_dedupe_key_low_overlap", "Event ids that the two sides do not share", f"A server event with an event_id that the browser never sent; where both sides sent at least {HOT_EVENTS_MIN} events and share fewer than half.", "Make one id per event and give it to both: eventID in fbq, event_id at the server. As it is, events count twice.", "high", "server_events"),
    Diagnostic("s2s_event_id_in_custom_data", "Event id in custom_data", "custom_data holds event_id.", "Move event_id to the event itself.", "high", "server_events"),
    Diagnostic("s2s_extern_id_in_custom_data", "External id in custom_data", "custom_data holds external_id.", "Move external_id to user_data.", "medium", "server_events"),
    Diagnostic("s2s_low_event_coverage", "Browser event that the server did not send", "The browser sent it, the server did not; where that is more than a quarter.", "Send every event from the server too, with the same event_id; Meta's goal is 75 % of them.", "medium", "browser_events"),
    Diagnostic("s2s_missing_pii_or_external_id", "No customer information", "em, ph and external_id were not sent.", "Send the hashed e-mail address, phone number or customer id.", "medium", "judged"),
    Diagnostic("s2s_missing_ip", "No IP address", "client_ip_address was not sent.", "Send the visitor's address.", "medium", "judged"),
    Diagnostic("s2s_missing_ua", "No user agent", "client_user_agent was not sent.", "Send the header User-Agent of the visitor.", "medium", "judged"),
    Diagnostic("s2s_invalid_ip_address", "Invalid IP address", "client_ip_address is no address.", "Send one IPv4 or IPv6 address as text.", "medium", "events"),
    Diagnostic("s2s_private_ip_address", "Private IP address", "client_ip_address is of a private network.", "Read the visitor's address from the proxy's header.", "high", "server_events"),
    Diagnostic("capi_ip_address_ip_v4", "IPv4 beside the browser's IPv6", "The server sent an IPv4 address, the browser's connection was IPv6.", "Take the visitor's address from the request that shows the page, and serve pages over IPv6 wherever the pixel's address is.", "medium", "both"),
    Diagnostic("capi_ip_address_ip_value_mismatch", "Another IP address than the browser's", "The server and the browser's connection have different addresses of one kind.", "Send the visitor's address as the proxy's header names it, not the proxy's own.", "medium", "both"),
    Diagnostic("capi_ip_address_hot_ip", "Hot IP address", _HOT, "Probably the server's own address: send the visitor's.", "high", "events"),
    Diagnostic("capi_pii_email_hot_email_fake", "Dud e-mail address", "em is the hash of nothing or of a stand-in (null, test@test.com, …).", "Leave em out when the address is not known.", "high", "events"),
    Diagnostic("capi_pii_phone_hot_phone_fake", "Dud phone number", "ph is the hash of nothing or of a stand-in (null, 0000000000, …).", "Leave ph out when the number is not known.", "high", "events"),
    Diagnostic("capi_pii_email_hot_email", "Hot e-mail address", _HOT, "Send the customer's address, not the shop's.", "high", "events"),
    Diagnostic("capi_pii_phone_hot_phone", "Hot phone number", _HOT, "Send the customer's number, not the shop's.", "high", "events"),
    Diagnostic("capi_pii_email_invalid_email", "Invalid e-mail address", "em is neither an address nor its SHA-256.", "Trim, lower the case, hash once.", "medium", "events"),
    Diagnostic("capi_pii_phone_invalid_phone", "Invalid phone number", "ph is neither a number nor its SHA-256.", "Digits with the country code, hashed once.", "medium", "events"),
    Diagnostic("s2s_invalid_fbp_cookie", "Invalid fbp", "fbp is not fb.1.<ms>.<number>.", "Send the cookie _fbp as it is.", "medium", "events"),
    Diagnostic("capi_fbc_invalid_click_id", "Invalid fbc", "fbc has not the form of a click id.", _FBC, "high", "events"),
    Diagnostic("capi_fbc_invalid_creation_time", "Impossible time in fbc", "The time in fbc is not in milliseconds, or more than 5 minutes after the event.", _FBC, "medium", "events"),
    Diagnostic("capi_fbc_coverage_issue", "Click id that only the browser sent", "The browser's copy has fbc, the server's has none.", "Send the cookie _fbc with the server's event too.", "medium", "both"),
    Diagnostic("s2s_inconsistent_click_id", "Another click than the browser's", "The server's fbc differs from the browser's.", _FBC, "medium", "both"),
    Diagnostic("capi_fbc_expired_click_id", "Expired click", "The click of fbc is more than 90 days before the event.", "Let _fbc expire after 90 days.", "low", "events"),
    Diagnostic("s2s_missing_action_source", "No action_source", "action_source is missing.", "Send action_source, e.g. website.", "medium", "events"),
    Diagnostic("s2s_invalid_action_source", "Unknown action_source", "action_source is none of Meta's.", "Send one of Meta's values, e.g. website.", "medium", "events"),
    Diagnostic("s2s_missing_event_source_url", "No page address", "A website event without event_source_url.", "Send the address of the page.", "medium", "events"),
    Diagnostic("s2s_event_time_in_future", "Event from the future", "event_time is more than 5 minutes after receipt.", "Set the clock; send Unix seconds in UTC.", "medium", "events"),
    Diagnostic("s2s_delay_greater_than_twenty_four_hours", "Later than a day", "The server's first copy came more than 24 hours after event_time.", "Send events as they happen.", "high", "server_events"),
    Diagnostic("pixel_unconfirmed_purchase", "Purchase that nothing confirms", "Only the browser reported it, and no message of the shop tells of its order; anybody can call /tr. Looked for where the server sends purchases or the shop messages about orders.", "Send every purchase from the server too; mark foreign traffic by the pixel's rules.", "medium", "browser_events"),
    Diagnostic("pixel_almost_standard_event", "Almost a standard event", "The event name is a standard one but for case, spaces, hyphens or underscores.", "Write the name exactly: AddToCart, not Add To Cart or addtocart. Under another name it is a custom event.", "high", "events"),
    Diagnostic("s2s_delay_greater_than_two_hours", "Later than two hours", "The server's first copy came 2 to 24 hours after event_time.", "Send events as they happen.", "medium", "server_events"),
)
# fmt: on
_STANDARD_LETTERS = frozenset(name.lower() for name in STANDARD_EVENTS)
_BY_KEY = {diagnostic.key: diagnostic for diagnostic in DIAGNOSTICS}


def is_almost_standard(event_name: str) -> bool:
    """Whether a name means a standard event and is not written like it.

    >>> [is_almost_standard(name) for name in ("Add To Cart", "purchase", "Purchase", "Purchased")]
    [True, True, False, False]
    """
    letters = re.sub(r"[\s_-]", "", event_name).lower()
    return letters in _STANDARD_LETTERS and event_name not in STANDARD_EVENTS


def diagnostics(
    engine: Engine,
    account: Account,
    *,
    since: date,
    until: date,
    pixel_id: str | None = None,
    event_name: str | None = None,
) -> list[DiagnosticRow]:
    """What was found from one day to another, both of the account's time zone and by event_time;
    what touches the largest share first. Empty when nothing is wrong."""
    asked = filters(account, since, until, pixel_id, event_name)
    totals = {row.event_name: row for row in judged_rows(engine, account, asked)}
    if not totals:
        return []
    more = {
        "paths": _paths(engine, since, until),
        "duds": sorted(DUDS),
        "marks": list(MARKS),
        "hot_events_min": HOT_EVENTS_MIN,
        "hot_share_min": HOT_SHARE_MIN,
        "almost_standard": [name for name in totals if is_almost_standard(name)],
    }
    if not more["paths"]:
        return []  # Nothing of these days has been received: there is no file to be read.
    found = engine.query(report_sql("diagnostics"), {**asked, **more})
    rows = []
    for row in found:
        known = _BY_KEY[row["diagnostic"]]
        if row["event_name"] not in totals:
            continue  # It arrived between the two questions, and is in the next answer.
        if not _is_fault(known.key, totals[row["event_name"]]):
            continue
        total = max(row["affected"], getattr(totals[row["event_name"]], known.of))
        ids = {row["example"], row["other_example"]} - {None}
        rows.append(
            DiagnosticRow(
                known.key,
                known.title,
                known.severity,
                row["event_name"],
                row["affected"],
                total,
                round(row["affected"] / total, 6),
                row["first_seen_at"],
                row["last_seen_at"],
                sorted(ids),
                known.fix,
            )
        )
    return sorted(rows, key=lambda row: (-row.share, row.diagnostic, row.event_name))


def _paths(engine: Engine, since: date, until: date) -> list[str]:
    """The lake's files that may hold copies of events of these days: they come at most a day
    before their event_time and, of stores, 62 after it (Meta, *Offline events*); a day more on
    either side, since the account's days are not those of UTC."""
    first = date.fromordinal(max(1, since.toordinal() - 2)).isoformat()
    last = date.fromordinal(min(date.max.toordinal(), until.toordinal() + 63)).isoformat()
    rows = engine.query("select path from lake_files where path like '%/events/received_date=%'")
    received = {row["path"]: row["path"].rpartition("received_date=")[2][:10] for row in rows}
    return [path for path, day in received.items() if first <= day <= last]


def _is_fault(key: str, row: QualityRow) -> bool:
    """Whether there is so much of it that something is wrong: that a side misses some is usual."""
    if key == "s2s_low_event_coverage":
        return (row.event_coverage_share or 0) < COVERAGE_GOAL_SHARE
    if key == "s2s_dedupe_key_low_overlap":
        fewer = min(row.browser_events, row.server_events)
        return fewer >= HOT_EVENTS_MIN and row.both < OVERLAP_SHARE_MIN * fewer
    return True
