"""What can be found when a shop's orders are compared with what is here: a closed list of findings,
each with its reasons, what they mean, and what to do."""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """Why an order is under a finding. What `is_expected` is in order: it is told, but nobody has
    to act, and the sides agree all the same."""

    says: str
    do: str = ""
    is_expected: bool = False


class Finding(NamedTuple):
    """A finding: how it is headed, and its reasons by key."""

    title: str
    reasons: dict[str, Reason]


FINDINGS: dict[str, Finding] = {
    "missing": Finding(
        "in the shop, not here",
        {
            "test": Reason("The shop marks them as test orders.", is_expected=True),
            "unpaid": Reason("They await payment, and are told when they are paid.", "", True),
            "refused": Reason(
                "What told of them was refused; the details say when and why.",
                "`doublet refused list` says how to mend the sender; `doublet refused replay` "
                "takes them in after all.",
            ),
            "no_order_id": Reason(
                "A Purchase came with the order's id as its event id, but without an order_id.",
                "Send the id as custom_data.order_id too.",
            ),
            "before_pixel": Reason(
                "They were made before anything was received here.",
                "`doublet order import` takes them into the ledger, should they count.",
                True,
            ),
            "before_shop": Reason(
                "They were made before the shop was set up here; no webhook told of them.",
                "`doublet order import` takes them into the ledger, should they count.",
                True,
            ),
            "consent_denied": Reason(
                "Their customers had denied consent, so that no browser reported them, and no "
                "webhook told of them either.",
                "Webhooks tell the ledger of every order; whether it is relayed is decided there.",
            ),
            "just_made": Reason("They were made minutes ago and may be on their way.", "", True),
            "in_log": Reason(
                "A part of the log cannot be loaded, and they may be in it.",
                "`/health` and the worker's messages name the damaged file.",
            ),
            "not_delivered": Reason(
                "Nothing told of them: no webhook was delivered and no browser reported them.",
                "See in the shop whether its webhook for new orders is there, active and leads "
                "here; `doublet order import` takes these orders into the ledger.",
            ),
        },
    ),
    "extra": Finding(
        "here, not in the shop",
        {
            "test": Reason(
                "They are test orders of the shop, but count here.",
                "`doublet order correct ORDER cancelled` takes one out; report tests of checkouts "
                "with a test_event_code only where they are to count.",
            ),
            "failed": Reason(
                "The shop has them as drafts or failed payments, but they count here.",
                "Report a Purchase only when the order exists: on the page after a payment, or "
                "by the webhook.",
            ),
            "spelled_otherwise": Reason(
                "Their order id is spelled otherwise than the shop's, so that refunds and "
                "cancellations do not reach them.",
                "Send the shop's id as custom_data.order_id, without anything around it.",
            ),
            "draft": Reason("They are drafts here too, and no sales.", "", True),
            "other_pixel": Reason(
                "They came through a pixel of another shop of the account.", "", True
            ),
            "outside_export": Reason(
                "They were made before the first or after the last order of the file.",
                "Export again for the whole time.",
                True,
            ),
            "other_host": Reason(
                "They come from pages of a host that none of the shop's orders comes from; the "
                "details name it.",
                "Compare that shop's orders too, or give it an account of its own; a copy of the "
                "site for tests should not report: `doublet pixel edit --allow-domain`.",
            ),
            "browser_alone": Reason(
                "Only a browser reported them: a page after a payment that failed, a test, or "
                "somebody's invention.",
                "Report a Purchase only on the page after a successful payment; orders that a "
                "webhook confirms cannot be invented.",
            ),
            "unknown": Reason(
                "The shop does not have them: they were deleted, or are of another shop.",
                "Look one up with `doublet order show`; it says what told of it.",
            ),
        },
    ),
    "doubled": Finding(
        "counted twice",
        {
            "two_order_ids": Reason(
                "One order counts under two order ids, such as its id and its number.",
                "Send the same of the two from browser and server.",
            ),
            "two_pixels": Reason(
                "Two pixels have a Purchase of the same order; the ledger counts it once, each "
                "destination gets it twice.",
                "Put one pixel on the page after the payment.",
            ),
            "beyond_28_days": Reason(
                "A second Purchase of the order came more than 28 days after the first.",
                "Report a Purchase once, when the order is placed; what changes later is an edit.",
            ),
            "two_persons": Reason(
                "Two Purchases of the order name different persons or, with dedup=meta, one of "
                "them names nobody, so that they did not become one event.",
                "Give both the same event_id; see `doublet explain EVENT_ID` for what differs.",
            ),
            "no_order_id": Reason(
                "Beside the server's Purchase a browser reported one of the same value within "
                "minutes, with another event id and without an order id.",
                "Give both the same event_id, or the browser's Purchase the order_id.",
            ),
        },
    ),
    "value_differs": Finding(
        "with another value",
        {
            "no_value": Reason(
                "Here they have no value.", "Send custom_data.value and custom_data.currency."
            ),
            "hundredfold": Reason(
                "One side has cents where the other has whole units.",
                "Send the value in whole units with decimals: 12.50, not 1250.",
            ),
            "tax": Reason("Exactly the tax is missing here.", "Send the total with tax."),
            "shipping": Reason(
                "Exactly the shipping is missing here.", "Send the total with shipping."
            ),
            "tax_and_shipping": Reason(
                "Exactly tax and shipping are missing here.",
                "Send the order's total instead of the sum of its articles.",
            ),
            "refund": Reason(
                "Exactly what was refunded is missing here: the value was sent after refunds.",
                "Send the total before refunds, and each refund as a message of its own.",
            ),
            "refund_in_total": Reason(
                "The shop's total is after refunds, the value here before them.",
                "Compare with a column that is before refunds: --map total=COLUMN.",
            ),
            "discount": Reason(
                "The value here is before the discount.", "Send the total after discounts."
            ),
            "customers_currency": Reason(
                "The amount is that in the customer's currency, under the shop's.",
                "Send value and currency of the same kind.",
            ),
            "rounding": Reason(
                "The values differ by a few cents.",
                "Send the order's total instead of adding up rounded prices.",
            ),
            "unknown": Reason(
                "Neither tax, shipping, discount nor refunds explain the difference.",
                "`doublet order show ORDER` says where the value is from; an edit of the order "
                "may not have been told: see its webhook for changed orders.",
            ),
        },
    ),
    "currency_differs": Finding(
        "in another currency",
        {
            "no_currency": Reason("Here they have no currency.", "Send custom_data.currency."),
            "customers_currency": Reason(
                "Here they are in the customer's currency, in the shop in its own.",
                "Send the shop's currency, or give the account exchange rates: "
                "`doublet rates import`.",
            ),
            "same_amount": Reason(
                "The amounts are equal, the currencies are not: one of the names is wrong.",
                "See which currency the site names in its Purchase.",
            ),
            "unknown": Reason(
                "Amount and currency both differ.",
                "See which currency the site names in its Purchase.",
            ),
        },
    ),
    "status_differs": Finding(
        "in another state",
        {
            "cancelled": Reason(
                "They are cancelled in the shop, not here.",
                "See whether the webhook for cancelled orders is delivered; `doublet order correct "
                "ORDER cancelled` mends one.",
            ),
            "refunded": Reason(
                "More was refunded in the shop than here.",
                "See whether the webhook for refunds is delivered; `doublet order correct ORDER "
                "refunded --value …` mends one.",
            ),
            "paid": Reason(
                "They are paid in the shop; here they still await it.",
                "See whether the webhook for paid orders is delivered; `doublet order correct "
                "ORDER confirmed` (a draft: completed) mends one.",
            ),
            "refused_here": Reason(
                "Here the parcel was refused, in the shop they are paid.",
                "`doublet order show ORDER` says who told so.",
            ),
            "cancelled_here": Reason(
                "They are cancelled here, not in the shop.",
                "`doublet order correct ORDER reopened` mends one.",
            ),
            "refunded_here": Reason(
                "More was refunded here than in the shop.",
                "`doublet order show ORDER` lists the refunds; two with different message_ids may "
                "be the same.",
            ),
        },
    ),
    "not_relayed": Finding(
        "not sent on",
        {
            "waiting": Reason("They are about to be sent.", is_expected=True),
            "overdue": Reason(
                "They should have been sent an hour ago.", "See whether `doublet relay` runs."
            ),
            "paused": Reason("The destination is paused.", "`doublet destination resume` goes on."),
            "failing": Reason(
                "The destination does not take anything at present; the details say why.",
                "Mend what it says; they are sent then.",
            ),
            "no_purchase": Reason(
                "Only messages told of the order; there is no Purchase event to send.",
                "Report a Purchase from the site or by the shop's webhook.",
                True,
            ),
            "filtered": Reason("The destination's filters leave them out.", "", True),
            "before_destination": Reason(
                "They came before the destination was made.",
                "`doublet destination backfill` sends them.",
                True,
            ),
            "forgotten": Reason(
                "They are older than 90 days, and so forgotten by the relay.", "", True
            ),
            "not_noted": Reason(
                "The relay's outbox has not been told of them.",
                "See whether `doublet serve` runs: its worker fills the outbox.",
            ),
        },
    ),
    "browser_only": Finding(
        "reported by the browser only",
        {
            "": Reason(
                "No server told of them.",
                "A webhook or the Conversions API also tells what a browser cannot.",
                True,
            )
        },
    ),
    "server_only": Finding(
        "reported by the server only",
        {"": Reason("No browser did: it was blocked, had no consent, or was elsewhere.", "", True)},
    ),
    "no_purchase": Finding(
        "in the ledger only",
        {"": Reason("Messages told of them, no Purchase event.", "", True)},
    ),
}
"""By key, in the order in which they are told."""

