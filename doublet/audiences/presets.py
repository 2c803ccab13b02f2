"""The usual audiences of retargeting in plain words: each makes an ordinary rule in the wire form,
which could as well be given to Meta."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import msgspec

from doublet.audiences.rule import DAY_S, RETENTION_MAX_DAYS
from doublet.errors import SenderError

_is_whole = re.compile(r"[0-9]{1,6}", re.ASCII).fullmatch
_is_amount = re.compile(r"[0-9]{1,12}([.][0-9]{1,4})?", re.ASCII).fullmatch
_is_currency = re.compile(r"[A-Za-z]{3}", re.ASCII).fullmatch
_TEXT_MAX = 500
_IDS_MAX = 1_000

Json = dict[str, Any]
Given = Mapping[str, str]


class PresetError(SenderError):
    """No such preset, or a parameter that it cannot use."""

    code = "preset"


class Parameter(NamedTuple):
    """What a preset wants to know. `unit` is days, times, amount, currency, text or ids (texts with
    commas between); a `default` that is None has to be given, and an empty one may stay empty."""

    name: str
    default: str | None
    unit: str
    words: str


class Preset(NamedTuple):
    """One usual audience. `words` say who is in it."""

    name: str
    title: str
    words: str
    parameters: tuple[Parameter, ...]
    build: Callable[[Sequence[Json], Given], Json]

    def make(self, pixel_ids: Sequence[str], parameters: Mapping[str, Any] | None = None) -> str:
        """The rule, as JSON text, for events of these pixels; what is not among `parameters` has
        its default. Raises PresetError."""
        given = {key: str(value).strip() for key, value in (parameters or {}).items()}
        known = [each.name for each in self.parameters]
        for key in given:
            if key not in known:
                raise PresetError(
                    f"The preset {self.name} has no such parameter.",
                    f"It has {', '.join(known)}.",
                )
        if not pixel_ids:
            raise PresetError(
                "A rule needs at least one pixel.", "Create one: doublet pixel create."
            )
        used = {each.name: _checked(self, each, given.get(each.name)) for each in self.parameters}
        sources = [{"id": each, "type": "pixel"} for each in pixel_ids]
        return msgspec.json.encode(self.build(sources, used)).decode()


def preset(name: str) -> Preset:
    """The one of this name. Raises PresetError, with the nearest name there is."""
    names = [each.name for each in PRESETS]
    if name not in names:
        near = get_close_matches(name, names, 1)
        raise PresetError(
            "There is no preset of this name.",
            f"Did you mean {near[0]}?" if near else f"There are {', '.join(names)}.",
        )
    return PRESETS[names.index(name)]


def _checked(of: Preset, parameter: Parameter, given: str | None) -> str:
    value = parameter.default if given is None else given
    if value is None or (value == "" and parameter.default != ""):
        raise PresetError(
            f"The preset {of.name} needs {parameter.name}: {parameter.words}.",
        )
    wants: dict[str, tuple[str, Callable[[str], Any]]] = {
        "days": (f"a whole number from 1 to {RETENTION_MAX_DAYS}", _is_days),
        "times": ("a whole number from 1 on", lambda text: _is_whole(text) and int(text) > 0),
        "amount": ("a number as 99.50", _is_amount),
        "currency": ("a currency as EUR", lambda text: not text or _is_currency(text)),
        "text": (f"a text of at most {_TEXT_MAX} characters", _is_short),
        "ids": (f"1 to {_IDS_MAX} ids with commas between", _is_list),
    }
    what, fits = wants[parameter.unit]
    if not fits(value):
        raise PresetError(f"{parameter.name} of the preset {of.name} must be {what}.")
    return value


def _is_days(text: str) -> bool:
    return bool(_is_whole(text)) and 1 <= int(text) <= RETENTION_MAX_DAYS


def _is_short(text: str) -> bool:
    return len(text) <= _TEXT_MAX


def _is_list(text: str) -> bool:
    return 1 <= len(_ids(text)) <= _IDS_MAX


def _ids(text: str) -> list[str]:
    return sorted({each.strip() for each in text.split(",") if each.strip()})


# --- parts of rules --------------------------------------------------------------------------


def _is(field: str, value: Any, operator: str = "eq") -> Json:
    return {"field": field, "operator": operator, "value": value}


def _all(*filters: Json) -> Json:
    return {"operator": "and", "filters": list(filters)}


def _one(*filters: Json) -> Json:
    return {"operator": "or", "filters": list(filters)}


def _choice(
    sources: Sequence[Json], days: str, chosen: Json, aggregation: Json | None = None
) -> Json:
    rule: Json = {
        "event_sources": list(sources),
        "retention_seconds": int(days) * DAY_S,
        "filter": chosen,
    }
    return rule | ({"aggregation": aggregation} if aggregation else {})


def _rule(included: Json, *excluded: Json) -> Json:
    rule: Json = {"inclusions": {"operator": "or", "rules": [included]}}
    if excluded:
        rule["exclusions"] = {"operator": "or", "rules": list(excluded)}
    return rule


def _event(name: str) -> Json:
    return _all(_is("event", name))


def _count(operator: str, times: str) -> Json:
    return {"type": "count", "operator": operator, "value": times}


# --- what each makes -------------------------------------------------------------------------


def _visitors(sources: Sequence[Json], given: Given) -> Json:
    return _rule(_choice(sources, given["days"], _all(_is("url", "", "i_contains"))))


def _visitors_of(sources: Sequence[Json], given: Given) -> Json:
    return _rule(_choice(sources, given["days"], _all(_is("url", given["text"], "i_contains"))))


def _often(sources: Sequence[Json], given: Given) -> Json:
    return _rule(_choice(sources, given["days"], _event("PageView"), _count(">=", given["times"])))


def _viewed_not_carted(sources: Sequence[Json], given: Given) -> Json:
    later = _one(_is("event", "AddToCart"), _is("event", "Purchase"))
    return _rule(
        _choice(sources, given["days"], _event("ViewContent")),
        _choice(sources, given["days"], later),
    )


def _not_bought(did: str) -> Callable[[Sequence[Json], Given], Json]:
    """Did something and did not buy, in the same days."""

    def build(sources: Sequence[Json], given: Given) -> Json:
        return _rule(
            _choice(sources, given["days"], _event(did)),
            _choice(sources, given["days"], _event("Purchase")),
        )

    return build


def _never_bought(did: str) -> Callable[[Sequence[Json], Given], Json]:
    """Did something and did not buy for as long as is remembered."""

    def build(sources: Sequence[Json], given: Given) -> Json:
        return _rule(
            _choice(sources, given["days"], _event(did)),
            _choice(sources, str(RETENTION_MAX_DAYS), _event("Purchase")),
        )

    return build


def _bought(operator: str) -> Callable[[Sequence[Json], Given], Json]:
    def build(sources: Sequence[Json], given: Given) -> Json:
        counted = _count(operator, given.get("times", "1")) if operator else None
        return _rule(_choice(sources, given["days"], _event("Purchase"), counted))

    return build


def _spent(kind: str) -> Callable[[Sequence[Json], Given], Json]:
    """Purchases whose values together, or of which one, reach an amount."""

    def build(sources: Sequence[Json], given: Given) -> Json:
        currency = given["currency"].upper()
        chosen = _all(_is("event", "Purchase"), *([_is("currency", currency)] if currency else []))
        asked = {"type": kind, "field": "value", "operator": ">=", "value": given["amount"]}
        return _rule(_choice(sources, given["days"], chosen, asked))

    return build


def _lapsed(sources: Sequence[Json], given: Given) -> Json:
    if int(given["days"]) >= int(given["within_days"]):
        raise PresetError("days of the preset lapsed must be fewer than within_days.")
    return _rule(
        _choice(sources, given["within_days"], _event("Purchase")),
        _choice(sources, given["days"], _event("Purchase")),
    )


def _product(sources: Sequence[Json], given: Given) -> Json:
    product = _is("content_ids", _ids(given["ids"]), "is_any")
    looked = _one(_is("event", "ViewContent"), _is("event", "AddToCart"))
    return _rule(
        _choice(sources, given["days"], _all(looked, product)),
        _choice(sources, given["days"], _all(_is("event", "Purchase"), product)),
    )


def _category(sources: Sequence[Json], given: Given) -> Json:
    category = _is("content_category", given["text"], "i_contains")
    looked = _one(_is("event", "ViewContent"), _is("event", "AddToCart"))
    return _rule(
        _choice(sources, given["days"], _all(looked, category)),
        _choice(sources, given["days"], _event("Purchase")),
    )


def _days(default: int, words: str = "how long ago at most") -> Parameter:
    return Parameter("days", str(default), "days", words)


_AMOUNT = Parameter("amount", None, "amount", "at least this much")
_CURRENCY = Parameter(
    "currency", "", "currency", "only purchases in this currency; needed where a shop has several"
)

PRESETS: tuple[Preset, ...] = (
    Preset(
        "visitors",
        "All visitors",
        "Everybody who opened a page in the last days.",
        (_days(30),),
        _visitors,
    ),
    Preset(
        "visitors_of",
        "Visitors of an address",
        "Whoever opened a page whose address contains a text, in the last days.",
        (Parameter("text", None, "text", "what the address contains"), _days(30)),
        _visitors_of,
    ),
    Preset(
        "often",
        "Frequent visitors",
        "Whoever opened so many pages in the last days.",
        (Parameter("times", "5", "times", "so many page views at least"), _days(30)),
        _often,
    ),
    Preset(
        "viewed_not_carted",
        "Viewed, not carted",
        "Viewed a product in the last days, and neither put one into the cart nor bought then.",
        (_days(14),),
        _viewed_not_carted,
    ),
    Preset(
        "carted_not_bought",
        "Carted, not bought",
        "Put a product into the cart in the last days and bought nothing then.",
        (_days(14),),
        _not_bought("AddToCart"),
    ),
    Preset(
        "checkout_not_bought",
        "Left the checkout",
        "Went to the checkout in the last days and bought nothing then.",
        (_days(14),),
        _not_bought("InitiateCheckout"),
    ),
    Preset(
        "buyers",
        "Buyers",
        "Bought in the last days.",
        (_days(RETENTION_MAX_DAYS),),
        _bought(""),
    ),
    Preset(
        "bought_once",
        "Bought once",
        "Bought one time and no more in the last days.",
        (_days(RETENTION_MAX_DAYS),),
        _bought("="),
    ),
    Preset(
        "bought_again",
        "Bought again",
        "Bought at least so many times in the last days.",
        (Parameter("times", "2", "times", "so many purchases at least"), _days(RETENTION_MAX_DAYS)),
        _bought(">="),
    ),
    Preset(
        "high_value",
        "High value",
        "Whose purchases of the last days add up to an amount.",
        (_AMOUNT, _CURRENCY, _days(RETENTION_MAX_DAYS)),
        _spent("sum"),
    ),
    Preset(
        "big_order",
        "Big order",
        "Had a purchase of at least an amount in the last days.",
        (_AMOUNT, _CURRENCY, _days(RETENTION_MAX_DAYS)),
        _spent("max"),
    ),
    Preset(
        "lapsed",
        "Lapsed customers",
        "Bought before, but not in the last days.",
        (
            _days(60, "without a purchase for so long"),
            Parameter("within_days", str(RETENTION_MAX_DAYS), "days", "bought so long ago at most"),
        ),
        _lapsed,
    ),
    Preset(
        "product",
        "Looked at a product",
        "Viewed or carted one of these products in the last days and bought none of them then.",
        (Parameter("ids", None, "ids", "content ids of the products"), _days(30)),
        _product,
    ),
    Preset(
        "category",
        "Looked at a category",
        "Viewed or carted something of a category in the last days and bought nothing then.",
        (
            Parameter("text", None, "text", "what content_category contains"),
            _days(30),
        ),
        _category,
    ),
    Preset(
        "leads_not_customers",
        "Leads, not customers",
        f"Left their details in the last days, and bought nothing in {RETENTION_MAX_DAYS} days.",
        (_days(90),),
        _never_bought("Lead"),
    ),
    Preset(
        "registered_not_bought",
        "Registered, not bought",
        f"Registered in the last days, and bought nothing in {RETENTION_MAX_DAYS} days.",
        (_days(90),),
        _never_bought("CompleteRegistration"),
    ),
)
"""All presets, in the order in which people are shown them."""
