"""Campaigns, ad sets, ads and creatives: made, read, changed, and put aside for reports.

What an object may be is checked before it comes here (doublet.delivery.objects); here stands what
holds whoever changes it: ids, moments, limits, and that a part goes with its whole.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec
import sqlalchemy as sa

from doublet.catalog import tables
from doublet.catalog.campaign_rows import Ad, AdSet, Campaign, Creative, FrequencyCap
from doublet.catalog.database import Database
from doublet.errors import SenderError

CAMPAIGNS_MAX = 5_000
CREATIVES_MAX = 50_000
ADS_PER_ADSET_MAX = 50
"""So many campaigns, ad sets and ads of each an account may have, and so many creatives; what is
deleted or archived does not count (Marketing API, *Ad account limits*)."""

SIGNIFICANT_CHANGE = 0.2
"""A budget or bid that changes by a larger part has to be learned anew (folklore of advertisers;
Meta names no number)."""
LONG_PAUSE_S = 7 * 86_400
"""What did not run for so long is learned anew (Meta, *About the learning phase*)."""

GONE = ("ARCHIVED", "DELETED")

Object = Campaign | AdSet | Ad | Creative
Kept = TypeVar("Kept", bound=Object)


class LimitError(SenderError):
    """An account has as many objects of a kind as it may."""

    code = "too_many_objects"


class InUseError(SenderError):
    """A creative cannot go: an ad shows it."""

    code = "creative_in_use"


class _Kind(NamedTuple):
    table: sa.Table
    key: str
    words: str
    most: int


_KINDS: dict[type[Any], _Kind] = {
    Campaign: _Kind(tables.campaigns, "campaign_id", "campaigns", CAMPAIGNS_MAX),
    AdSet: _Kind(tables.ad_sets, "adset_id", "ad sets", CAMPAIGNS_MAX),
    Ad: _Kind(tables.ads, "ad_id", "ads", CAMPAIGNS_MAX),
    Creative: _Kind(tables.creatives, "creative_id", "creatives", CREATIVES_MAX),
}
_LISTS = ("included", "excluded", "placements", "frequency")
_MEANT = ("optimization_goal", "bid_strategy", "pixel_id", "event_name")
_TARGETED = ("included", "excluded", "placements", "frequency")
_AMOUNTS = ("bid_amount", "roas_floor", "daily_budget", "lifetime_budget")
_decode_texts = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_caps = msgspec.json.Decoder(tuple[FrequencyCap, ...]).decode


def key_of(kind: type[Kept]) -> str:
    """The field that holds the id of such objects."""
    return _KINDS[kind].key


def id_of(each: Object) -> str:
    """The id of an object, whatever it is."""
    return str(getattr(each, _KINDS[type(each)].key))


def is_significant(before: AdSet, after: AdSet) -> bool:
    """Whether a change makes what was learned of an ad set useless: another audience, action or
    strategy, or a bid or budget that differs by more than SIGNIFICANT_CHANGE."""
    if any(getattr(before, name) != getattr(after, name) for name in (*_MEANT, *_TARGETED)):
        return True
    amounts = ((getattr(before, name), getattr(after, name)) for name in _AMOUNTS)
    return any(abs(new - old) > SIGNIFICANT_CHANGE * old for old, new in amounts)


class Campaigns:
    """The tables of campaigns, ad sets, ads and creatives."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- reading ------------------------------------------------------------------------------

    def version(self) -> int:
        """A number that is higher after each change of any object."""
        return int(self._database.rows(sa.select(tables.campaign_version.c.version))[0][0])

    def campaigns(
        self, account_id: str | None = None, *, with_gone: bool = False
    ) -> list[Campaign]:
        """The campaigns of one account or of all, oldest first; deleted and archived ones only
        `with_gone`."""
        return list(self._all(Campaign, account_id, with_gone))

    def ad_sets(self, account_id: str | None = None, *, with_gone: bool = False) -> list[AdSet]:
        """The ad sets, likewise."""
        return list(self._all(AdSet, account_id, with_gone))

    def ads(self, account_id: str | None = None, *, with_gone: bool = False) -> list[Ad]:
        """The ads, likewise."""
        return list(self._all(Ad, account_id, with_gone))

    def creatives(
        self, account_id: str | None = None, *, with_gone: bool = False
    ) -> list[Creative]:
        """The creatives, likewise."""
        return list(self._all(Creative, account_id, with_gone))

    def find(self, account_id: str, object_id: str) -> Object | None:
        """The object of an account with this id, deleted ones too; None where it has none."""
        return (
            self.get(Campaign, account_id, object_id)
            or self.get(AdSet, account_id, object_id)
            or self.get(Ad, account_id, object_id)
            or self.get(Creative, account_id, object_id)
        )

    def get(self, kind: type[Kept], account_id: str, object_id: str) -> Kept | None:
        """The same, where it is of this kind."""
        table, key, *_ = _KINDS[kind]
        query = _query(kind).where(table.c[key] == object_id, table.c.account_id == account_id)
        return next((_read(kind, row) for row in self._database.rows(query)), None)

    def names(self, account_id: str, ids: Collection[str]) -> dict[tuple[str, str], str]:
        """The name of each of these, by its level (campaign, adset, ad) and id."""
        found: dict[tuple[str, str], str] = {}
        for kind, level in ((Campaign, "campaign"), (AdSet, "adset"), (Ad, "ad")):
            table, key, *_ = _KINDS[kind]
            query = sa.select(table.c[key], table.c.name).where(table.c.account_id == account_id)
            rows = self._database.rows(query)
            found |= {(level, each): name for each, name in rows if each in ids}
        return found

    def _all(self, kind: type[Kept], account_id: str | None, with_gone: bool) -> Iterator[Kept]:
        table, key, *_ = _KINDS[kind]
        query = _query(kind).order_by(table.c.created_at, table.c[key])
        if account_id is not None:
            query = query.where(table.c.account_id == account_id)
        if not with_gone:
            query = query.where(table.c.status.not_in(GONE))
        return (_read(kind, row) for row in self._database.rows(query))

    # --- writing ------------------------------------------------------------------------------

    def create(self, wanted: Kept, now_s: int | None = None) -> Kept:
        """Keep an object under a new id. An ad that is added is a significant edit of its ad set.
        Raises LimitError."""
        now_s = int(time.time()) if now_s is None else now_s
        kind = type(wanted)
        table, key, words, most = _KINDS[kind]
        # Ids of ad platforms that are imported beside these never begin with a nine.
        stamped: dict[str, Any] = {
            key: str(9 * 10**17 + secrets.randbelow(10**17)),
            "created_at": now_s,
            "updated_at": now_s,
            "edited_at": now_s,
            "paused_at": 0 if wanted.status == "ACTIVE" else now_s,
        }
        own = {name: value for name, value in stamped.items() if name in kind.__struct_fields__}
        made = msgspec.structs.replace(wanted, **own)
        with self._database.write() as connection:
            _rise(connection)
            counted = (table.c.account_id == made.account_id) & table.c.status.not_in(GONE)
            if _count(connection, table, counted) >= most:
                raise LimitError(
                    f"The account has {most:,} {words} already.", "Archive or delete some of them."
                )
            if isinstance(made, Ad):
                within = (table.c.adset_id == made.adset_id) & table.c.status.not_in(GONE)
                if _count(connection, table, within) >= ADS_PER_ADSET_MAX:
                    raise LimitError(
                        f"The ad set has {ADS_PER_ADSET_MAX} ads already.",
                        "Make another ad set, or archive some of them.",
                    )
                _edited(connection, made.adset_id, now_s)
            connection.execute(table.insert().values(**_columns(made)))
        return made

    def change(self, each: Kept, now_s: int | None = None, **changes: Any) -> Kept:
        """Change some fields of an object, whatever others have changed of it meanwhile; it as it
        is now. Deleting is a change too (`status="DELETED"`): the row stays, and parts go along. A
        significant edit of an ad set, or of an ad in it, moves its `edited_at`. Raises InUseError
        for a creative that is deleted and that an ad shows."""
        now_s = int(time.time()) if now_s is None else now_s
        kind = type(each)
        table, key, *_ = _KINDS[kind]
        which = table.c[key] == id_of(each)
        with self._database.write() as connection:
            # The first statement takes the lock: what is read then is what is changed.
            _rise(connection)
            row = connection.execute(_query(kind).where(which)).one()
            before = _read(kind, row)
            after = _stamped(before, msgspec.structs.replace(before, **changes), now_s)
            connection.execute(table.update().where(which).values(**_columns(after)))
            _follow(connection, before, after, now_s)
        return after


