"""Events as a Python site writes them, with the names they have on the wire."""

from __future__ import annotations

import json
from typing import Any, TypedDict

import msgspec

from doublet.accept.steps import stored_event_id
from doublet.countries import country_code
from doublet.event import WireEvent
from doublet.normalize import HASHED_KEYS, PLAIN_KEYS, hash_user_value
from doublet.redact import redact, redact_url


class Event(WireEvent, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One event; fields as in Meta's *Server event parameters*. `event_time` is in Unix seconds."""


Values = str | list[str]


class UserData(TypedDict, total=False):
    """Keys of `user_data`; hashed ones take plain text or SHA-256, one or several."""

    em: Values
    ph: Values
    fn: Values
    ln: Values
    ge: Values
    db: Values
    ct: Values
    st: Values
    zp: Values
    country: Values
    external_id: Values
    client_ip_address: str
    client_user_agent: str
    fbp: str
    fbc: str
    subscription_id: str
    fb_login_id: str
    lead_id: str
    anon_id: str
    madid: str
    page_id: str
    page_scoped_user_id: str
    ctwa_clid: str
    ig_account_id: str
    ig_sid: str
    whatsapp_business_account_id: str


class Content(TypedDict, total=False):
    """One element of `contents`."""

    id: str
    quantity: int
    item_price: float
    title: str
    brand: str
    category: str
    delivery_category: str


def hash_user_data(user_data: UserData | dict[str, Any], phone_country: str = "") -> dict[str, Any]:
    """A copy in which all that identifies a person is SHA-256 of its canonical form.

    What cannot identify anyone (an empty name, an address without @) is left out, and so are keys
    that Meta does not know (`email`): their values may be anything. Phone numbers without a country
    code are of the `country` beside them where that is plain, otherwise of `phone_country` (ISO
    3166, empty for none).

    >>> hash_user_data({"em": "nobody", "fbp": "fb.1.1596403881668.1116446470"})
    {'fbp': 'fb.1.1596403881668.1116446470'}
    """
    hashed: dict[str, Any] = {}
    country = _country(user_data) or phone_country
    for key, value in user_data.items():
        if value is None:
            continue
        if key not in HASHED_KEYS:
            if key in PLAIN_KEYS:
                hashed[key] = redact(value)
            continue
        texts = value if isinstance(value, list | tuple) else [value]
        hashes = [hash_user_value(key, str(text), country) for text in texts if text is not None]
        known = list(dict.fromkeys(text for text in hashes if text))
        if known:
            hashed[key] = known
    return hashed


def _country(user_data: UserData | dict[str, Any]) -> str:
    value = user_data.get("country")
    first = value[0] if isinstance(value, list | tuple) and value else value
    return country_code(first) or "" if isinstance(first, str) else ""


def to_json(event: Event) -> bytes:
    """The event on the wire. Raises TypeError for what JSON cannot hold."""
    try:
        return msgspec.json.encode(event)
    except UnicodeEncodeError:
        # Half a surrogate pair, as a visitor may send it, must not end the visitor's request.
        plain = msgspec.to_builtins(event, str_keys=True)
        return json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace")


def without_personal(event: Event, phone_country: str = "") -> dict[str, Any]:
    """The event as it goes to disk and wire, with nothing personal outside `user_data`: no e-mail
    address, no value of a key such as `phone`, neither in addresses of pages nor in `custom_data`.
    Two event or order ids that hold an address stay two: each becomes its SHA-256.

    Raises TypeError for what JSON cannot hold.
    """
    # Through JSON, since tuples, structs and dates hide what is in them.
    plain: dict[str, Any] = msgspec.json.decode(to_json(event))
    user_data = plain.pop("user_data", None)
    event_id = plain.pop("event_id", None)
    order_id = plain.get("custom_data", {}).get("order_id")
    plain = redact(plain)
    if type(order_id) is str:
        plain["custom_data"] = {**plain["custom_data"], "order_id": stored_event_id(order_id)}
    for key in {"event_source_url", "referrer_url"} & plain.keys():
        plain[key] = redact_url(plain[key])
    if user_data is not None:
        plain["user_data"] = hash_user_data(user_data, phone_country)
    if event_id is not None:
        plain["event_id"] = stored_event_id(str(event_id))
    return plain


def purchase(value: float | str, currency: str, **custom_data: Any) -> Event:
    """A completed order, with `order_id`, `contents` and so on as keywords."""
    return _event("Purchase", {"value": value, "currency": currency, **custom_data})


def page_view(**custom_data: Any) -> Event:
    """A page was opened."""
    return _event("PageView", custom_data)


def view_content(**custom_data: Any) -> Event:
    """A product or article was looked at."""
    return _event("ViewContent", custom_data)


def add_to_cart(**custom_data: Any) -> Event:
    """A product was put into the cart."""
    return _event("AddToCart", custom_data)


def initiate_checkout(**custom_data: Any) -> Event:
    """A checkout was begun."""
    return _event("InitiateCheckout", custom_data)


def lead(**custom_data: Any) -> Event:
    """A visitor left details to be contacted."""
    return _event("Lead", custom_data)


def complete_registration(**custom_data: Any) -> Event:
    """An account was made."""
    return _event("CompleteRegistration", custom_data)


def search(search_string: str, **custom_data: Any) -> Event:
    """The site was searched."""
    return _event("Search", {"search_string": search_string, **custom_data})


def _event(event_name: str, custom_data: dict[str, Any]) -> Event:
    return Event(event_name=event_name, custom_data=custom_data or None)
