"""What operators may enter about accounts and pixels: each check gives back what is kept."""

from __future__ import annotations

import re
from collections.abc import Iterable
from zoneinfo import available_timezones

from doublet.errors import OperatorError

NAME_LENGTH_MAX = 200
SECRET_LENGTH_MAX = 128
USER_NAME_LENGTH_MAX = 64
PASSWORD_LENGTH_MIN = 12
PASSWORD_LENGTH_MAX = 256


def time_zones() -> list[str]:
    """The IANA names that an account may have, sorted."""
    # A name such as `localtime` is this machine's affair, and Factory says that none was chosen.
    return sorted(n for n in available_timezones() if not n.islower() and n != "Factory")


def check_time_zone(name: str) -> str:
    """An IANA name as it is. Raises OperatorError for what is none."""
    if name not in time_zones():
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


def check_name(name: str, what: str = "an account or pixel") -> str:
    """What people call something. Raises OperatorError for nothing, for several lines
    and for what is too long."""
    if not name.strip() or len(name) > NAME_LENGTH_MAX or _has_control(name):
        raise OperatorError(
            f"That is no name for {what}.",
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


_is_user_name = re.compile(r"[a-z0-9][a-z0-9._@+-]*", re.ASCII).fullmatch


def check_user_name(name: str) -> str:
    """A name to sign in with, in lower case. Raises OperatorError for what cannot be one."""
    name = name.strip().lower()
    if len(name) > USER_NAME_LENGTH_MAX or not _is_user_name(name):
        raise OperatorError(
            "That is no user name.",
            f"Use 1 to {USER_NAME_LENGTH_MAX} letters (a to z), digits and . _ - @ +, beginning "
            "with a letter or digit.",
        )
    if name == "operator":
        raise OperatorError(
            "operator is what the record calls the command line.", "Choose another name."
        )
    return name


def check_password(password: str, user_name: str) -> str:
    """A password as it is. Raises OperatorError for one that is too short or too long, and for the
    user's own name."""
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        raise OperatorError(
            f"A password has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters.",
            "Several words in a row are easy to keep in mind and hard to guess.",
        )
    if password.strip().lower() == user_name.lower():
        raise OperatorError("The password is the user name.", "Choose one that nobody can guess.")
    return password


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
