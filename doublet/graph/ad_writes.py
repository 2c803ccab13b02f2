"""Campaigns, ad sets, ads and creatives made, changed and deleted as at Meta."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from doublet.catalog import Ad, AdSet, Campaign, Catalog, Creative
from doublet.catalog.campaigns import GONE, InUseError, LimitError, Object, id_of, key_of
from doublet.delivery import fields
from doublet.delivery.objects import (
    Known,
    ObjectError,
    check_ad,
    check_ad_set,
    check_campaign,
    check_creative,
)
from doublet.entries import NAME_LENGTH_MAX
from doublet.graph.ads import level_of
from doublet.graph.question import Question, Row
from doublet.graph.refused import invalid

_Part = TypeVar("_Part", Campaign, AdSet)
_New = TypeVar("_New", Campaign, AdSet, Ad, Creative)


class AdWrites:
    """What calls make, change and delete in the catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.makers: dict[str, Callable[[Question], Row]] = {
            "campaigns": self._make_campaign,
            "adsets": self._make_ad_set,
            "ads": self._make_ad,
            "adcreatives": self._make_creative,
        }
        """By edge of an account: makes an object of the parameters. Raises Refused."""

    def _make_campaign(self, question: Question) -> Row:
        with _refusals():
            changes = fields.campaign_changes(question.parameters)
            wanted = _object(Campaign, question, changes)
            check_campaign(wanted)
            return self._create(question, wanted)

    def _make_ad_set(self, question: Question) -> Row:
        with _refusals():
            campaign = self._part(Campaign, question, "campaign_id")
            changes = {**self._ad_set_changes(question), "campaign_id": campaign.campaign_id}
            wanted = _object(AdSet, question, changes)
            check_ad_set(wanted, self._known(question))
            return self._create(question, wanted)

    def _make_creative(self, question: Question) -> Row:
        with _refusals():
            wanted = self._creative(question, question.parameters)
            return self._create(question, wanted)

    def _make_ad(self, question: Question) -> Row:
        with _refusals():
            ad_set = self._part(AdSet, question, "adset_id")
            own, spec = self._shown(question)
            changes = {
                **fields.ad_changes(question.parameters),
                "campaign_id": ad_set.campaign_id,
                "adset_id": ad_set.adset_id,
                "creative_id": own,
            }
            wanted = _object(Ad, question, changes)
            check_ad(wanted)
            if spec is not None and not _only_checks(question):
                made = self._catalog.campaigns.create(spec)
                wanted = msgspec.structs.replace(wanted, creative_id=made.creative_id)
            return self._create(question, wanted)

    def update(self, question: Question, each: Object) -> Row:
        """Change what the parameters name. Raises Refused."""
        if each.status == "DELETED":
            raise invalid("id", "(#100) What is deleted cannot be changed; make another")
        with _refusals():
            if isinstance(each, Campaign):
                changes = fields.campaign_changes(question.parameters)
                check_campaign(msgspec.structs.replace(each, **changes))
                return self._change(question, each, changes)
            if isinstance(each, AdSet):
                _stays(question, "campaign_id", each.campaign_id)
                changes = self._ad_set_changes(question)
                wanted = msgspec.structs.replace(each, **changes)
                check_ad_set(wanted, self._known(question), each)
                return self._change(question, each, changes)
            if isinstance(each, Ad):
                _stays(question, "adset_id", each.adset_id)
                return self._change_ad(question, each)
            return self._change_creative(question, each)

    def delete(self, question: Question, each: Object) -> Row:
        """Mark an object and its parts as deleted. Raises Refused."""
        with _refusals():
            self._catalog.campaigns.change(each, status="DELETED")
        self._record(question, "removed", each)
        return {"success": True}

    def _change_ad(self, question: Question, each: Ad) -> Row:
        changes = fields.ad_changes(question.parameters)
        if "creative" in question.parameters:
            own, spec = self._shown(question)
            if spec is not None and not _only_checks(question):
                own = self._catalog.campaigns.create(spec).creative_id
            changes["creative_id"] = own
        check_ad(msgspec.structs.replace(each, **changes))
        return self._change(question, each, changes)

    def _change_creative(self, question: Question, each: Creative) -> Row:
        changes = fields.creative_changes(question.parameters)
        if other := sorted(set(changes) - {"name"}):
            message = f"(#100) {other[0]} of a creative cannot be changed; give the ad another one"
            raise invalid(other[0], message)
        if question.parameters.get("status") == "DELETED":
            return self.delete(question, each)
        check_creative(msgspec.structs.replace(each, **changes))
        return self._change(question, each, changes)

    # --- parts of the parameters --------------------------------------------------------------

    def _ad_set_changes(self, question: Question) -> dict[str, Any]:
        def moment(name: str) -> int:
            if question.parameters.get(name) in ("", "0", "null"):
                return 0
            found = question.moment(name)
            return int(found.timestamp()) if found else 0

        return fields.ad_set_changes(question.parameters, question.account.currency, moment)

    def _creative(self, question: Question, given: fields.Given) -> Creative:
        changes = fields.creative_changes(given)
        changes.setdefault("name", (changes.get("title") or "Creative")[:NAME_LENGTH_MAX])
        wanted = _object(Creative, question, changes)
        check_creative(wanted)
        return wanted

    def _shown(self, question: Question) -> tuple[str, Creative | None]:
        """The id of the creative that an ad is to show, or one to be made."""
        creative_id, given = fields.creative_of_ad(question.parameters)
        if not creative_id:
            return "", self._creative(question, given)
        account_id = question.account.account_id
        found = self._catalog.campaigns.get(Creative, account_id, creative_id)
        if found is None or found.status in GONE:
            raise invalid("creative", "(#100) creative_id is no creative of this account")
        return creative_id, None

    def _part(self, kind: type[_Part], question: Question, name: str) -> _Part:
        """What a new object is to be part of."""
        object_id = question.parameters.get(name, "")
        if not object_id:
            raise invalid(name, f"(#100) The parameter {name} is required")
        found = self._catalog.campaigns.get(kind, question.account.account_id, object_id)
        if found is None or found.status in GONE:
            hint = "those that an import tells of are delivered elsewhere"
            raise invalid(name, f"(#100) {name} names nothing that is delivered here; {hint}")
        return found

    def _known(self, question: Question) -> Known:
        account_id = question.account.account_id
        return Known(
            {each.pixel_id for each in self._catalog.pixels(account_id)},
            {each.audience_id for each in self._catalog.audiences.all(account_id)},
            int(question.now.timestamp()),
        )

    # --- keeping ------------------------------------------------------------------------------

    def _create(self, question: Question, wanted: Any) -> Row:
        if _only_checks(question):
            return {"success": True}
        made = self._catalog.campaigns.create(wanted)
        self._record(question, "created", made)
        return {"id": id_of(made)}

    def _change(self, question: Question, each: Any, changes: dict[str, Any]) -> Row:
        if _only_checks(question):
            return {"success": True}
        if changes:
            after = self._catalog.campaigns.change(each, **changes)
            is_gone = after.status == "DELETED" and "status" in changes
            self._record(question, "removed" if is_gone else "changed", after)
        return {"success": True}

    def _record(self, question: Question, what: str, each: Object) -> None:
        verb, details = f"{level_of(each)}.{what}", {"id": id_of(each)}
        account_id = question.account.account_id
        self._catalog.changes.record(question.who, verb, each.name, details, account_id=account_id)


def _object(kind: type[_New], question: Question, changes: dict[str, Any]) -> _New:
    """A new object of the parameters; what it is part of was looked up."""
    given = {"name": "", **changes, "account_id": question.account.account_id}
    if given.get("status", "PAUSED") not in ("ACTIVE", "PAUSED"):
        raise invalid("status", "(#100) status must be one of {ACTIVE, PAUSED}")
    return kind(**{**given, key_of(kind): ""})


def _stays(question: Question, name: str, value: str) -> None:
    if question.parameters.get(name, value) != value:
        raise invalid(name, f"(#100) {name} cannot be changed; make a copy there")


def _only_checks(question: Question) -> bool:
    return "validate_only" in question.parameters.get("execution_options", "")


@contextmanager
def _refusals() -> Iterator[None]:
    """What cannot be is refused in the words of the Graph API."""
    try:
        yield
    except ObjectError as error:
        raise invalid(error.field, f"(#100) {error}") from None
    except (LimitError, InUseError) as error:
        raise invalid("id", f"(#100) {error}") from None
