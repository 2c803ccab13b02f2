"""`customconversions`: events that a rule chooses, made, read, changed and deleted as at Meta."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from doublet.catalog import Catalog, CustomConversion
from doublet.engine import Engine
from doublet.entries import check_name
from doublet.errors import DoubletError, OperatorError, SenderError
from doublet.graph.fields import Shape, plain
from doublet.graph.question import Question, Row, page, rows_after
from doublet.graph.refused import Refused, invalid
from doublet.reports.custom import check_rule, fired_times

CUSTOM_CONVERSION = Shape(
    "CustomConversion",
    plain(
        *("account_id", "action_source_type", "advanced_rule", "aggregation_rule", "business"),
        *("creation_time", "custom_conversion_id", "custom_event_type", "data_sources"),
        *("default_conversion_value", "description", "event_source_id", "event_source_type"),
        *("first_fired_time", "id", "is_archived", "is_unavailable", "last_fired_time", "name"),
        *("offline_conversion_data_set", "pixel", "retention_days", "rule"),
    ),
    default=("id",),
    always=("id",),
)
"""Fields: facebook_business, CustomConversion."""

EVENT_TYPES = (
    *("ADD_PAYMENT_INFO", "ADD_TO_CART", "ADD_TO_WISHLIST", "COMPLETE_REGISTRATION", "CONTACT"),
    *("CONTENT_VIEW", "CUSTOMIZE_PRODUCT", "DONATE", "FACEBOOK_SELECTED", "FIND_LOCATION"),
    *("INITIATED_CHECKOUT", "LEAD", "LISTING_INTERACTION", "OTHER", "PURCHASE", "SCHEDULE"),
    *("SEARCH", "START_TRIAL", "SUBMIT_APPLICATION", "SUBSCRIBE"),
)
ACTION_SOURCES = (
    *("app", "business_messaging", "chat", "email", "other", "phone_call", "physical_store"),
    *("system_generated", "website"),
)
_FIRED = ("first_fired_time", "last_fired_time")
_DESCRIPTION_LENGTH_MAX = 2000


class CustomConversions:
    """The custom conversions of the catalog, with what their events tell."""

    def __init__(self, catalog: Catalog, engine: Engine) -> None:
        self._catalog = catalog
        self._engine = engine

    def find(self, question: Question, object_id: str) -> CustomConversion | None:
        """A custom conversion of the account of the question."""
        known = self._catalog.reporting.custom_conversions(question.account.account_id)
        return next((each for each in known if each.custom_conversion_id == object_id), None)

    def edge(self, question: Question) -> dict[str, Any]:
        """Those of the account, oldest first. Raises Refused."""
        known = self._catalog.reporting.custom_conversions(question.account.account_id)
        by_id = {each.custom_conversion_id: each for each in known}
        limit = question.limit()
        rest = rows_after(question, [{"id": each} for each in by_id], _id_of)
        # Only what the page shows is looked for among the events.
        shown = self._nodes(question, [by_id[row["id"]] for row in rest[:limit]])
        return page(question, [*shown, *rest[limit:]], _id_of, CUSTOM_CONVERSION, limit)

    def node(self, question: Question, each: CustomConversion) -> Row:
        """All fields of a custom conversion; when it fired only where that is asked for."""
        (row,) = self._nodes(question, [each])
        return row

    def _nodes(self, question: Question, wanted: Sequence[CustomConversion]) -> list[Row]:
        fired: dict[str, tuple[int, int]] = {}
        if any(name in question.fields for name in _FIRED):
            fired = fired_times(self._engine, question.account, wanted)
        return [_node(question, each, fired.get(each.custom_conversion_id, ())) for each in wanted]

    def create(self, question: Question) -> Row:
        """Make one of the parameters. Raises Refused."""
        given = question.parameters
        if given.get("advanced_rule"):
            raise invalid("advanced_rule", "(#100) advanced_rule is not supported; say it in rule")
        rule = given.get("rule") or given.get("pixel_rule") or ""
        if not rule:
            raise invalid("rule", "(#100) The parameter rule is required")
        wanted = CustomConversion(
            custom_conversion_id="",
            account_id=question.account.account_id,
            pixel_id=self._pixel_id(question),
            name=_name(given.get("name", "")),
            description=_description(given.get("description", "")),
            rule=self._rule(rule),
            custom_event_type=_one_of(
                "custom_event_type", given.get("custom_event_type") or "OTHER", EVENT_TYPES
            ),
            action_source_type=_one_of(
                "action_source_type", given.get("action_source_type", ""), ("", *ACTION_SOURCES)
            ),
            default_value=_value(given.get("default_conversion_value", "")),
            is_archived=False,
            created_at=0,
        )
        try:
            made = self._catalog.reporting.create_custom_conversion(wanted)
        except SenderError as error:
            raise invalid("name", f"(#100) {error}") from None
        self._record(question, "conversion.created", made)
        return {"id": made.custom_conversion_id}

    def update(self, question: Question, each: CustomConversion) -> Row:
        """Change what the parameters name. Raises Refused for a rule: at Meta, and here, the events
        of a custom conversion stay those that its name promised."""
        given = question.parameters
        if "rule" in given or "advanced_rule" in given:
            raise invalid("rule", "(#100) A rule cannot be changed; make another custom conversion")
        changes: dict[str, Any] = {}
        if "name" in given:
            changes["name"] = _name(given["name"])
        if "description" in given:
            changes["description"] = _description(given["description"])
        if "default_conversion_value" in given:
            changes["default_value"] = _value(given["default_conversion_value"])
        if "is_archived" in given:
            changes["is_archived"] = given["is_archived"].lower() in ("true", "1")
        self._catalog.reporting.save_custom_conversion(msgspec.structs.replace(each, **changes))
        self._record(question, "conversion.changed", each)
        return {"success": True}

    def delete(self, question: Question, each: CustomConversion) -> Row:
        """Forget it; its events stay."""
        self._catalog.reporting.remove_custom_conversion(each.custom_conversion_id)
        self._record(question, "conversion.removed", each)
        return {"success": True}

    def _record(self, question: Question, what: str, each: CustomConversion) -> None:
        account_id = question.account.account_id
        self._catalog.changes.record(question.who, what, each.name, account_id=account_id)

    def _pixel_id(self, question: Question) -> str:
        """The pixel that is named in any of the ways that clients have; empty for all pixels."""
        given = question.parameters
        pixel_id = given.get("event_source_id") or given.get("pixel_id") or ""
        if not pixel_id and given.get("pixel"):
            try:
                read = json.loads(given["pixel"])
                pixel_id = str(read["id"] if isinstance(read, dict) else read)
            except (ValueError, KeyError, RecursionError):
                pixel_id = given["pixel"]
        known = self._catalog.pixels(question.account.account_id)
        if pixel_id and pixel_id not in {pixel.pixel_id for pixel in known}:
            raise invalid("event_source_id", "(#100) event_source_id is no pixel of this account")
        return pixel_id

    def _rule(self, text: str) -> str:
        try:
            check_rule(self._engine, text)
        except SenderError as error:
            raise invalid("rule", f"(#100) {error}") from None
        return text


def _node(question: Question, each: CustomConversion, fired: Sequence[int]) -> Row:
    """`fired` are the first and last moment at which it did, if any."""
    row: Row = {
        "id": each.custom_conversion_id,
        "custom_conversion_id": each.custom_conversion_id,
        "account_id": each.account_id.removeprefix("act_"),
        "name": each.name,
        "description": each.description or None,
        "rule": each.rule,
        "custom_event_type": each.custom_event_type,
        "action_source_type": each.action_source_type or None,
        "default_conversion_value": float(each.default_value or 0),
        "event_source_id": each.pixel_id or None,
        "event_source_type": "pixel" if each.pixel_id else None,
        "pixel": {"id": each.pixel_id} if each.pixel_id else None,
        "data_sources": (
            [{"id": each.pixel_id, "source_type": "PIXEL"}] if each.pixel_id else None
        ),
        "creation_time": question.of_seconds(each.created_at),
        "is_archived": each.is_archived,
        "is_unavailable": False,
        "aggregation_rule": None,
    }
    if fired:
        row |= dict(zip(_FIRED, map(question.of_seconds, fired), strict=True))
    return row


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise invalid(name, f"(#100) {name} must be one of {{{', '.join(filter(None, known))}}}")
    return value


def _name(text: str) -> str:
    try:
        return check_name(text)
    except OperatorError as error:
        raise _refused("name", error) from None


def _refused(name: str, error: DoubletError) -> Refused:
    return invalid(name, f"(#100) {error.message.replace('account or pixel', 'custom conversion')}")


def _description(text: str) -> str:
    if len(text) > _DESCRIPTION_LENGTH_MAX:
        raise invalid("description", "(#100) description is too long")
    return text


def _value(text: str) -> str:
    """A decimal number of at least 0, or nothing."""
    if not text:
        return ""
    try:
        read = Decimal(text)
        if read.is_finite() and 0 <= read < 10**12:
            return f"{read.quantize(Decimal('0.0001')):f}" if read else ""
    except InvalidOperation:
        pass
    raise invalid(
        "default_conversion_value", "(#100) default_conversion_value must be a number from 0 on"
    )


def _id_of(row: Row) -> str:
    return str(row["id"])
