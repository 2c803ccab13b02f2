"""`customaudiences`: audiences by rule, list or likeness, as clients make and read them at Meta.

Nothing is computed here: what is asked for is checked and kept in the catalog, and the worker makes
the members. Sizes and states are what it noted last.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from doublet.catalog import Audience, Catalog
from doublet.catalog.audiences import OriginError, TooManyAudiencesError
from doublet.entries import check_name
from doublet.errors import OperatorError
from doublet.graph.audience_checks import read_rule, read_spec
from doublet.graph.audience_rows import AUDIENCE, Standing, audience_row
from doublet.graph.question import Question, Row, page, rows_after
from doublet.graph.refused import Refused, invalid
from doublet.lookalikes.make import SEED_MIN
from doublet.refusal import Reason, Refusal

FILE_SOURCES = (*("USER_PROVIDED_ONLY", "PARTNER_PROVIDED_ONLY", "BOTH_USER_AND_PARTNER_PROVIDED"),)
RETENTION_DAYS_MAX = 180
_DESCRIPTION_LENGTH_MAX = 2000
_ELSEWHERE = ("rule", "origin_audience_id", "lookalike_spec")


class CustomAudiences:
    """The audiences of the catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def find(self, question: Question, object_id: str) -> Audience | None:
        """An audience of the account of the question."""
        return self._catalog.audiences.find(question.account.account_id, object_id)

    def edge(self, question: Question) -> dict[str, Any]:
        """Those of the account, oldest first. Raises Refused."""
        known = self._catalog.audiences.all(question.account.account_id)
        if pixel_id := question.parameters.get("pixel_id"):
            known = [each for each in known if each.pixel_id == pixel_id]
        rows = rows_after(question, self._rows(question, known), _id_of)
        return page(question, rows, _id_of, AUDIENCE, question.limit())

    def node(self, question: Question, audience: Audience) -> Row:
        """All fields of an audience."""
        (row,) = self._rows(question, [audience])
        return row

    def _rows(self, question: Question, wanted: Sequence[Audience]) -> list[Row]:
        account_id = question.account.account_id
        sizes = self._catalog.audiences.latest_sizes(account_id)
        states = self._catalog.audiences.states(account_id)
        known = self._catalog.audiences.all(account_id)
        names = {each.audience_id: each.name for each in known}
        alike: dict[str, list[str]] = {}
        for each in known:
            alike.setdefault(each.origin_audience_id, []).append(each.audience_id)
        return [
            audience_row(
                each,
                Standing(
                    sizes[each.audience_id][1] if each.audience_id in sizes else None,
                    states.get(each.audience_id, {}),
                    names,
                    alike.get(each.audience_id, []),
                ),
            )
            for each in wanted
        ]

    def create(self, question: Question) -> Row:
        """Make one of the parameters. Raises Refused."""
        given = question.parameters
        subtype = _subtype(question)
        common = {
            "audience_id": "",
            "account_id": question.account.account_id,
            "name": _name(given.get("name", "")),
            "description": _description(given.get("description", "")),
        }
        if subtype == "WEBSITE":
            wanted = self._by_rule(question, common)
        elif subtype == "CUSTOM":
            wanted = _by_list(question, common)
        else:
            wanted = self._by_likeness(question, common)
        try:
            made = self._catalog.audiences.create(wanted)
        except TooManyAudiencesError as error:
            raise Refused(Refusal(Reason.AUDIENCE_NOT_CREATED, str(error))) from None
        self._record(question, "audience.created", made, {"subtype": made.subtype})
        return {"id": made.audience_id, "message": ""}

    def _by_rule(self, question: Question, common: dict[str, Any]) -> Audience:
        given = question.parameters
        rule = given.get("rule", "")
        if not rule:
            raise invalid("rule", "(#100) The parameter rule is required")
        if given.get("rule_aggregation"):
            raise invalid("rule_aggregation", "(#100) Say the aggregation in rule")
        pixel_id = given.get("pixel_id", "")
        known = {each.pixel_id for each in self._catalog.pixels(question.account.account_id)}
        if pixel_id and pixel_id not in known:
            raise invalid("pixel_id", "(#100) pixel_id is no pixel of this account")
        return Audience(
            **common,
            subtype="WEBSITE",
            rule=rule,
            retention_days=read_rule(
                rule, _retention(given.get("retention_days", "")), {pixel_id} if pixel_id else known
            ),
            prefill=_flag("prefill", given.get("prefill", ""), default=True),
            pixel_id=pixel_id,
        )

    def _by_likeness(self, question: Question, common: dict[str, Any]) -> Audience:
        given = question.parameters
        spec = given.get("lookalike_spec", "")
        if not spec:
            raise invalid("lookalike_spec", "(#100) The parameter lookalike_spec is required")
        origins = read_spec(spec)
        origin_id = given.get("origin_audience_id") or (origins[0] if origins else "")
        if not origin_id:
            raise invalid("origin_audience_id", "(#100) origin_audience_id is required")
        if set(origins) - {origin_id}:
            raise invalid("lookalike_spec", "(#100) A lookalike has one origin")
        origin = self.find(question, origin_id)
        if origin is None:
            raise invalid("origin_audience_id", "(#100) There is no such audience in this account")
        if origin.subtype == "LOOKALIKE":
            raise invalid("origin_audience_id", "(#100) The origin is itself a lookalike")
        size = self._catalog.audiences.latest_sizes(question.account.account_id).get(origin_id)
        if size is not None and size[1] < SEED_MIN:
            said = f"The origin has {size[1]} people, and at least {SEED_MIN} are needed"
            raise Refused(Refusal(Reason.SEED_TOO_SMALL, said, "origin_audience_id"))
        return Audience(
            **common,
            subtype="LOOKALIKE",
            origin_audience_id=origin_id,
            lookalike_spec=spec,
            is_value_based=origin.is_value_based,
        )

    def update(self, question: Question, audience: Audience) -> Row:
        """Change what the parameters name; who is in stays in until the worker has looked again.
        Raises Refused."""
        given = question.parameters
        changes: dict[str, Any] = {}
        if "name" in given:
            changes["name"] = _name(given["name"])
        if "description" in given:
            changes["description"] = _description(given["description"])
        if "customer_file_source" in given:
            changes["customer_file_source"] = _file_source(given["customer_file_source"])
        if audience.subtype == "WEBSITE" and ("rule" in given or "retention_days" in given):
            rule = given.get("rule") or audience.rule
            days = _retention(given.get("retention_days", "")) or audience.retention_days
            known = {each.pixel_id for each in self._catalog.pixels(audience.account_id)}
            own = {audience.pixel_id} if audience.pixel_id else known
            changes |= {"rule": rule, "retention_days": read_rule(rule, days, own)}
        elif wrong := [name for name in _ELSEWHERE if name in given]:
            raise invalid(wrong[0], f"(#100) {wrong[0]} of this audience cannot be changed")
        changed = msgspec.structs.replace(audience, **changes)
        if (changed.rule, changed.retention_days) != (audience.rule, audience.retention_days):
            changed = msgspec.structs.replace(changed, content_updated_at=int(time.time()))
        self._catalog.audiences.save(changed)
        self._record(question, "audience.changed", changed, {"changed": sorted(changes)})
        return {"success": True}

    def delete(self, question: Question, audience: Audience) -> Row:
        """Forget it, with its list. Raises Refused while a lookalike is made of it."""
        try:
            self._catalog.audiences.remove(audience.audience_id)
        except OriginError as error:
            raise Refused(Refusal(Reason.AUDIENCE_IS_ORIGIN, f"(#2655) {error.message}")) from None
        self._record(question, "audience.removed", audience, {})
        return {"success": True}

    def _record(
        self, question: Question, what: str, audience: Audience, details: dict[str, Any]
    ) -> None:
        self._catalog.changes.record(
            question.who, what, audience.name, details, account_id=audience.account_id
        )


