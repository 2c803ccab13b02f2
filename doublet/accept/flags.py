"""What each flag of an event says, and what would mend it."""

from __future__ import annotations

import msgspec


class Advice(msgspec.Struct, frozen=True):
    """A flag, what it says of the event, and what its sender can do about it."""

    flag: str
    says: str
    fix: str


FLAGS: dict[str, tuple[str, str]] = {
    "automatic": (
        "The browser library reported it by itself, such as a click on a button.",
        "Nothing; `fbq('set', 'autoConfig', false, PIXEL)` before `init` stops it.",
    ),
    "blocked_domain": (
        "The page's domain is blocked for this pixel, or not among those allowed.",
        "`doublet pixel edit --allow-domain` if it is yours.",
    ),
    "bot": (
        "The browser calls itself a crawler or script, or nothing.",
        "Nothing, unless you test with it.",
    ),
    "datacenter": (
        "It came from an address in the file of datacentres.",
        "Nothing, unless it is yours: then take it out of `datacenter_networks`.",
    ),
    "erased": ("Its person was erased.", "Nothing."),
    "event_time_in_future": (
        "event_time is more than five minutes ahead of the clock here.",
        "Set the sender's clock, or send the time of the event.",
    ),
    "history": (
        "It was imported as history: in the reports, and told to no destination.",
        "Nothing; import what destinations shall be told without --history.",
    ),
    "invalid_action_source": (
        "action_source is none of Meta's words.",
        "Use website, app, physical_store, system_generated, …",
    ),
    "invalid_client_ip_address": (
        "client_ip_address is no address; it was dropped.",
        "Send the visitor's one IPv4 or IPv6 address.",
    ),
    "invalid_currency": (
        "ISO 4217 does not know this currency.",
        "Send custom_data.currency as in EUR.",
    ),
    "invalid_em": (
        "em is neither an address nor its SHA-256; it was dropped.",
        "Trim, lower the case, hash once.",
    ),
    "invalid_fbc": (
        "fbc has not the form of a click id; it was dropped.",
        "Send the cookie _fbc as it is, its case kept.",
    ),
    "invalid_fbp": (
        "fbp has not the form fb.1.TIME.NUMBER; it was dropped.",
        "Send the cookie _fbp as it is.",
    ),
    "invalid_lead_id": ("lead_id has not 15 to 17 digits.", "Send it as Lead Ads gave it."),
    "invalid_messaging_channel": (
        "messaging_channel is none of Meta's words.",
        "Use whatsapp, messenger or instagram.",
    ),
    "invalid_messaging_event": (
        "Business messaging does not know this event_name.",
        "Use Purchase, LeadSubmitted, …",
    ),
    "invalid_ph": (
        "ph is neither a number nor its SHA-256; it was dropped.",
        "Digits with the country code, hashed once.",
    ),
    "invalid_value": (
        "custom_data.value is no plain number.",
        "Send it as in 49.90, without currency or thousands.",
    ),
    "missing_action_source": (
        "action_source is missing.",
        "Say where it happened, for a shop's site website.",
    ),
    "limited_data_use": (
        "Its data may be used in a limited way only (Limited Data Use).",
        "Nothing: it joins no person, and goes to no destination that cannot be told of it.",
    ),
    "missing_currency": (
        "A Purchase without a currency.",
        "Send custom_data.currency as in EUR.",
    ),
    "missing_event_source_url": (
        "A website event without its page.",
        "Add event_source_url.",
    ),
    "missing_extinfo": (
        "An app event without app_data.extinfo.",
        "Add the sixteen entries, the fifth being the OS version.",
    ),
    "missing_messaging_channel": (
        "messaging_channel is missing.",
        "Say whatsapp, messenger or instagram.",
    ),
    "missing_os_version": (
        "app_data.extinfo names no OS version.",
        "Fill its fifth entry.",
    ),
    "missing_ts": (
        "The hit bears no time, so that of its receipt counts.",
        "Send ts, in milliseconds since 1970.",
    ),
    "missing_user_data": ("It says nothing about the visitor.", "Add user_data."),
    "missing_value": ("A Purchase without a value.", "Send custom_data.value, a number."),
    "missing_whatsapp_ids": (
        "A WhatsApp event names neither its account nor its page.",
        "Add page_id or whatsapp_business_account_id.",
    ),
    "no_event_id": (
        "Without event_id a repeated request counts again, and no browser copy is found by id.",
        "Send the same event_id as the browser's eventID.",
    ),
    "over_quota": (
        "The pixel has had more hits in this hour than its quota.",
        "`doublet pixel edit --hits-per-hour` if they are yours.",
    ),
    "touched_at_in_future": (
        "touched_at of an ad touch is more than five minutes ahead of the clock here.",
        "Set the sender's clock, or send the time of the touch.",
    ),
    "ts_out_of_range": (
        "The hit's time is too old or in the future, so that of its receipt counts.",
        "Set the sender's clock.",
    ),
    "unknown_contents_key": (
        "An entry of contents has a key that Meta does not know.",
        "Use id, quantity, item_price, title, description, brand, category, delivery_category.",
    ),
    "unknown_user_data": (
        "user_data has keys that Meta does not know; their values are dropped.",
        "Use the keys of *Customer information parameters*.",
    ),
    "weak_user_data": (
        "What it says about the visitor fits a multitude.",
        "Add em, ph, external_id, fbp, fbc, or IP address with user agent.",
    ),
}
"""Flags by name: what happened, and the fix. `dud_`, `invalid_` and `too_many_` stand before keys
of `user_data`, see `advise`."""


_OF_KEYS = {
    "dud_": (
        "{key} is that of a placeholder, such as null or test@example.com; it was dropped.",
        "Leave {key} out when there is none.",
    ),
    "invalid_": (
        "{key} has no usable value; it was dropped.",
        "Compare it with Meta's page *Customer information parameters*.",
    ),
    "too_many_": ("{key} has more than a hundred values; the first are kept.", "Send fewer."),
}


def advise(flag: str) -> Advice:
    """A flag in words; one that has none is told by its name.

    >>> advise("dud_em").fix
    'Leave em out when there is none.'
    """
    if flag in FLAGS:
        return Advice(flag, *FLAGS[flag])
    for prefix, (says, fix) in _OF_KEYS.items():
        if flag.startswith(prefix):
            key = flag.removeprefix(prefix)
            return Advice(flag, says.format(key=key), fix.format(key=key))
    return Advice(flag, f"It is marked {flag}.", "")
