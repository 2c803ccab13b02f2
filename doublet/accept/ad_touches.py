"""Views and clicks of ads become records, from ad servers' logs, networks' postbacks and files.

A touch says which ad was shown to whom and when. It counts for a person by what identifies them or
their device (`user_data`), or by the click id that their landing page got; other personal data is
refused. `held_out` says that an ad would have been shown, and was not, for an experiment.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

import msgspec

from doublet.accept.batch import accept_batch, kept_batch, read_batch
from doublet.accept.fields import Fault, plain, read_amount, read_currency, read_moment
from doublet.accept.platforms import is_known, read_ad_id, read_platform
from doublet.accept.steps import FUTURE_S_FLAGGED, Arrival
from doublet.accept.user_data import clean_user_data
from doublet.event import AdTouch, TouchesRequest, WireTouch, encode
from doublet.refusal import Reason, Refusal, quote_name

TOUCH_KINDS = ("view", "click", "engaged_view", "held_out")
"""What may become of an ad: it was seen, clicked, or engaged with; or it was left out."""

TOUCH_USER_KEYS = (
    *("em", "ph", "external_id", "app_user_id", "subscription_id", "fb_login_id", "lead_id"),
    *("page_scoped_user_id", "ig_sid", "fbp", "fbc", "anon_id", "madid", "ctwa_clid"),
)
"""Keys of `user_data` that lead to a person or a device. No other is taken: what fits many people
joins nobody to a click."""

_OTHER_WORDS = {
    **dict.fromkeys(("impression", "impressions", "imp", "show", "viewed"), "view"),
    **dict.fromkeys(("engagement", "engaged", "ev"), "engaged_view"),
    **dict.fromkeys(("clicks", "clicked"), "click"),
    **dict.fromkeys(("holdout", "control", "ghost"), "held_out"),
}
_KEPT: dict[str, Callable[[str], object]] = {
    "kind": re.compile(r"[a-z_]{1,40}").fullmatch,
    "touched_at": re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?|[0-9]{4}-[0-9T:.Z+-]{1,30}").fullmatch,
    "platform": is_known,
    "cost": re.compile(r"-?[0-9]{1,14}([.,][0-9]{1,9})?").fullmatch,
    "currency": re.compile(r"[A-Za-z]{3}").fullmatch,
}
_IDS = ("campaign_id", "adset_id", "ad_id", "placement", "experiment")

_decode_request = msgspec.json.Decoder(TouchesRequest).decode


def read_touches(body: bytes) -> TouchesRequest | Refusal:
    """A JSON body as a request, or why it cannot be read."""
    return read_batch(body, _decode_request, Reason.INVALID_AD_TOUCH)


def accept_touches(request: TouchesRequest, arrival: Arrival) -> list[bytes] | Refusal:
    """The records of one request, in its order; one bad touch refuses all."""

    def make(wire: WireTouch, index: int) -> bytes | Refusal:
        return touch_record(wire, arrival)

    return accept_batch(request.data, ("touch", "touches"), make)


def only_country(countries: Iterable[str]) -> str:
    """The country of phone numbers that all pixels of an account agree on, otherwise none: a touch
    is of no pixel.

    >>> only_country(["DE", ""]), only_country(["DE", "AT"])
    ('DE', '')
    """
    found = {country for country in countries if country}
    return found.pop() if len(found) == 1 else ""


def touch_record(wire: WireTouch, arrival: Arrival) -> bytes | Refusal:
    """The record of one touch, or why there is none; `Refusal.field` is the field's own name."""
    try:
        return encode(_touch(wire, arrival))
    except Fault as fault:
        return Refusal(Reason.INVALID_AD_TOUCH, str(fault), fault.field)
    except UnicodeError:
        return Refusal(Reason.BAD_ENCODING, "The touch is not valid UTF-8.")


def kept_touches(body: bytes) -> Any:
    """What an operator may see of a refused request: of each touch the fields that say nothing of
    a person, as far as they look like what they should be; None when it is unreadable."""
    return kept_batch(body, _KEPT, _IDS)