def _by_list(question: Question, common: dict[str, Any]) -> Audience:
    given = question.parameters
    return Audience(
        **common,
        subtype="CUSTOM",
        customer_file_source=_file_source(given.get("customer_file_source", "")),
        is_value_based=_flag("is_value_based", given.get("is_value_based", ""), default=False),
        retention_days=_retention(given.get("retention_days", "")) or 0,
    )


def _subtype(question: Question) -> str:
    """What is asked for; where that is left out, as newer versions of the API have it, by what is
    there."""
    given = question.parameters
    named = given.get("subtype", "").upper()
    if named in ("WEBSITE", "CUSTOM", "LOOKALIKE"):
        return named
    if named:
        raise invalid("subtype", "(#100) subtype must be one of {CUSTOM, LOOKALIKE, WEBSITE}")
    if given.get("lookalike_spec") or given.get("origin_audience_id"):
        return "LOOKALIKE"
    if given.get("rule"):
        return "WEBSITE"
    if given.get("customer_file_source"):
        return "CUSTOM"
    raise invalid("subtype", "(#100) Give rule, customer_file_source or lookalike_spec")


def _file_source(text: str) -> str:
    if text not in FILE_SOURCES:
        names = ", ".join(FILE_SOURCES)
        raise invalid("customer_file_source", f"(#100) customer_file_source is one of {{{names}}}")
    return text


def _name(text: str) -> str:
    try:
        return check_name(text)
    except OperatorError as error:
        said = str(error).replace("account or pixel", "audience")
        raise invalid("name", f"(#100) {said}") from None


def _description(text: str) -> str:
    if len(text) > _DESCRIPTION_LENGTH_MAX:
        raise invalid("description", "(#100) description is too long")
    return text


def _retention(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 5) or not (
        1 <= int(text) <= RETENTION_DAYS_MAX
    ):
        raise invalid(
            "retention_days",
            f"(#100) retention_days must be a number from 1 to {RETENTION_DAYS_MAX}",
        )
    return int(text)


def _flag(name: str, text: str, *, default: bool) -> bool:
    if not text:
        return default
    if text.lower() not in ("true", "1", "false", "0"):
        raise invalid(name, f"(#100) {name} must be true or false")
    return text.lower() in ("true", "1")


def _id_of(row: Row) -> str:
    return str(row["id"])
