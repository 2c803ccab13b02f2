"""Every address and method that programs may use, one entry each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from doublet.accept.postbacks import POSTBACK_PARAMETERS
from doublet.alerts.book import Alert
from doublet.collect.scripts import MatchingSettings
from doublet.collect.shops import Visitor
from doublet.destinations.status import DestinationStatus
from doublet.event import AdDaysRequest, LeadsRequest, OrdersRequest, TouchesRequest
from doublet.explain import Story
from doublet.guide.guide import Progress
from doublet.health import Health
from doublet.lift.report import LiftReport
from doublet.openapi.answers import (
    AdDaysReceived,
    BatchPart,
    Checked,
    EventsBody,
    LeadsReceived,
    OrdersReceived,
    Page,
    PostbackReceived,
    Received,
    TouchesReceived,
)
from doublet.openapi.attribution import ATTRIBUTION
from doublet.openapi.audiences import AUDIENCES
from doublet.openapi.custom_audiences import CUSTOM_AUDIENCES
from doublet.openapi.delivery import AD_OBJECTS, DELIVERY
from doublet.openapi.insights import INSIGHTS
from doublet.openapi.operation import CSV, JSON, SVG, Operation
from doublet.openapi.parameters import TEXT
from doublet.openapi.people import PEOPLE
from doublet.products.match import Match
from doublet.reconcile import Reconciliation
from doublet.refused import Cause, RefusedRequest
from doublet.refused.replay import Replay, Wish
from doublet.relay.fill import Backfill, Backfilled
from doublet.reports import OverviewRow, TimelineRow
from doublet.reports.coverage import CoverageRow
from doublet.reports.diagnostics import DiagnosticRow
from doublet.reports.events import EventsFound
from doublet.reports.known_ads import KnownAdRow
from doublet.reports.leads import LeadsReport
from doublet.reports.orders import LatestOrderRow, OrderLedger, OrdersReport
from doublet.reports.persons import DecisionRow, MergeRow, PersonsFound
from doublet.reports.quality import QualityRow
from doublet.reports.today import TodayRow
from doublet.web.person import Ask
from doublet.web.persons import Apart, Who
from doublet.web.persons_page import PersonsKept
from doublet.web.setup import Asked, Tried, Wanted
from doublet.web.status import AccountStatus

STREAM = "text/event-stream"
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data"

_QUESTION = ("account", "pixel", "since", "until")
_EVENT = (
    "only_event_name",
    "action_source",
    "seen_by",
    "shown",
    "odd",
    "q",
    "before",
    "events_max",
)
_STORY = ("the_event_id", "copy", "account", "pixel")
_ORDERS = ("account", "since", "until")
_LIFT = ("experiment", "campaign_id", "lift_level", "event_name", "window_days", "holdout", "lift")
_HIT = ("id", "ev", "eid", "ts", "dl", "rl", "ec", "fbp", "fbc", "dpo", "es")
_SCRIPT = "text/javascript; charset=utf-8"
_DOOR = (400, 401, 413, 415, 503)
_EVENTS = {
    JSON: EventsBody,
    FORM: {"type": "object", "properties": {"data": TEXT}, "required": ["data"]},
    PARTS: {"type": "object", "properties": {"data": TEXT}, "required": ["data"]},
}
_FORM = (400, 401, 404, 413, 503)
_DURABLE = "Every event is durable, or with validation=partial every good one."


def _events(path: str, summary: str, status: int = 200) -> Operation:
    return Operation(
        "post",
        path,
        summary,
        ("validation",),
        {JSON: Received},
        _DOOR,
        status,
        _DURABLE,
        bodies=_EVENTS,
    )


def _batch(path: str, summary: str, answer: Any, body: Any) -> Operation:
    return Operation(
        "post",
        path,
        summary,
        answers={JSON: answer},
        refused=_DOOR,
        when="Every message is durable.",
        bodies={JSON: body},
    )


def _postback(method: str) -> Operation:
    return Operation(
        method,
        "/v1/postback",
        "Take one click or conversion of an ad network (docs/ads.md).",
        tuple(f"postback_{name}" for name in POSTBACK_PARAMETERS),
        {JSON: PostbackReceived},
        _DOOR,
        when="It is durable.",
        bodies={FORM: {"type": "object"}} if method == "post" else {},
    )


def _report(path: str, summary: str, answer: Any, *parameters: str) -> Operation:
    media = CSV if path.endswith(".csv") else JSON
    return Operation("get", path, summary, parameters, {media: answer})


def _graph(path: str, summary: str, answer: Any, *parameters: str) -> Operation:
    return Operation("get", path, summary, ("fields", *parameters), {JSON: answer})


def _hit(method: str, path: str) -> Operation:
    posted = {FORM: {"type": "object"}, PARTS: {"type": "object"}} if method == "post" else {}
    return Operation(
        method,
        path,
        "Take a hit of the pixel; also cd[…] for custom_data, ud[…] and udff[…] for user_data, "
        "aud[…] for its hashes before clean-up, cs[…] for consent, tp[…] for the last touch.",
        _HIT,
        {"text/plain": None} if posted else {"image/gif": None},
        (400, 413, 415, 503),
        when="The hit is durable.",
        bodies=posted,
        is_open=True,
    )


def _preflight(path: str, *parameters: str) -> Operation:
    summary = "What pages of other origins may send there."
    return Operation("options", path, summary, parameters, {}, (), 204, "Anything.", is_open=True)


def _script(path: str, summary: str) -> Operation:
    also = {304: "The browser has it."}
    return Operation("get", path, summary, (), {_SCRIPT: None}, (), also=also, is_open=True)


def _settings(path: str, summary: str, answers: Mapping[str, Any]) -> Operation:
    also = {404: "Nobody has this pixel."}
    return Operation("get", path, summary, (), answers, (503,), also=also, is_open=True)


def _setup(path: str, summary: str, answer: Any, body: Any) -> Operation:
    return Operation(
        "post", path, summary, answers={JSON: answer}, refused=_FORM, bodies={JSON: body}
    )


OPERATIONS: tuple[Operation, ...] = (
    # What comes in: the collector.
    *(_hit(method, path) for path in ("/tr", "/tr/", "/px") for method in ("get", "post")),
    *(_preflight(path) for path in ("/tr", "/tr/", "/px")),
    _events("/{version}/{pixel_id}/events", "Take events: the Conversions API."),
    _events("/{pixel_id}/events", "The same without a version."),
    _events("/capi/{pixel_id}/events", "The same as Meta's gateway has it.", 202),
    _batch(
        "/v1/orders", "Take messages about orders (docs/orders.md).", OrdersReceived, OrdersRequest
    ),
    _batch("/v1/leads", "Take stages of leads (docs/leads.md).", LeadsReceived, LeadsRequest),
    _batch(
        "/v1/ad_touches",
        "Take views and clicks of ads (docs/ads.md).",
        TouchesReceived,
        TouchesRequest,
    ),
    _batch(
        "/v1/ad_days",
        "Take names, spend and counts of ads by day (docs/ads.md).",
        AdDaysReceived,
        AdDaysRequest,
    ),
    *(_postback(method) for method in ("get", "post")),
    _script("/px.js", "The pixel's script."),
    _script("/px-core.js", "The same without what it reports by itself."),
    _script("/px-debug.js", "What shows on the page what the pixel does."),
    _settings(
        "/signals/config/{pixel_id}",
        "What Meta's library waits for before it sends (`fbq('set', 'cdn', …)`).",
        {_SCRIPT: None},
    ),
    _settings(
        "/signals/config/json/{pixel_id}",
        "Which user data plug-ins for shops may send.",
        {JSON: MatchingSettings},
    ),
    Operation(
        "get",
        "/health",
        "How far loading and models lag behind, in seconds.",
        answers={JSON: Health},
        refused=(),
        is_open=True,
    ),
    # What is read: pages' twins.
    _report("/overview.json", "Events by who saw them.", list[OverviewRow], *_QUESTION, "marked"),
    _report("/overview.csv", "The same per event and currency.", None, *_QUESTION, "marked"),
    _report("/today.json", "Today by event.", list[TodayRow], "account", "pixel", "marked"),
    _report("/today.csv", "The same.", None, "account", "pixel", "marked"),
    _report("/status.json", "How the account is doing.", AccountStatus, "account"),
    _report(
        "/timeline.json", "Events over time.", list[TimelineRow], *_QUESTION, "marked", "event_name"
    ),
    _report("/timeline.csv", "The same.", None, *_QUESTION, "marked", "event_name"),
    Operation(
        "get",
        "/timeline.svg",
        "The same as a picture.",
        (*_QUESTION, "marked", "event_name", "scheme"),
        {SVG: None},
    ),
    _report(
        "/coverage.json",
        "What one side alone would have told.",
        list[CoverageRow],
        *(*_QUESTION, "marked", "event_name", "by"),
    ),
    _report(
        "/coverage.csv",
        "The same per currency.",
        None,
        *(*_QUESTION, "marked", "event_name", "by"),
    ),
    _report("/quality.json", "Match quality.", list[QualityRow], *_QUESTION, "event_name"),
    _report("/diagnostics.json", "What is wrong.", list[DiagnosticRow], *_QUESTION, "event_name"),
    _report("/diagnostics.csv", "The same.", None, *_QUESTION, "event_name"),
    _report("/quality.csv", "The same per event name and key.", None, *_QUESTION, "event_name"),
    _report("/alerts.json", "What is unusual.", list[Alert], "account", "pixel"),
    _report("/alerts.csv", "The same.", None, "account", "pixel"),
    _report("/test_events.csv", "What has just arrived.", None, "account", "pixel", "code", "all"),
    _report("/setup.csv", "Sites that the guide leads through.", None),
    _report("/events.json", "Single events, the newest first.", EventsFound, *_QUESTION, *_EVENT),
    _report("/events.csv", "The same.", None, *_QUESTION, *_EVENT),
    _report("/event.json", "Stories of events.", list[Story], *_STORY),
    _report("/event.csv", "Their copies.", None, *_STORY),
    _report("/explain.json", "The same as /event.json.", list[Story], *_STORY),
    _report("/leads.json", "Stages of leads.", LeadsReport, *_QUESTION),
    _report("/leads.csv", "The same.", None, *_QUESTION),
    _report("/persons.json", "Merges, decisions and erasures.", PersonsKept, *_ORDERS),
    _report("/persons.csv", "The merges.", None, *_ORDERS),
    _report("/merges.json", "Persons that turned out to be one.", list[MergeRow], *_ORDERS),
    _report("/merges.csv", "The same.", None, *_ORDERS),
    _report("/decisions.json", "What is kept apart.", list[DecisionRow], "account"),
    _report("/orders.json", "Orders per day.", OrdersReport, *_ORDERS),
    _report("/orders.csv", "The same.", None, *_ORDERS),
    *ATTRIBUTION,
    *PEOPLE,
    *AUDIENCES,
    *DELIVERY,
    _report("/ads.json", "Names and sums of ads.", list[KnownAdRow], *_ORDERS),
    _report("/ads.csv", "The same.", None, *_ORDERS),
    _report("/v1/products/match", "How events fit the product feed.", Match, *_ORDERS),
    _report("/lift.json", "What ads have caused (docs/lift.md).", LiftReport, *_ORDERS, *_LIFT),
    _report("/lift.csv", "The same, a row per outcome.", None, *_ORDERS, *_LIFT),
    _report("/latest_orders.json", "The newest orders.", list[LatestOrderRow], *_ORDERS),
    _report("/latest_orders.csv", "The same.", None, *_ORDERS),
    _report("/order.csv", "Its entries.", None, "order_id", "account"),
    _report("/order.json", "One order's ledger.", OrderLedger, "order_id", "account"),
    Operation(
        "get",
        "/v1/test_events",
        "What arrives, as it arrives, without an end (docs/testing.md).",
        ("account", "pixel", "code", "all", "last_event_id"),
        {STREAM: None},
        (400, 401, 503),
        when="Server-sent events.",
    ),
    Operation(
        "get",
        "/v1/as_of",
        "Says whenever the tables are newer, without an end (docs/dashboard.md).",
        ("account",),
        {STREAM: None},
        (400, 401, 503),
        when="Server-sent events.",
    ),
    _report(
        "/test_events.json",
        "What has just arrived.",
        list[dict[str, Any]],
        *("account", "pixel", "code", "all"),
    ),
    _report("/relay.json", "How each destination is doing.", list[DestinationStatus], "account"),
    _report("/relay.csv", "The same in counters.", None, "account"),
    _report("/refused.json", "Causes of refusals.", list[Cause], *_QUESTION, "reason"),
    _report("/refused.csv", "The same.", None, *_QUESTION, "reason"),
    # What programs of our own ask.
    Operation(
        "get",
        "/v1/refused",
        "Refused requests, their events hashed (docs/refused.md).",
        (*_QUESTION, "reason", "refused"),
        {JSON: list[RefusedRequest]},
    ),
    Operation(
        "post",
        "/v1/refused/replay",
        "Accept refused events after all, mended, with their original receipt.",
        answers={JSON: Replay},
        refused=(400, 401, 404, 413, 503),
        when="What was accepted is durable.",
        bodies={JSON: Wish},
    ),
    Operation(
        "get",
        "/v1/destinations/{destination_id}/preview",
        "The exact requests for the latest events, not sent (docs/relay.md).",
        ("destination_id", "limit", "only_event_id"),
        {JSON: {"type": "object"}},
    ),
    Operation(
        "post",
        "/v1/destinations/{destination_id}/backfill",
        "Let a destination be sent the events of a time.",
        ("destination_id",),
        {JSON: Backfilled},
        (400, 401, 404, 413, 503),
        when="They are in the outbox.",
        bodies={JSON: Backfill},
    ),
    _report("/setup.json", "The sites that are being set up.", list[Progress]),
    _setup("/setup.json", "Begin to set a site up (docs/setup.md).", {"type": "object"}, Wanted),
    _report("/setup/{setup_id}.json", "How far a setup is.", Progress, "key"),
    _setup("/setup/{setup_id}/check.json", "Look at the live site.", Progress, Asked),
    _setup("/setup/{setup_id}/test.json", "Look for the test order.", Progress, Tried),
    Operation(
        "post",
        "/v1/shops/{shop_id}/webhooks",
        "A delivery of the shop's platform, signed as the platform does it (docs/shops.md).",
        ("shop_id",),
        {JSON: {"type": "object"}},
        (401, 404, 413, 415, 503),
        when="What it says is durable.",
        bodies={JSON: {"type": "object"}},
        is_open=True,
    ),
    Operation(
        "post",
        "/v1/shops/{shop_id}/visitor",
        "The cookies of who is at a cart, for the order that comes of it.",
        ("shop_id",),
        {JSON: {"type": "object"}},
        (400, 404, 413, 415, 503),
        when="They are kept for 30 days.",
        bodies={JSON: Visitor},
        is_open=True,
    ),
    _preflight("/v1/shops/{shop_id}/visitor", "shop_id"),
    Operation(
        "post",
        "/v1/reconcile",
        "Compare a shop's orders, a JSON object a line, with what is here (docs/reconcile.md).",
        (*_ORDERS, "shop", "is_whole", "listed"),
        {JSON: Reconciliation},
        (400, 401, 413, 503),
        when="They were compared.",
        bodies={"text/plain": {"type": "string"}},
    ),
    Operation(
        "post",
        "/v1/check",
        "What would become of a payload, every fault at once (docs/events.md).",
        answers={JSON: Checked},
        refused=(400, 401, 413, 503),
        when="It was looked at.",
        bodies={JSON: {"type": ["object", "array"]}},
    ),
    Operation(
        "post",
        "/v1/person/export",
        "All that is kept of a person, as JSON lines.",
        answers={"application/x-ndjson": None},
        refused=(400, 401, 413, 503),
        bodies={JSON: Ask},
    ),
    Operation(
        "post",
        "/v1/person/erase",
        "Make a person anonymous everywhere.",
        answers={JSON: {"type": "object"}},
        refused=(400, 401, 413, 503),
        status=202,
        when="The request is durable.",
        bodies={JSON: Ask},
        also={200: "With dry_run: what would be erased."},
    ),
    Operation(
        "post",
        "/v1/person/show",
        "Who has an identifier, and why it is one person.",
        answers={JSON: PersonsFound},
        refused=(400, 401, 413, 503),
        bodies={JSON: Who},
    ),
    Operation(
        "post",
        "/v1/person/unmerge",
        "Decide that two identifiers are not one person's.",
        answers={JSON: {"type": "object"}},
        refused=(400, 401, 413, 503),
        when="The decision is durable.",
        bodies={JSON: Apart},
    ),
    Operation(
        "get",
        "/v1/person/erasures",
        "Erasures and their state.",
        ("erasure",),
        {JSON: list[dict[str, Any]]},
    ),
    *(
        Operation("post", path, summary, (), {JSON: {"type": "object"}}, (401, 503))
        for path, summary in (
            ("/v1/refresh", "Load and model now; the operator's key."),
            ("/v1/rebuild", "Make all tables anew; the operator's key."),
        )
    ),
    # The Graph API (docs/graph.md).
    _graph("/{version}/{pixel_id}", "A pixel.", dict[str, Any]),
    _graph("/{version}/{pixel_id}/stats", "Counts of its events.", Page),
    _graph("/{version}/{pixel_id}/da_checks", "Its diagnostics.", Page),
    _graph("/{version}/dataset_quality", "Match quality.", dict[str, Any], "dataset_id"),
    _graph("/{version}/{account_id}/adspixels", "Pixels of an account.", Page),
    _graph("/{version}/me/adspixels", "Pixels of the token's account.", Page),
    *INSIGHTS,
    *CUSTOM_AUDIENCES,
    *AD_OBJECTS,
    Operation(
        "post",
        "/{version}",
        "Up to 50 calls at once.",
        answers={JSON: list[BatchPart | None]},
        bodies={
            FORM: {"type": "object", "properties": {"batch": TEXT}, "required": ["batch"]},
            JSON: {
                "type": "object",
                "properties": {"batch": {"type": "array", "items": {"type": "object"}}},
                "required": ["batch"],
            },
        },
    ),
    Operation(
        "get",
        "/openapi.json",
        "This description.",
        answers={JSON: {"type": "object"}},
        refused=(503,),
        is_open=True,
    ),
)
"""In the order of the description."""
