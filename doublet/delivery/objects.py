"""What a campaign, ad set, ad or creative may be, however somebody asks for it.

Values have the Marketing API's names. What delivery here cannot do is refused with what to use
instead, for an ad that is shown otherwise than its advertiser believes costs money.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import urlsplit

from doublet.catalog import Ad, AdSet, Campaign, Creative
from doublet.delivery import SEEN_MAX
from doublet.entries import check_name
from doublet.errors import OperatorError, SenderError

STATUSES = ("ACTIVE", "PAUSED", "ARCHIVED", "DELETED")
OBJECTIVES = (
    *("OUTCOME_AWARENESS", "OUTCOME_ENGAGEMENT", "OUTCOME_LEADS", "OUTCOME_SALES"),
    "OUTCOME_TRAFFIC",
)
GOALS = ("IMPRESSIONS", "LINK_CLICKS", "OFFSITE_CONVERSIONS", "REACH", "VALUE")
SHOWN_GOALS = ("IMPRESSIONS", "REACH")
"""Goals that every impression reaches: there is nothing to learn."""
CONVERSION_GOALS = ("OFFSITE_CONVERSIONS", "VALUE")
"""Goals about an event of a pixel."""
BILLING_EVENTS = ("IMPRESSIONS", "LINK_CLICKS")
STRATEGIES = (
    *("COST_CAP", "LOWEST_COST_WITHOUT_CAP", "LOWEST_COST_WITH_BID_CAP"),
    "LOWEST_COST_WITH_MIN_ROAS",
)
BIDDING = ("COST_CAP", "LOWEST_COST_WITH_BID_CAP")
"""Strategies that need a bid_amount."""
HOLDOUT_SHARE_MAX = 0.5
BUDGET_MAX = 10**12
"""Hundredths of the account's currency."""
ROAS_FLOOR_MIN, ROAS_FLOOR_MAX = 0.01, 1000.0
"""Return on ad spend (Marketing API, *Minimum ROAS bidding*)."""
INTERVAL_DAYS_MAX = 90
AUDIENCES_MAX = PLACEMENTS_MAX = 100
CAPS_MAX = 3
URL_LENGTH_MAX = 2048
TEXT_LENGTH_MAX = 2000

_USE = {
    "LANDING_PAGE_VIEWS": "LINK_CLICKS",
    "LEAD_GENERATION": "OFFSITE_CONVERSIONS with custom_event_type LEAD",
    "QUALITY_LEAD": "OFFSITE_CONVERSIONS with custom_event_type LEAD",
    "CONVERSIONS": "OUTCOME_SALES",
    "PRODUCT_CATALOG_SALES": "OUTCOME_SALES",
    "LINK_CLICKS": "OUTCOME_TRAFFIC",
    "REACH": "OUTCOME_AWARENESS",
    "BRAND_AWARENESS": "OUTCOME_AWARENESS",
    "POST_ENGAGEMENT": "OUTCOME_ENGAGEMENT",
    "TARGET_COST": "COST_CAP",
}
_is_placement = re.compile(r"[A-Za-z0-9_.:/-]{1,64}", re.ASCII).fullmatch
_is_event_name = re.compile(r"[^\x00-\x1f\x7f]{1,256}").fullmatch
_is_word = re.compile(r"[A-Z0-9_]{0,64}", re.ASCII).fullmatch


