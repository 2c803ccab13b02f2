"""What reports of conversions are asked, and how an address says it.

Each report has a struct of its own. Its fields are the options of the command and the parameters
of the address, so that the command line can put the same question to a worker.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import msgspec

from doublet.catalog import ReportRules
from doublet.errors import SenderError

DAY_S = 86_400
T = TypeVar("T", bound="Asked")


class Setting(NamedTuple):
    """An attribution setting: for how many days a click, an engaged view and a view may claim what
    follows; 0 means never. A click goes before an engaged view, and that before a view."""

    click_days: int = 7
    engaged_view_days: int = 1
    view_days: int = 1

    @classmethod
    def read(cls, text: str) -> Self:
        """The setting that a text names. Raises SenderError for any other text.

        >>> Setting.read("28d_click,1d_view")
        Setting(click_days=28, engaged_view_days=0, view_days=1)
        """
        if text.strip() == _NOTHING:
            return cls(0, 0, 0)
        days = {"click": 0, "ev": 0, "view": 0}
        for word in text.split(","):
            if word.strip() not in _WORDS:
                raise SenderError(
                    f"{text!r} is no attribution setting: {word.strip()!r} is unknown.",
                    f"Name one or more of {', '.join(_WORDS)}, with a comma between, or none.",
                )
            number, kind = _WORDS[word.strip()]
            if days[kind]:
                raise SenderError(
                    f"{text!r} is no attribution setting: it names {kind} twice.", "Keep one."
                )
            days[kind] = number
        return cls(days["click"], days["ev"], days["view"])

    @classmethod
    def of(cls, rules: ReportRules) -> Self:
        """The account's own."""
        return cls(rules.click_days, rules.engaged_view_days, rules.view_days)

    def __str__(self) -> str:
        parts = {"click": self.click_days, "ev": self.engaged_view_days, "view": self.view_days}
        return ",".join(f"{days}d_{kind}" for kind, days in parts.items() if days) or _NOTHING

    @property
    def seconds(self) -> dict[str, int]:
        """The parameters of texts that join touchpoints."""
        return {
            "click_s": self.click_days * DAY_S,
            "engaged_view_s": self.engaged_view_days * DAY_S,
            "view_s": self.view_days * DAY_S,
        }


_WORDS = {
    "1d_click": (1, "click"),
    "7d_click": (7, "click"),
    "28d_click": (28, "click"),
    "1d_ev": (1, "ev"),
    "1d_view": (1, "view"),
}
_NOTHING = "none"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which conversions a report is about: those of these events, on these days of the account's
    zone (the last one included), from one pixel or all. `first` counts only the first conversion
    of a person after one and the same touch. What is left open (no event_name, `first` None) is as
    the account's own rules say."""

    counts_all: ClassVar[bool] = False
    """Of reports about persons and orders: none is left out as not the first."""

    pixel_id: str | None = None
    since: date | None = None
    until: date | None = None
    event_name: tuple[str, ...] = ()
    first: bool | None = None

    def under(self, rules: ReportRules) -> Self:
        """With what is left open as an account's rules say; where they name no conversions, these
        are purchases."""
        found: dict[str, Any] = {}
        if not self.event_name:
            found["event_name"] = rules.conversions or ("Purchase",)
        if self.first is None:
            found["first"] = rules.count == "first" and not self.counts_all
        return msgspec.structs.replace(self, **found)

    @property
    def attribution(self) -> Setting:
        """By which touches conversions are told apart where only the first after each counts."""
        return Setting()

    def check(self) -> None:
        """Raises SenderError when this cannot be meant."""
        if not all(self.event_name):
            raise SenderError("event_name is empty.", "Name an event, such as Purchase.")
        if self.first and self.counts_all:
            raise SenderError("This report counts all that a person does.", "Leave first out.")
        if self.since and self.until and self.until < self.since:
            raise SenderError(f"until ({self.until}) is before since ({self.since}).", "Swap them.")


class SettingAsked(Asked, frozen=True, kw_only=True):
    """Also by which attribution setting; an empty one is the account's."""

    setting: str = ""

    @property
    def attribution(self) -> Setting:
        """The setting, Meta's usual one if it is left open. Raises SenderError for what is none."""
        return Setting.read(self.setting) if self.setting else Setting()

    def check(self) -> None:
        """Raises SenderError when this cannot be meant."""
        Asked.check(self)
        if self.setting:
            Setting.read(self.setting)

    def under(self, rules: ReportRules) -> Self:
        """See Asked."""
        asked = Asked.under(self, rules)
        return msgspec.structs.replace(asked, setting=self.setting or str(Setting.of(rules)))


def parameters(asked: Asked) -> dict[str, str | list[str]]:
    """As parameters of an address, without those that are as usual.

    >>> parameters(Asked(since=date(2026, 11, 1), event_name=("Lead", "Contact")))
    {'since': '2026-11-01', 'event_name': ['Lead', 'Contact']}
    """
    usual = type(asked)()
    found: dict[str, str | list[str]] = {}
    for name in asked.__struct_fields__:
        value = getattr(asked, name)
        if value is None or value == getattr(usual, name):
            continue
        key = "pixel" if name == "pixel_id" else name
        if isinstance(value, tuple):
            found[key] = [str(part) for part in value]
        else:
            found[key] = ("1" if value else "0") if isinstance(value, bool) else str(value)
    return found


def _choices(hint: Any) -> tuple[str, ...]:
    """The values of a Literal in a type hint."""
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)
    found = (_choices(part) for part in typing.get_args(hint))
    return next((choices for choices in found if choices), ())


def _wrong(
    name: str, values: Sequence[Any], hint: Any, error: msgspec.ValidationError
) -> SenderError:
    choices = _choices(hint)
    why = f"choose from {', '.join(choices)}" if choices else str(error)
    return SenderError(f"{name} is {', '.join(repr(str(each)[:40]) for each in values)}: {why}.")


def read_options(kind: type[T], given: Mapping[str, Any]) -> T:
    """The question that a command's options ask. Raises SenderError naming what is wrong."""
    try:
        asked = msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        name = str(error).partition("$.")[2].partition("[")[0].rstrip("`")
        value = given.get(name)
        values = value if isinstance(value, tuple | list) else [value]
        hint = typing.get_type_hints(kind, include_extras=True).get(name)
        raise _wrong(name, values, hint, error) from error
    asked.check()
    return asked


def read_parameters(
    kind: type[T], given: Mapping[str, Sequence[str]], known: Mapping[str, Any]
) -> T:
    """The question that an address asks; an empty parameter counts as not given. `known` are the
    fields that have been read already. Raises SenderError naming what is wrong."""
    fields: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        values = [value for value in given.get(name, ()) if value]
        if name in known or not values or name not in kind.__struct_fields__:
            continue
        value: Any = values if typing.get_origin(hint) is tuple else values[-1]
        try:
            fields[name] = msgspec.convert(value, hint, strict=False)
        except msgspec.ValidationError as error:
            raise _wrong(name, values, hint, error) from error
    asked = kind(**{**fields, **known})
    asked.check()
    return asked
