"""Nodes: a pixel and the ad account that owns it, with the fields of Meta's objects.

What Doublet does not know of a pixel is a known field without a value, which Graph leaves out.
"""

from __future__ import annotations

from typing import Any

from doublet.catalog import Account, Catalog, Pixel
from doublet.engine import Engine
from doublet.graph.fields import Shape, names_of, plain
from doublet.graph.question import Question, Row, page, rows_after
from doublet.graph.refused import invalid
from doublet.pixel import snippet
from doublet.reports.pixels import PixelFacts, pixel_facts

ACCOUNT = Shape(
    "AdAccount",
    plain("id", "account_id", "name", "currency", "timezone_name", "timezone_offset_hours_utc"),
    default=("id", "account_id"),
    always=("id",),
)
_OF_EVENTS = {
    "last_fired_time",
    "event_time_min",
    "event_time_max",
    "valid_entries",
    "duplicate_entries",
}
PIXEL = Shape(
    "AdsPixel",
    {
        **plain(
            *("automatic_matching_fields", "can_proxy", "code", "config", "creation_time"),
            *("creator", "data_use_setting", "description", "enable_auto_assign_to_accounts"),
            *("enable_automatic_matching", "event_stats", "first_party_cookie_status"),
            *("has_1p_pixel_event", "id", "is_consolidated_container", "is_created_by_business"),
            *("is_crm", "is_mta_use", "is_restricted_use", "is_unavailable", "last_upload_app"),
            *("last_upload_app_changed_time", "match_rate_approx", "matched_entries", "name"),
            *("owner_business", "usage", "user_access_expire_time", *sorted(_OF_EVENTS)),
        ),
        "owner_ad_account": ACCOUNT,
    },
    default=("id", "name"),
    always=("id",),
)
"""Fields: facebook_business, AdsPixel."""

_SORTS = ("NAME", "LAST_FIRED_TIME")


def account_row(question: Question) -> Row:
    """The ad account of the question."""
    account = question.account
    offset = question.now.astimezone(question.zone).utcoffset()
    return {
        "id": account.account_id,
        "account_id": account.account_id.removeprefix("act_"),
        "name": account.name,
        "currency": account.currency,
        "timezone_name": account.time_zone,
        "timezone_offset_hours_utc": offset.total_seconds() / 3600 if offset else 0,
    }


class Pixels:
    """Reads the pixels of the catalog with what their events tell."""

    def __init__(self, catalog: Catalog, engine: Engine, public_url: str) -> None:
        self._catalog = catalog
        self._engine = engine
        self._public_url = public_url

    def find(self, account: Account, pixel_id: str) -> Pixel | None:
        """A pixel of this account; None for one that is another's or nobody's."""
        known = self._catalog.pixels(account.account_id)
        return next((pixel for pixel in known if pixel.pixel_id == pixel_id), None)

    def node(self, question: Question, pixel: Pixel) -> Row:
        """All fields of a pixel; what its events tell only where that is asked for."""
        return self._rows(question, [pixel], self._facts(question, pixel.pixel_id))[0]

    def edge(self, question: Question) -> dict[str, Any]:
        """The pixels of the account, oldest first unless `sort_by` says otherwise."""
        sort = question.parameters.get("sort_by", "").upper()
        if sort and sort not in _SORTS:
            raise invalid("sort_by", f"(#100) sort_by must be {' or '.join(_SORTS)}")
        facts = self._facts(question, None, sort == "LAST_FIRED_TIME")
        pixels = self._catalog.pixels(question.account.account_id)
        if sort == "NAME":
            pixels.sort(key=lambda pixel: pixel.name.casefold())
        elif sort:
            known = {pixel_id: fact.last_received_at for pixel_id, fact in facts.items()}
            silent = [pixel for pixel in pixels if pixel.pixel_id not in known]
            fired = [pixel for pixel in pixels if pixel.pixel_id in known]
            fired.sort(key=lambda pixel: known[pixel.pixel_id], reverse=True)
            pixels = fired + silent
        rows = self._rows(question, pixels, facts)
        rest = rows_after(question, rows, _id_of)
        return page(question, rest, _id_of, PIXEL, question.limit())

    def _facts(
        self, question: Question, pixel_id: str | None, needed: bool = False
    ) -> dict[str, PixelFacts]:
        if needed or _OF_EVENTS.intersection(names_of(question.fields, PIXEL)):
            return pixel_facts(self._engine, question.account, pixel_id)
        return {}

    def _rows(
        self, question: Question, pixels: list[Pixel], facts: dict[str, PixelFacts]
    ) -> list[Row]:
        rows = [self._row(question, pixel, facts.get(pixel.pixel_id)) for pixel in pixels]
        if "creation_time" in question.fields:
            created_at = self._catalog.creation_times(question.account.account_id)
            for row in rows:
                row["creation_time"] = question.of_seconds(created_at[row["id"]])
        return rows

    def _row(self, question: Question, pixel: Pixel, facts: PixelFacts | None) -> Row:
        row: Row = {
            "id": pixel.pixel_id,
            "name": pixel.name,
            "code": snippet(pixel.pixel_id, self._public_url),
            "is_unavailable": False,
            "owner_ad_account": account_row(question),
            "first_party_cookie_status": "FIRST_PARTY_COOKIE_ENABLED",
            "data_use_setting": "EMPTY",
            "enable_automatic_matching": False,
            "automatic_matching_fields": [],
            "is_created_by_business": False,
        }
        if facts is not None:
            row["last_fired_time"] = question.as_time(facts.last_received_at)
            row["event_time_min"] = facts.event_time_min
            row["event_time_max"] = facts.event_time_max
            row["valid_entries"] = facts.copies
            row["duplicate_entries"] = facts.copies - facts.events
        return row


def _id_of(row: Row) -> str:
    return str(row["id"])