class ObjectError(SenderError):
    """What was asked for cannot be delivered; `field` is the Marketing API's field that says it."""

    code = "invalid_object"

    def __init__(self, field: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.field = field


class Known(NamedTuple):
    """What an account has that its ad sets may name, and the moment (Unix seconds)."""

    pixel_ids: Collection[str]
    audience_ids: Collection[str]
    now_s: int


def check_campaign(each: Campaign) -> None:
    """Raises ObjectError for a campaign that cannot be."""
    _check_name(each.name, "a campaign")
    _one_of("objective", each.objective, OBJECTIVES)
    _one_of("status", each.status, STATUSES)
    if not 0 <= each.holdout_share <= HOLDOUT_SHARE_MAX:
        raise ObjectError(
            "doublet_holdout_share",
            f"doublet_holdout_share is a share from 0 to {HOLDOUT_SHARE_MAX}.",
            "0.1 never shows the campaign to a tenth of the people, so that its lift can be told.",
        )


def check_ad_set(each: AdSet, known: Known, before: AdSet | None = None) -> None:
    """Raises ObjectError for an ad set that cannot be; of one that was there, what did not change
    is let pass: an audience may be gone, an end may be over."""
    _check_name(each.name, "an ad set")
    _one_of("status", each.status, STATUSES)
    _one_of("optimization_goal", each.optimization_goal, GOALS)
    _one_of("billing_event", each.billing_event, BILLING_EVENTS)
    _one_of("bid_strategy", each.bid_strategy, STRATEGIES)
    if each.billing_event == "LINK_CLICKS" and each.optimization_goal in SHOWN_GOALS:
        raise ObjectError(
            "billing_event",
            f"billing_event LINK_CLICKS does not go with the goal {each.optimization_goal}.",
            "Pay per IMPRESSIONS, or choose the goal LINK_CLICKS.",
        )
    _check_budget(each)
    _check_bid(each)
    _check_event(each, known, before)
    _check_targeting(each, known, before)
    _check_times(each, known, before)


def check_creative(each: Creative) -> None:
    """Raises ObjectError for a creative that cannot be."""
    _check_name(each.name, "a creative")
    _check_url("link", each.link_url)
    if each.image_url:
        _check_url("picture", each.image_url)
    for name in ("title", "body", "description"):
        if len(getattr(each, name)) > TEXT_LENGTH_MAX:
            raise ObjectError(name, f"{name} has more than {TEXT_LENGTH_MAX} characters.")
    if not _is_word(each.call_to_action):
        raise ObjectError("call_to_action", "call_to_action has a type such as SHOP_NOW.")


def check_ad(each: Ad) -> None:
    """Raises ObjectError for an ad that cannot be; ad set and creative were looked up."""
    _check_name(each.name, "an ad")
    _one_of("status", each.status, STATUSES)


def effective_status(each: Campaign | AdSet | Ad, *parents: Campaign | AdSet) -> str:
    """The status that counts: its own, or why its campaign or ad set, in this order, keeps it from
    running."""
    if each.status != "ACTIVE":
        return each.status
    for parent in parents:
        if parent.status != "ACTIVE":
            return "CAMPAIGN_PAUSED" if isinstance(parent, Campaign) else "ADSET_PAUSED"
    return "ACTIVE"


# --- learning --------------------------------------------------------------------------------

LEARNED_AT = 50
LEARNING_DAYS = 7
"""So many optimisation actions within so many days after the last significant edit are enough
(Meta, *About the learning phase*)."""


class Learning(NamedTuple):
    """How far an ad set has learned: LEARNING; SUCCESS once LEARNED_AT actions came since its last
    significant edit; FAIL (Meta's *learning limited*) where LEARNING_DAYS did not bring them;
    WAIVING for goals that need no learning."""

    status: str
    conversions: int
    last_sig_edit_ts: int


def learning(each: AdSet, conversions: int, now_s: int) -> Learning:
    """The stage of an ad set that had so many optimisation actions since its last significant
    edit."""
    if each.optimization_goal in SHOWN_GOALS:
        status = "WAIVING"
    elif conversions >= LEARNED_AT:
        status = "SUCCESS"
    elif now_s - each.edited_at >= LEARNING_DAYS * 86_400 and each.status == "ACTIVE":
        status = "FAIL"
    else:
        status = "LEARNING"
    return Learning(status, conversions, each.edited_at)


# --- parts of an object ----------------------------------------------------------------------


def _one_of(field: str, value: str, known: tuple[str, ...]) -> None:
    if value in known:
        return
    use = _USE.get(value, "")
    hint = f"Use {use}." if use else ""
    raise ObjectError(field, f"{field} must be one of {{{', '.join(known)}}}.", hint)


def _check_name(name: str, what: str) -> None:
    try:
        check_name(name, what)
    except OperatorError as error:
        raise ObjectError("name", error.message, error.hint) from None


def _check_budget(each: AdSet) -> None:
    if bool(each.daily_budget) == bool(each.lifetime_budget):
        raise ObjectError(
            "daily_budget",
            "An ad set has either daily_budget or lifetime_budget.",
            "To change from one to the other, set the old one to 0 in the same request.",
        )
    field = "daily_budget" if each.daily_budget else "lifetime_budget"
    if not 1 <= max(each.daily_budget, each.lifetime_budget) <= BUDGET_MAX:
        raise ObjectError(field, f"{field} is an amount above 0.")
    if each.lifetime_budget and not each.end_time:
        raise ObjectError("end_time", "lifetime_budget needs end_time.", "Or use daily_budget.")


def _check_bid(each: AdSet) -> None:
    strategy, budget = each.bid_strategy, each.daily_budget or each.lifetime_budget
    if strategy in BIDDING and not 0 < each.bid_amount <= budget:
        raise ObjectError(
            "bid_amount",
            f"bid_strategy {strategy} needs a bid_amount, at most the budget.",
            "It is what one action may cost.",
        )
    if strategy not in BIDDING and each.bid_amount:
        hint = f"Use it with {' or '.join(BIDDING)}, or leave it out."
        raise ObjectError("bid_amount", f"bid_strategy {strategy} has no bid_amount.", hint)
    if strategy == "LOWEST_COST_WITH_MIN_ROAS":
        if not ROAS_FLOOR_MIN <= each.roas_floor <= ROAS_FLOOR_MAX:
            raise ObjectError(
                "bid_constraints",
                "LOWEST_COST_WITH_MIN_ROAS needs bid_constraints.roas_average_floor.",
                "It is the return on ad spend × 10,000, from 100 to 10,000,000.",
            )
        if each.optimization_goal != "VALUE":
            hint = "Set optimization_goal to VALUE."
            raise ObjectError("bid_strategy", f"{strategy} is about values.", hint)
    elif each.roas_floor:
        hint = "Use LOWEST_COST_WITH_MIN_ROAS, or leave it out."
        raise ObjectError("bid_constraints", f"bid_strategy {strategy} has no floor.", hint)
    if each.optimization_goal == "VALUE" and strategy in BIDDING:
        hint = "Use LOWEST_COST_WITH_MIN_ROAS, which says what a return must be."
        raise ObjectError("bid_strategy", f"The goal VALUE does not go with {strategy}.", hint)


def _check_event(each: AdSet, known: Known, before: AdSet | None) -> None:
    if each.optimization_goal in CONVERSION_GOALS and not each.pixel_id:
        raise ObjectError(
            "promoted_object",
            f"The goal {each.optimization_goal} needs promoted_object.",
            'Say {"pixel_id": "…", "custom_event_type": "PURCHASE"}.',
        )
    if before is not None and (each.pixel_id, each.event_name) == (
        before.pixel_id,
        before.event_name,
    ):
        return
    if each.pixel_id and each.pixel_id not in known.pixel_ids:
        raise ObjectError("promoted_object", "pixel_id is no pixel of this account.")
    if not _is_event_name(each.event_name) or each.event_name == "PageView":
        raise ObjectError(
            "promoted_object",
            "The event must be one that is a conversion.",
            "Name any but PageView, with custom_event_type or custom_event_str.",
        )


def _check_targeting(each: AdSet, known: Known, before: AdSet | None) -> None:
    kept = {*before.included, *before.excluded} if before is not None else set()
    named = [*each.included, *each.excluded]
    if unknown := [one for one in named if one not in known.audience_ids and one not in kept]:
        raise ObjectError(
            "targeting",
            f"The account has no audience {unknown[0] if unknown[0].isdecimal() else 'like this'}.",
            "`doublet audience list` shows those it has.",
        )
    if len(named) > AUDIENCES_MAX:
        raise ObjectError("targeting", f"An ad set names at most {AUDIENCES_MAX} audiences.")
    if set(each.included) & set(each.excluded):
        raise ObjectError("targeting", "An audience is included and excluded; that is nobody.")
    if len(each.placements) > PLACEMENTS_MAX or not all(map(_is_placement, each.placements)):
        raise ObjectError(
            "targeting",
            f"doublet_positions are at most {PLACEMENTS_MAX} names of 1 to 64 letters, digits "
            "and _ . : / -.",
        )
    for cap in each.frequency:
        if not 1 <= cap.interval_days <= INTERVAL_DAYS_MAX or not (
            1 <= cap.max_frequency <= SEEN_MAX
        ):
            raise ObjectError(
                "frequency_control_specs",
                f"interval_days is from 1 to {INTERVAL_DAYS_MAX}, max_frequency from 1 to "
                f"{SEEN_MAX}.",
            )
    if len(each.frequency) > CAPS_MAX:
        raise ObjectError("frequency_control_specs", f"There are at most {CAPS_MAX} caps.")


def _check_times(each: AdSet, known: Known, before: AdSet | None) -> None:
    if each.end_time and each.end_time <= each.start_time:
        raise ObjectError("end_time", "end_time is not after start_time.")
    is_new = before is None or before.end_time != each.end_time
    if is_new and each.end_time and each.end_time <= known.now_s:
        raise ObjectError("end_time", "end_time is over.", "To stop an ad set, pause it.")


def _check_url(field: str, text: str) -> None:
    try:
        parts = urlsplit(text)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_address = False
    if not is_address or len(text) > URL_LENGTH_MAX or re.search(r"[\x00-\x20\x7f]", text):
        raise ObjectError(
            field,
            f"{field} must be an address.",
            f"It begins with https://, and has at most {URL_LENGTH_MAX} characters.",
        )