def _stamped(before: Kept, after: Kept, now_s: int) -> Kept:
    """An object with the moments that a change moves."""
    moments: dict[str, int] = {}
    if not isinstance(after, Creative):
        moments["updated_at"] = now_s
    if isinstance(after, Campaign | AdSet) and before.status != after.status:
        began = before.paused_at if isinstance(before, Campaign | AdSet) else 0
        moments["paused_at"] = 0 if after.status == "ACTIVE" else began or now_s
    if isinstance(before, AdSet) and isinstance(after, AdSet):
        rested = before.paused_at and now_s - before.paused_at >= LONG_PAUSE_S
        if is_significant(before, after) or (after.status == "ACTIVE" and rested):
            moments["edited_at"] = now_s
    return msgspec.structs.replace(after, **moments)


def _follow(connection: sa.Connection, before: Object, after: Object, now_s: int) -> None:
    """What the change of an object means for its parts, or for what it is a part of."""
    if isinstance(before, Ad) and isinstance(after, Ad):
        has_returned = before.status in GONE and after.status not in GONE
        if before.creative_id != after.creative_id or has_returned:
            _edited(connection, after.adset_id, now_s)
    if before.status == after.status:
        return
    if isinstance(after, Creative) and after.status in GONE:
        shown = (tables.ads.c.creative_id == after.creative_id) & tables.ads.c.status.not_in(GONE)
        if count := _count(connection, tables.ads, shown):
            raise InUseError(
                f"{count} ad{'s show' if count > 1 else ' shows'} this creative.",
                "Delete them first, or give them another creative.",
            )
    if isinstance(before, Campaign) and isinstance(after, Campaign) and after.status == "ACTIVE":
        rested_s = now_s - (before.paused_at or now_s)
        if rested_s >= LONG_PAUSE_S:
            which = tables.ad_sets.c.campaign_id == after.campaign_id
            connection.execute(tables.ad_sets.update().where(which).values(edited_at=now_s))
    if isinstance(after, Campaign | AdSet) and after.status in GONE:
        key = _KINDS[type(after)].key
        for table in (tables.ad_sets, tables.ads):
            if key in table.c and table.c[key] is not next(iter(table.primary_key)):
                parts = (table.c[key] == id_of(after)) & (table.c.status != "DELETED")
                values = {"status": after.status, "updated_at": now_s}
                connection.execute(table.update().where(parts).values(**values))