def touch_key(platform: str, kind: str, touch_id: str) -> int:
    """64-bit key of a touch: BLAKE2b of what names it. Networks give a view and its click one id,
    and two networks may count alike, so that an id is of one platform and kind.

    >>> touch_key("meta", "view", "1") == touch_key("meta", "click", "1")
    False
    """
    text = f"{platform}\n{kind}\n{touch_id}"
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _touch(wire: WireTouch, arrival: Arrival) -> AdTouch:
    kind, platform = _kind(wire.kind), read_platform(wire.platform)
    touched_at = read_moment("touched_at", wire.touched_at, arrival.received_at)
    flags: list[str] = []
    if touched_at > arrival.received_at + FUTURE_S_FLAGGED * 1_000_000:
        flags.append("touched_at_in_future")
    campaign_id, adset_id, ad_id, placement, experiment = (
        read_ad_id(field, getattr(wire, field)) for field in _IDS
    )
    click_id = read_ad_id("click_id", wire.click_id)
    if kind == "held_out" and experiment is None:
        raise Fault("held_out needs experiment, the name of the holdout.", "experiment")
    cost, currency = _cost(wire), read_currency(wire.currency)
    if cost is not None and currency is None:
        raise Fault("cost needs a currency, such as EUR.", "currency")
    user_data = _user_data(wire.user_data or {}, flags, arrival.phone_country)
    if not user_data and click_id is None:
        raise Fault(
            "The touch names nobody: give user_data with em, ph, external_id, fbp, madid or "
            "another identifier, or the click_id that the landing page gets.",
            "user_data",
        )
    touch_id = read_ad_id("touch_id", wire.touch_id)
    if touch_id is None:
        # A click id is of one click; anything else is named by all that it says.
        ids = (campaign_id, adset_id, ad_id, placement, experiment, cost, currency)
        rest = (touched_at, ids, sorted(user_data.items()))
        said = (platform, kind, click_id, () if kind == "click" and click_id else rest)
        touch_id = f"~{blake2b(msgspec.json.encode(said), digest_size=16).hexdigest()}"
    return AdTouch(
        "ad_touch",
        arrival.account_id,
        arrival.source,
        arrival.received_at,
        touch_id,
        touch_key(platform, kind, touch_id),
        kind,
        touched_at,
        platform,
        campaign_id,
        adset_id,
        ad_id,
        placement,
        click_id,
        experiment,
        cost,
        currency,
        user_data or None,
        sorted(flags) or None,
        arrival.is_test,
    )


def kind_of(word: str) -> str | None:
    """The kind that a word of a network's log means, None for one that is not known.

    >>> kind_of("Impression"), kind_of("click"), kind_of("sold")
    ('view', 'click', None)
    """
    plain_word = word.strip().lower()
    return plain_word if plain_word in TOUCH_KINDS else _OTHER_WORDS.get(plain_word)


def _kind(given: str | None) -> str:
    if given in TOUCH_KINDS:
        return given
    word = (given or "").strip().lower()[:40]
    meant = kind_of(word)
    near = [meant] if meant else difflib.get_close_matches(word, TOUCH_KINDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it must be one of {', '.join(TOUCH_KINDS)}."
    raise Fault(f"kind is {'not known' if given else 'missing'}; {hint}", "kind")


def _cost(wire: WireTouch) -> str | None:
    if wire.cost is None or wire.cost == "":
        return None
    amount = read_amount("cost", wire.cost)
    if amount < 0:
        raise Fault("cost must not be below zero.", "cost")
    return plain(amount)


def _user_data(given: dict[str, Any], flags: list[str], phone_country: str) -> dict[str, Any]:
    for key in given:
        if key not in TOUCH_USER_KEYS:
            raise Fault(
                f"user_data.{quote_name(key).strip('`')} identifies no person; it may hold "
                f"{', '.join(TOUCH_USER_KEYS)}."
                if quote_name(key)[0] == "`"
                else f"user_data has an unknown key; it may hold {', '.join(TOUCH_USER_KEYS)}.",
                "user_data",
            )
    return clean_user_data(given, flags, phone_country)
