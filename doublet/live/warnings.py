"""The flags of events in plain words, each with what its sender can do about it."""

# ruff: noqa: E501

from __future__ import annotations

import msgspec


class Advice(msgspec.Struct, frozen=True):
    """A flag, what it says, and the fix."""

    flag: str
    says: str
    fix: str


_BROWSER_PURCHASE = "Give fbq('track', 'Purchase', …) a value and a currency."

# One flag a line reads as the table that it is.
# fmt: off
WORDS: dict[str, tuple[str, str]] = {
    "missing_ts": ("The hit says no time, so that of its receipt counts.", "Send ts, in milliseconds since 1970."),
    "ts_out_of_range": ("Its time is more than 7 days ago or a day ahead, so that of its receipt counts.", "Set the visitor's clock, or send events as they happen."),
    "event_time_in_future": ("event_time is more than 5 minutes after receipt.", "Set the sender's clock; send Unix seconds in UTC."),
    "missing_user_data": ("It has no user_data.", "Send user_data, at least fbp."),
    "weak_user_data": ("Nothing in user_data could identify a visitor.", "Send em, ph, external_id, fbp or fbc, or IP address with user agent."),
    "unknown_user_data": ("user_data has a key that Meta does not know; it was dropped.", "Compare the keys with Meta's page Customer information parameters."),
    "invalid_value": ("custom_data.value is no plain number.", "Send 1234.50: no symbol, no thousands separator."),
    "invalid_currency": ("custom_data.currency is no code of three letters.", "Send ISO 4217, such as EUR."),
    "missing_value": ("A Purchase without a value.", _BROWSER_PURCHASE),
    "missing_currency": ("A Purchase without a currency.", _BROWSER_PURCHASE),
    "missing_action_source": ("action_source is missing.", "Send action_source, such as website."),
    "invalid_action_source": ("action_source is none of Meta's.", "Send one of Meta's values, such as website."),
    "missing_event_source_url": ("A website event without event_source_url.", "Send the address of the page."),
    "unknown_contents_key": ("An entry of contents has a key that Meta does not know.", "Use id, quantity, item_price, title, description, brand, category, delivery_category."),
    "invalid_lead_id": ("lead_id has not 15 to 17 digits.", "Send it as Lead Ads gave it."),
    "missing_extinfo": ("An app event without app_data.extinfo.", "Send extinfo as Meta's SDK for apps makes it."),
    "missing_os_version": ("app_data.extinfo names no OS version.", "Fill its fifth entry, such as 17.4."),
    "invalid_messaging_event": ("Business messaging does not know this event name.", "Use Purchase, LeadSubmitted, …"),
    "missing_messaging_channel": ("messaging_channel is missing.", "Send whatsapp, messenger or instagram."),
    "invalid_messaging_channel": ("messaging_channel is none of Meta's.", "Send whatsapp, messenger or instagram."),
    "missing_whatsapp_ids": ("A WhatsApp event names neither its account nor its page.", "Add page_id or whatsapp_business_account_id to user_data."),
    "invalid_fbp": ("fbp is not fb.1.<ms>.<number>; it was dropped.", "Send the cookie _fbp as it is."),
    "invalid_fbc": ("fbc has not the form of a click id; it was dropped.", "Send the cookie _fbc as it is, its case kept."),
    "invalid_em": ("em is neither an address nor its SHA-256; it was dropped.", "Trim, lower the case, hash once."),
    "invalid_ph": ("ph is neither a number nor its SHA-256; it was dropped.", "Digits with the country code, hashed once."),
    "invalid_client_ip_address": ("client_ip_address is no address; it was dropped.", "Send the visitor's one IPv4 or IPv6 address."),
    "blocked_domain": ("The page's domain is not one that the pixel's rules allow.", "If it is yours, allow it: doublet pixel edit ID --allow-domain HOST."),
    "bot": ("The user agent is that of a crawler.", "None, unless it is a person's: then leave --mark-bots off."),
    "over_quota": ("The pixel has had more hits this hour than its rules allow.", "Raise it: doublet pixel edit ID --hits-per-hour N."),
    "erased": ("The person's identifiers were erased.", "None; the event still counts."),
}
# fmt: on

_PREFIXES = {
    "dud_": (
        "{key} is a stand-in for a missing value (null, nothing, test@test.com, …); it was dropped.",
        "Leave {key} out when it is not known.",
    ),
    "invalid_": (
        "{key} is not what it should be; it was dropped.",
        "Compare it with Meta's page Customer information parameters.",
    ),
    "too_many_": ("{key} has more than 100 values; the rest was dropped.", "Send fewer of them."),
}


def advise(flag: str) -> Advice:
    """A flag in words; one that has none yet is told by its name.

    >>> advise("dud_em").fix
    'Leave em out when it is not known.'
    """
    if flag in WORDS:
        return Advice(flag, *WORDS[flag])
    for prefix, (says, fix) in _PREFIXES.items():
        if flag.startswith(prefix):
            key = flag.removeprefix(prefix)
            return Advice(flag, says.format(key=key), fix.format(key=key))
    return Advice(flag, f"It is marked {flag}.", "The documentation tells what that means.")