def _rise(connection: sa.Connection) -> None:
    table = tables.campaign_version
    connection.execute(table.update().values(version=table.c.version + 1))


def _edited(connection: sa.Connection, adset_id: str, now_s: int) -> None:
    which = tables.ad_sets.c.adset_id == adset_id
    connection.execute(tables.ad_sets.update().where(which).values(edited_at=now_s))


def _count(connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool]) -> int:
    query = sa.select(sa.func.count()).select_from(table).where(which)
    return int(connection.execute(query).scalar_one())


def _query(kind: type[Any]) -> sa.Select[Any]:
    table = _KINDS[kind].table
    return sa.select(*(table.c[name] for name in kind.__struct_fields__))


def _columns(each: Object) -> dict[str, Any]:
    columns = {name: getattr(each, name) for name in each.__struct_fields__}
    for name in _LISTS:
        if name in columns:
            columns[name] = msgspec.json.encode(columns[name]).decode()
    return columns


def _read(kind: type[Kept], row: Any) -> Kept:
    fields: Mapping[str, Any] = dict(zip(kind.__struct_fields__, row, strict=True))
    if kind is AdSet:
        texts = {name: _decode_texts(fields[name]) for name in _LISTS if name != "frequency"}
        fields = {**fields, **texts, "frequency": _decode_caps(fields["frequency"])}
    return kind(**fields)
