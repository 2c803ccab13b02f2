"""What operators may enter about accounts and pixels: each check gives back what is kept."""

from __future__ import annotations

import re
from collections.abc import Iterable
from zoneinfo import available_timezones

from doublet.errors import OperatorError

NAME_LENGTH_MAX = 200
SECRET_LENGTH_MAX = 128


def check_time_zone(name: str) -> str:
    """An IANA name as it is. Raises OperatorError for what is none."""
    # A name such as `localtime` is this machine's affair; the engine does not know it.
    if name not in available_timezones() or name.islower():
        raise OperatorError(
            f"Unknown time zone {name!r}.", "Use an IANA name such as Europe/Berlin."
        )
    return name


def check_currency(code: str) -> str:
    """An ISO 4217 code in upper case. Raises OperatorError for what is none."""
    from iso4217 import Currency

    if code.upper() not in {currency.code for currency in Currency}:
        raise OperatorError(f"Unknown currency {code!r}.", "Use an ISO 4217 code such as EUR.")
    return code.upper()


_has_control = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]").search


def check_name(name: str) -> str:
    """What people call an account or pixel. Raises OperatorError for nothing, for several lines
    and for what is too long."""
    if not name.strip() or len(name) > NAME_LENGTH_MAX or _has_control(name):
        raise OperatorError(
            "That is no name for an account or pixel.",
            f"Use 1 to {NAME_LENGTH_MAX} characters in one line.",
        )
    return name.strip()


def check_app_secret(secret: str) -> str:
    """A secret as it is. Raises OperatorError for several lines and for what is too long."""
    if len(secret) > SECRET_LENGTH_MAX or _has_control(secret):
        raise OperatorError(
            "That is no app secret.",
            f"Write at most {SECRET_LENGTH_MAX} characters, in one line, and nothing else.",
        )
    return secret


def check_phone_country(code: str) -> str:
    """An ISO 3166 code in upper case, or nothing. Raises OperatorError for what is none."""
    from phonenumbers import SUPPORTED_REGIONS

    if code and code.upper() not in SUPPORTED_REGIONS:
        raise OperatorError(f"Unknown country {code!r}.", "Use a code such as DE.")
    return code.upper()


def check_domains(domains: Iterable[str]) -> list[str]:
    """Hosts and `*.example.com` in lower case as browsers send them (`xn--bcher-kva.example` for
    `bücher.example`), without empty ones. Raises OperatorError for an address, a port or a star
    elsewhere."""
    return sorted({_domain(domain) for domain in domains if domain.strip()})


def _domain(text: str) -> str:
    import idna

    star, rest = ("*.", text.strip()[2:]) if text.strip()[:2] == "*." else ("", text.strip())
    try:
        host = rest if rest.isascii() else idna.encode(rest, uts46=True).decode()
    except idna.IDNAError:
        host = ""
    domain = star + host.lower().rstrip(".")
    if not _is_domain(domain):
        raise OperatorError(
            f"{text!r} is no domain.", "Write a host such as shop.example or *.shop.example."
        )
    return domain


_is_domain = re.compile(r"(\*\.)?[\w-]{1,63}(\.[\w-]{1,63})*", re.ASCII).fullmatch


_is_part = re.compile(r"(1|7|28)d_(click|ev|view)", re.ASCII).fullmatch
_DAYS = {"click": (1, 7, 28), "ev": (1,), "view": (1,)}


def check_attribution(text: str) -> dict[str, int]:
    """The days of each kind of touch, of an attribution setting such as `7d_click,1d_ev,1d_view`; 0
    for a kind that is not named. Raises OperatorError for what is none."""
    days = dict.fromkeys(_DAYS, 0)
    for part in filter(None, (each.strip() for each in text.split(","))):
        found = _is_part(part)
        if not found or int(found[1]) not in _DAYS[found[2]] or days[found[2]]:
            raise OperatorError(
                f"{text!r} is no attribution setting.",
                "Name one of 1d_click, 7d_click, 28d_click, and 1d_ev and 1d_view or not, "
                "e.g. 7d_click,1d_ev,1d_view.",
            )
        days[found[2]] = int(found[1])
    return days


_is_rate = re.compile(r"[0-9]{1,9}([.][0-9]{1,12})?", re.ASCII).fullmatch


def check_rate(text: str) -> tuple[str, str]:
    """A currency and what one unit of it is worth, of a text such as `USD=0.92`; nothing behind the
    sign means that it is not known. Raises OperatorError for what is no rate."""
    code, sign, rate = text.partition("=")
    if not sign or (rate and (not _is_rate(rate) or not rate.strip("0."))):
        raise OperatorError(
            f"{text!r} is no rate of a currency.", "Write what one unit is worth, e.g. USD=0.92."
        )
    return check_currency(code), rate
