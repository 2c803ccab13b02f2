"""What ad platforms are called, and what stands where a network has put no value into its macro."""

from __future__ import annotations

import re

from doublet.accept.fields import Fault, read_id
from doublet.redact import redact

PLATFORMS: dict[str, str] = {
    "meta": "facebook fb instagram ig messenger msg threads audience_network facebook_ads meta_ads",
    "google": "google_ads googleads adwords gads youtube yt",
    "microsoft": "bing bing_ads bingads microsoft_ads msads",
    "tiktok": "tiktok_ads tt",
    "pinterest": "pinterest_ads",
    "snapchat": "snap snapchat_ads",
    "x": "twitter twitter_ads x_ads",
    "linkedin": "linkedin_ads",
    "reddit": "reddit_ads",
}
"""The name that is stored, with other names it goes by. A network that is not here keeps its own
name, such as `taboola`."""

NAME_LENGTH_MAX = 400
"""Longer names of campaigns, ad sets and ads are cut."""

_CALLED = {other: name for name, others in PLATFORMS.items() for other in (name, *others.split())}
_joints = re.compile(r"[\s_]+").sub
_is_platform = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}").fullmatch
# {clickid}, {{ad.id}}, ${CLICK}, %%CLICK%% anywhere; [CLICK], <click>, __CLICK__ (TikTok) alone.
_placeholder = re.compile(
    r"\$?\{\{?[^{}]*\}\}?|%%[^%]*%%|^(?:\[\w+\]|<\w+>|__[A-Z0-9_]+__)$"
).search
# 9.8E+15 and 9,8E+15, as spreadsheets write long numbers.
_is_rounded = re.compile(r"-?\d(?:[.,]\d*)?[eE]\+\d{1,3}").fullmatch
_may_be_shown = re.compile(r"[{}$%<>\[\]\w.]{1,40}", re.ASCII).fullmatch
_control = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+").sub


def platform_of(name: str) -> str | None:
    """A platform's name as it is stored, None for what can be none.

    >>> platform_of("Facebook"), platform_of("Google Ads"), platform_of("taboola")
    ('meta', 'google', 'taboola')
    """
    word = _joints("_", name.strip().lower())
    return _CALLED.get(word) or (word if _is_platform(word) else None)


def is_known(name: str) -> bool:
    """Whether it is one of `PLATFORMS`, or another name of one; anything else may be somebody's."""
    return _joints("_", name.strip().lower()) in _CALLED


def read_platform(given: str | None) -> str:
    """The same for a field. Raises Fault."""
    if not (given or "").strip():
        raise Fault(
            "platform is missing; write meta, google, tiktok or the network's own name.", "platform"
        )
    check_filled("platform", str(given))
    found = platform_of(str(given))
    if found is None:
        raise Fault(
            "platform is no name; write up to 40 letters, digits, _ or -, such as taboola.",
            "platform",
        )
    return found


def check_filled(field: str, text: str) -> None:
    """Raises Fault for a macro that its network has not replaced."""
    found = _placeholder(text)
    if found:
        shown = f" {found[0]}" if _may_be_shown(found[0]) else ""
        raise Fault(
            f"{field} is still the placeholder{shown}; write the macro as the network spells it, "
            "or leave the parameter out.",
            field,
        )


def read_ad_id(field: str, given: object) -> str | None:
    """An id of an ad, of what it belongs to or of a click; no placeholder, and no number that a
    spreadsheet has rounded. Raises Fault."""
    text = str(given).strip() if given is not None else ""
    check_filled(field, text)
    if _is_rounded(text):
        raise Fault(
            f"{field} has lost digits in a spreadsheet, which writes long numbers as 9.8E+15; "
            "format the column as text there and export again.",
            field,
        )
    return read_id(field, text)


def read_name(given: object) -> str | None:
    """What people call a campaign, an ad set or an ad: one line without addresses.

    >>> read_name(" Spring\\nsale "), read_name("")
    ('Spring sale', None)
    """
    text = _control(" ", str(given)).strip() if given is not None else ""
    return str(redact(text))[:NAME_LENGTH_MAX] or None