SHARES = ("browser_only", "server_only", "no_purchase")
"""Findings that say how orders were reported, not that something is wrong."""

_WITHHELD = {
    "consent_denied": "Their customers denied consent.",
    "consent_missing": "Their customers did not grant consent.",
    "limited": "Their data may be used in a limited way only.",
    "marked": "A browser alone reported them, and the rules of its pixel mark them.",
    "erased": "Their persons were erased.",
    "is_test": "They were made by a check of our own.",
    "too_old": "They waited too long.",
    "removed": "The destination was removed meanwhile.",
    "gone": "Nothing of them was left when they were due.",
}


def expected() -> list[str]:
    """What is in order, as `finding/reason`."""
    return [
        f"{key}/{why}"
        for key, finding in FINDINGS.items()
        for why, reason in finding.reasons.items()
        if reason.is_expected
    ]


def reason_of(finding: str, why: str) -> Reason:
    """What a reason means. Those of the relay have names of their own after `failed/` and
    `withheld/`."""
    known = FINDINGS[finding].reasons.get(why)
    if known is not None:
        return known
    state, _, name = why.partition("/")
    if state == "withheld":
        says = _WITHHELD.get(name, "The destination's rules keep them back.")
        return Reason(says, "", True)
    return Reason(
        f"The destination refused them ({name or 'no reason'}); the details say in which words.",
        "`doublet destination failed` lists them, `doublet destination replay` sends them again.",
    )
