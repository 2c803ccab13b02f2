"""What a visitor consented to, for an event that does not say so itself.

Browsers tell it with each event (`cs[…]`), servers have no field for it. A server's copy has the
word of the browser's copy of the same event, which is in `events_deduplicated`; an event that no
browser reported has the last word that its person gave by then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

from doublet.accept.hits import PURPOSES
from doublet.engine import Engine

_KEYS = ("em", "ph", "external_id")


class Consent(NamedTuple):
    """State by purpose, with `source` (the tool that said it) and `gpc` where known; whose word
    it is: that of a copy of the event, or of its person."""

    state: dict[str, Any]
    whose: Literal["event", "person"]


@cache
def _sql() -> str:
    return files("doublet.reports").joinpath("person_consent.sql").read_text("utf-8")


def consent_of(engine: Engine, event: dict[str, Any]) -> Consent | None:
    """The consent of a row of `events_deduplicated`; None when nobody has said anything."""
    if event["consent"] is not None:
        return Consent(json.loads(event["consent"]), "event")
    user_data = event["user_data"]
    identifiers = {key: user_data[key] for key in (*_KEYS, "fbp")}
    if not any(identifiers.values()):
        return None
    found = last_word(engine, event["account_id"], identifiers, event["event_time"])
    return None if found is None else Consent(found, "person")


def last_word(
    engine: Engine, account_id: str, identifiers: Mapping[str, Any], until_s: int
) -> dict[str, Any] | None:
    """What a browser last said by a moment (Unix seconds), of all that bear one of these
    identifiers (lists of hashes by key, and one `fbp`), events included that are nobody's since
    they were denied; None when none said anything."""
    rows = engine.query(
        _sql(),
        {
            "account_id": account_id,
            "event_time": until_s,
            **{key: identifiers.get(key) or [] for key in _KEYS},
            "fbp": identifiers.get("fbp"),
        },
    )
    return json.loads(rows[0]["consent"]) if rows else None


def in_words(consent: Consent) -> str:
    """One sentence.

    >>> in_words(Consent({"ad_storage": "granted", "source": "tcf"}, "event"))
    'Consent: ad_storage granted (tcf).'
    """
    state = consent.state
    words = [f"{purpose} {state[purpose]}" for purpose in PURPOSES if purpose in state]
    if state.get("gpc"):
        words.append("Global Privacy Control on")
    source = f" ({state['source']})" if "source" in state else ""
    said = ", ".join(words) or "nothing in particular"
    if consent.whose == "event":
        return f"Consent: {said}{source}."
    return f"It says nothing of consent; its person's last word by then: {said}{source}."
