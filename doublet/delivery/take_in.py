"""Takes in a sheet of campaigns row by row: what is new is made, what is other is changed, and a
row that cannot be leaves the others as they are."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from doublet.catalog import Account, Ad, AdSet, Campaign, Catalog, Creative
from doublet.catalog.campaigns import GONE, Object, id_of, key_of
from doublet.delivery.objects import (
    CONVERSION_GOALS,
    Known,
    ObjectError,
    check_ad,
    check_ad_set,
    check_campaign,
    check_creative,
)
from doublet.delivery.sheet import Read, read_row
from doublet.entries import NAME_LENGTH_MAX
from doublet.errors import SenderError

_Kind = TypeVar("_Kind", bound=Object)


class Taken(NamedTuple):
    """What became of a row, by the number it came with: `made` where anything new came of it,
    otherwise `changed`, `same`, or `wrong` with the reason."""

    row: int
    outcome: str
    campaign_id: str = ""
    adset_id: str = ""
    ad_id: str = ""
    message: str = ""


class _Step(NamedTuple):
    """An object as it is (None: new) and as it shall be."""

    before: Any
    after: Any

    @property
    def outcome(self) -> str:
        """made, same or changed."""
        return "made" if self.before is None else "same" if self.is_same else "changed"

    @property
    def is_same(self) -> bool:
        """Whether nothing is to be done."""
        return bool(self.before == self.after)


class TakeIn:
    """Takes rows into an account. With `dry_run` nothing is kept, and ids are made up."""

    def __init__(
        self, catalog: Catalog, account: Account, *, dry_run: bool = False, now_s: int | None = None
    ) -> None:
        self._store = catalog.campaigns
        self._account = account
        self._dry_run = dry_run
        self._now_s = int(time.time()) if now_s is None else now_s
        self._zone = ZoneInfo(account.time_zone)
        account_id = account.account_id
        self._pixel_ids = [each.pixel_id for each in catalog.pixels(account_id)]
        known = catalog.audiences.all(account_id)
        names = [each.name for each in known]
        self._audiences = {
            **{each.name: each.audience_id for each in known if names.count(each.name) == 1},
            **{each.audience_id: each.audience_id for each in known},
        }
        self._by_id: dict[str, Object] = {}
        self._by_name: dict[tuple[str, str, str], list[str]] = {}
        for found in (
            self._store.campaigns(account_id, with_gone=True),
            self._store.ad_sets(account_id, with_gone=True),
            self._store.ads(account_id, with_gone=True),
            self._store.creatives(account_id, with_gone=True),
        ):
            for each in found:
                self._learn(each)
        self._said: dict[str, tuple[int, dict[str, Any]]] = {}

    def take(self, rows: Iterable[tuple[int, Mapping[str, str | None]]]) -> Iterator[Taken]:
        """What becomes of each row, which bears a number, one after the other. Raises OperatorError
        where the catalog cannot be used."""
        for number, cells in rows:
            try:
                yield self._take(number, cells)
            except SenderError as error:
                yield Taken(number, "wrong", message=str(error))

    def _take(self, number: int, cells: Mapping[str, str | None]) -> Taken:
        read = read_row(cells, self._audiences, self._zone)
        campaign = self._campaign(read)
        self._agree(number, campaign, read.campaign)
        has_ad = bool(read.ad_id or read.ad or read.creative)
        ad_set = ad = creative = None
        if read.adset_id or read.ad_set or has_ad:
            ad_set = self._ad_set(read, campaign)
            self._agree(number, ad_set, read.ad_set)
        if ad_set is not None and has_ad:
            ad, creative = self._ad(read, ad_set)
            self._agree(number, ad, {**read.ad, **read.creative})
        # All is checked; only a limit can still be in the way.
        steps = [step for step in (campaign, ad_set, ad) if step is not None]
        outcomes = {step.outcome for step in steps}
        if creative is not None and not creative.is_same:
            outcomes.add("changed")
        ids = self._keep(campaign, ad_set, ad, creative)
        for object_id, said in zip(
            ids, (read.campaign, read.ad_set, {**read.ad, **read.creative}), strict=False
        ):
            self._said[object_id] = (number, {**self._said.get(object_id, (0, {}))[1], **said})
        outcome = next(each for each in ("made", "changed", "same") if each in outcomes)
        return Taken(number, outcome, *ids)

    # --- what a row means ---------------------------------------------------------------------

    def _campaign(self, read: Read) -> _Step:
        before = self._found(Campaign, read.campaign_id, "", read.campaign, "campaign")
        base = before or Campaign(campaign_id="", account_id=self._account.account_id, name="")
        after = msgspec.structs.replace(base, **read.campaign)
        if before != after:
            check_campaign(after)
        return _Step(before, after)

    def _ad_set(self, read: Read, campaign: _Step) -> _Step:
        parent_id = campaign.after.campaign_id
        before = self._found(AdSet, read.adset_id, parent_id, read.ad_set, "adset")
        base = before or AdSet(
            adset_id="", account_id=self._account.account_id, campaign_id=parent_id, name=""
        )
        after = msgspec.structs.replace(base, **read.ad_set)
        is_unsaid = not after.pixel_id and after.optimization_goal in CONVERSION_GOALS
        if is_unsaid and len(self._pixel_ids) == 1:
            after = msgspec.structs.replace(after, pixel_id=self._pixel_ids[0])
        if before != after:
            known = Known(self._pixel_ids, set(self._audiences.values()), self._now_s)
            check_ad_set(after, known, before)
        return _Step(before, after)

    def _ad(self, read: Read, ad_set: _Step) -> tuple[_Step, _Step]:
        """An ad and its creative: of other words another one is made."""
        before = self._found(Ad, read.ad_id, ad_set.after.adset_id, read.ad, "ad")
        found = self._by_id[before.creative_id] if before is not None else None
        shown = found if isinstance(found, Creative) else None
        name = read.ad.get("name") or (before.name if before is not None else "")
        base = shown or Creative(
            creative_id="", account_id=self._account.account_id, name=name[:NAME_LENGTH_MAX]
        )
        creative = msgspec.structs.replace(base, **read.creative)
        if creative != shown:
            check_creative(creative)
        base_ad = before or Ad(
            ad_id="",
            account_id=self._account.account_id,
            campaign_id=ad_set.after.campaign_id,
            adset_id=ad_set.after.adset_id,
            creative_id="",
            name="",
        )
        after = msgspec.structs.replace(base_ad, **read.ad)
        if before != after:
            check_ad(after)
        return _Step(before, after), _Step(shown, creative)

    def _found(
        self, kind: type[_Kind], object_id: str, parent_id: str, said: dict[str, Any], column: str
    ) -> _Kind | None:
        """The object that a row names, None for a new one."""
        if object_id:
            each = self._by_id.get(object_id)
            if not isinstance(each, kind) or _parent(each) != parent_id:
                hint = f"Leave {column}_id empty to make a new one."
                message = f"{column}_id is none that the account has there."
                raise ObjectError(f"{column}_id", message, hint)
            if each.status == "DELETED" and said.get("status") != "DELETED":
                raise ObjectError(f"{column}_id", f"This {column} is deleted.", "Make a new one.")
            return each
        name = said.get("name", "")
        if not name:
            raise ObjectError(column, f"The row names no {column}.", f"Fill {column} or its id.")
        ids = self._by_name.get((column, parent_id, name), [])
        if len(ids) > 1:
            message = f"More than one {column} has this name."
            raise ObjectError(column, message, f"Fill {column}_id.")
        found = self._by_id[ids[0]] if ids else None
        return found if isinstance(found, kind) else None

    def _agree(self, number: int, step: _Step, said: dict[str, Any]) -> None:
        """Raises ObjectError where an earlier row says otherwise: taking in the sheet again would
        change it to and fro."""
        if step.before is None:
            return
        earlier, cells = self._said.get(id_of(step.before), (number, {}))
        for name, value in said.items():
            if name in cells and cells[name] != value:
                raise ObjectError(name, f"Row {earlier} says another {name} of the same object.")

    # --- keeping ------------------------------------------------------------------------------

    def _keep(
        self, campaign: _Step, ad_set: _Step | None, ad: _Step | None, creative: _Step | None
    ) -> tuple[str, str, str]:
        kept = self._save(campaign)
        above = {"campaign_id": kept.campaign_id}
        if ad_set is None:
            return kept.campaign_id, "", ""
        kept_set = self._save(ad_set, **above)
        if ad is None or creative is None:
            return kept.campaign_id, kept_set.adset_id, ""
        shown = creative.before
        if not creative.is_same:
            shown = self._save(_Step(None, creative.after))
        above |= {"adset_id": kept_set.adset_id, "creative_id": shown.creative_id}
        kept_ad = self._save(ad, **above)
        return kept.campaign_id, kept_set.adset_id, kept_ad.ad_id

    def _save(self, step: _Step, **above: str) -> Any:
        wanted = msgspec.structs.replace(step.after, **above) if above else step.after
        if step.before is None:
            if self._dry_run:
                made = {key_of(type(wanted)): f"new-{len(self._by_id)}"}
                return self._learn(msgspec.structs.replace(wanted, **made))
            return self._learn(self._store.create(wanted, self._now_s))
        names = wanted.__struct_fields__
        changes = {
            name: getattr(wanted, name)
            for name in names
            if getattr(wanted, name) != getattr(step.before, name)
        }
        if not changes:
            return step.before
        if self._dry_run:
            return self._learn(wanted)
        return self._learn(self._store.change(step.before, self._now_s, **changes))

    def _learn(self, each: Object) -> Any:
        object_id = id_of(each)
        if (before := self._by_id.get(object_id)) is not None:
            self._by_name.get(_place(before), []).remove(object_id)
        self._by_id[object_id] = each
        if each.status not in GONE:
            self._by_name.setdefault(_place(each), []).append(object_id)
        return each


def _parent(each: Object) -> str:
    if isinstance(each, Ad):
        return each.adset_id
    return each.campaign_id if isinstance(each, AdSet) else ""


def _place(each: Object) -> tuple[str, str, str]:
    return key_of(type(each)).removesuffix("_id"), _parent(each), each.name
