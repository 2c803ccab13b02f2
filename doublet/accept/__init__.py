"""A request becomes records, or a reason for refusal. Pure: no clock, no disk, no network.

Both doors, the Conversions API (`events`) and the pixel's `/tr` (`hits`), lead through the same
`STEPS`; messages about orders (`orders`), stages of leads (`leads`), ad touches (`ad_touches`) and
days of ads (`ad_days`) have doors of their own, and so have networks' `postbacks`.
Personal data is normalised and hashed there, before anything is written. What is refused becomes
a record too (`refused`).
"""

from __future__ import annotations

from doublet.accept.ad_days import accept_ad_days, ad_day_record, kept_ad_days, read_ad_days
from doublet.accept.ad_touches import accept_touches, kept_touches, read_touches, touch_record
from doublet.accept.check import Check, check_payload, read_payload
from doublet.accept.decisions import decision_id, unmerge_record
from doublet.accept.events import (
    EVENTS_PER_REQUEST_MAX,
    UNREADABLE,
    Accepted,
    accept_events,
    accept_good_events,
    accept_replayed,
    read_request,
)
from doublet.accept.hits import Hit, accept_hit, read_hit
from doublet.accept.leads import accept_leads, kept_leads, lead_event, read_leads, with_lead_id
from doublet.accept.order_file import OrderFile
from doublet.accept.orders import KINDS, accept_orders, kept_orders, order_record, read_orders
from doublet.accept.postbacks import accept_postback, kept_postback, read_postback
from doublet.accept.record import event_key
from doublet.accept.refused import hashed_payload, refused_record
from doublet.accept.steps import (
    ACTION_SOURCES,
    HASH_VARIANTS,
    STEPS,
    USER_DATA_FLAGS,
    Arrival,
    is_suspect,
    is_suspect_hit,
    stored_event_id,
)
from doublet.accept.traffic import MARKS, Quotas, marks, read_networks

__all__ = [
    "ACTION_SOURCES",
    "EVENTS_PER_REQUEST_MAX",
    "HASH_VARIANTS",
    "KINDS",
    "MARKS",
    "STEPS",
    "UNREADABLE",
    "USER_DATA_FLAGS",
    "Accepted",
    "Arrival",
    "Check",
    "Hit",
    "OrderFile",
    "Quotas",
    "accept_ad_days",
    "accept_events",
    "accept_good_events",
    "accept_hit",
    "accept_leads",
    "accept_orders",
    "accept_postback",
    "accept_replayed",
    "accept_touches",
    "ad_day_record",
    "check_payload",
    "decision_id",
    "event_key",
    "hashed_payload",
    "is_suspect",
    "is_suspect_hit",
    "kept_ad_days",
    "kept_leads",
    "kept_orders",
    "kept_postback",
    "kept_touches",
    "lead_event",
    "marks",
    "order_record",
    "read_ad_days",
    "read_hit",
    "read_leads",
    "read_networks",
    "read_orders",
    "read_payload",
    "read_postback",
    "read_request",
    "read_touches",
    "refused_record",
    "stored_event_id",
    "touch_record",
    "unmerge_record",
    "with_lead_id",
]
