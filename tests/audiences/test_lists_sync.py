"""Customer lists beside what events carried: who is in, and why other rows match nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from doublet.audiences import members
from doublet.audiences.list_rows import RowReader
from doublet.audiences.lists import read_rows
from doublet.audiences.lists_sync import KindMatch, forget_others, make_tables, match, sync
from doublet.audiences.members import audience_sql
from doublet.catalog import Audience, Catalog
from doublet.catalog.lists import Lists, StoredEntry
from doublet.normalize import identifier_key
from tests.factories import ACCOUNT, NOON, SECOND, Pipeline, make_record, sha256
from tests.test_consent import DENIED, hit

NOW_S = NOON // SECOND + 3600
SCHEMA = ["EMAIL", "PHONE", "FN", "LOOKALIKE_VALUE", "DATA_PROCESSING_OPTIONS"]


class World:
    """Events of one account, and its one customer list."""

    def __init__(self, folder: Path) -> None:
        self.pipeline = Pipeline(folder)
        self.engine = self.pipeline.engine
        self.catalog = Catalog(f"sqlite:///{folder / 'catalog.sqlite'}")
        self.catalog.migrate()
        made = self.catalog.create_account("Shop")
        self.audience = self.catalog.audiences.create(
            Audience("", made.account_id, "Customers", "CUSTOM")
        )
        self.number = 0
        with self.engine.transaction() as tx:
            members.make_tables(tx)
            make_tables(tx)

    @property
    def asked(self) -> dict[str, str]:
        """The parameters of the texts."""
        return {
            "account_id": self.audience.account_id,
            "audience_id": self.audience.audience_id,
        }

    def see(self, **user_data: str) -> None:
        """An event of a person."""
        self.number += 1
        record = make_record(
            NOON + self.number * SECOND,
            account_id=self.audience.account_id,
            event_id=f"{self.number}",
            user_data={key: [sha256(text)] for key, text in user_data.items()},
        )
        self.pipeline.append([record])

    def add(self, *rows: list[Any]) -> None:
        """Rows with email, phone, first name, value and options."""
        padded = [[*row, *[""] * (len(SCHEMA) - len(row))] for row in rows]
        found = read_rows(RowReader(SCHEMA), padded)
        assert len(rows) == len(found.entries), found.samples
        self.catalog.lists.add(self.audience, found.entries, NOW_S)

    def sync(self) -> bool:
        """Model what came, and bring the list beside it."""
        self.pipeline.refresh()
        members.refresh(self.engine, [], NOW_S)
        return sync(self.engine, self.catalog, self.audience)

    def persons(self, *emails: str) -> set[int]:
        """Who has these addresses."""
        keys = [identifier_key(self.audience.account_id, f"em={sha256(each)}") for each in emails]
        rows = self.engine.query(
            "select person_id from identifiers where list_contains($keys, identifier_key)",
            {"keys": keys},
        )
        return {row["person_id"] for row in rows}

    def matched(self) -> set[int]:
        """Who is in the list."""
        rows = self.engine.query(audience_sql("list_members"), self.asked)
        assert all(row["is_in"] and row["due_s"] is None for row in rows)
        assert len(rows) == len({row["person_id"] for row in rows})
        return {row["person_id"] for row in rows}

    def match(self) -> dict[str, int]:
        """The figures that are not zero."""
        found = match(self.engine, self.audience.account_id, self.audience.audience_id)
        figures = {name: getattr(found, name) for name in found.__struct_fields__[:-2]}
        return {name: number for name, number in figures.items() if number}

    def close(self) -> None:
        """Give everything back."""
        self.catalog.close()
        self.pipeline.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_whoever_has_an_identifier_of_a_row_is_in(world: World) -> None:
    world.see(em="ada@example.com", ph="15550001")
    world.see(em="bob@example.com")
    world.see(em="eve@example.com")
    world.add(
        ["ada@example.com", "", "Ada"],
        ["", sha256("15550001"), "Ada"],
        ["bob@example.com", "+49 170 9999999"],
        ["new@example.com"],
        ["", "", "Somebody"],
    )
    assert world.sync()
    assert world.persons("ada@example.com", "bob@example.com") == world.matched()
    assert {"rows": 5, "matched": 3, "no_key": 1, "unknown": 1, "persons": 2} == world.match()
    found = match(world.engine, world.audience.account_id, world.audience.audience_id)
    assert 0.6 == found.match_rate
    assert found.version == world.catalog.lists.version(world.audience.audience_id)
    assert (KindMatch("em", 3, 2), KindMatch("ph", 2, 1)) == found.kinds


def test_who_is_seen_later_is_in_then(world: World) -> None:
    world.add(["ada@example.com"])
    world.sync()
    assert {"rows": 1, "unknown": 1} == world.match()
    world.see(em="ada@example.com")
    # Nothing of the list is read again for that.
    assert not world.sync()
    assert {"rows": 1, "matched": 1, "persons": 1} == world.match()
    assert world.persons("ada@example.com") == world.matched()


def test_a_list_is_read_again_when_it_changed_and_forgotten_when_it_went(world: World) -> None:
    world.see(em="ada@example.com")
    world.add(["ada@example.com"], ["bob@example.com"])
    assert world.sync()
    assert not world.sync()
    entries = read_rows(RowReader(["EMAIL"]), [["ada@example.com"]]).entries
    world.catalog.lists.remove(world.audience, entries, NOW_S)
    assert world.sync()
    assert (set(), {"rows": 1, "unknown": 1}) == (world.matched(), world.match())
    with world.engine.transaction() as tx:
        forget_others(tx, {world.audience.audience_id})
    assert {"rows": 1, "unknown": 1} == world.match()
    with world.engine.transaction() as tx:
        forget_others(tx, set())
    assert {} == world.match()
    found = match(world.engine, world.audience.account_id, world.audience.audience_id)
    assert found.match_rate is None
    assert world.sync()


def test_only_what_changed_of_a_list_is_written_again(world: World) -> None:
    def listed() -> list[tuple[str, float | None]]:
        rows = world.engine.query(
            "select kind, value, identifier_key from list_identifiers order by all"
        )
        keys = {identifier_key(world.audience.account_id, f"em={sha256(n)}"): n for n in names}
        return sorted((keys[row["identifier_key"]], row["value"]) for row in rows)

    names = ("ada@example.com", "bob@example.com", "eve@example.com", "kim@example.com")
    ada, bob, eve, kim = names
    world.add([ada, "", "", 1], [bob, "", "", 2], [eve, "", "", 3])
    world.sync()
    assert [(ada, 1.0), (bob, 2.0), (eve, 3.0)] == listed()
    # One is worth more, one leaves, and another one gets the number of its row.
    world.catalog.lists.remove(
        world.audience, read_rows(RowReader(["EMAIL"]), [[eve]]).entries, NOW_S
    )
    world.add([bob, "", "", 20], [kim, "", "", 3])
    world.sync()
    assert [(ada, 1.0), (bob, 20.0), (kim, 3.0)] == listed()


def test_who_limits_or_denies_the_use_matches_nobody(world: World) -> None:
    world.see(em="ada@example.com")
    world.see(em="bob@example.com")
    for name in ("bob", "never"):
        email = {"ud[em]": sha256(f"{name}@example.com")}
        said_at = NOON + 60 * SECOND
        world.pipeline.append([hit(said_at, DENIED, name, world.audience.account_id, **email)])
    world.add(
        ["ada@example.com", "", "", "", "LDU"],
        ["bob@example.com"],
        ["never@example.com"],
    )
    world.sync()
    assert {"rows": 3, "limited": 1, "opted_out": 2} == world.match()


def test_what_too_many_share_is_nobody_s(world: World) -> None:
    for n in range(40):
        world.see(em=f"user{n}@example.com", ph="15550001")
    world.add(["", sha256("15550001")], ["user1@example.com", sha256("15550001")])
    world.sync()
    assert {"rows": 2, "matched": 1, "shared": 1, "persons": 1} == world.match()
    assert world.persons("user1@example.com") == world.matched()


def test_a_person_is_worth_what_the_rows_say_together(world: World) -> None:
    world.see(em="ada@example.com", ph="15550001")
    world.see(em="bob@example.com")
    world.add(
        ["ada@example.com", sha256("15550001"), "Ada", 10],
        ["ada@example.com", "", "", "2.5"],
        ["bob@example.com"],
    )
    world.sync()
    (ada,) = world.persons("ada@example.com")
    rows = world.engine.query(audience_sql("list_values"), world.asked)
    assert [{"person_id": ada, "value": 12.5}] == rows


def test_lists_of_other_accounts_match_nobody_of_this_one(world: World) -> None:
    world.see(em="ada@example.com")
    other = world.catalog.create_account("Other")
    theirs = world.catalog.audiences.create(Audience("", other.account_id, "X", "CUSTOM"))
    entries = read_rows(RowReader(["EMAIL"]), [["ada@example.com"]]).entries
    world.catalog.lists.add(theirs, entries, NOW_S)
    world.sync()
    sync(world.engine, world.catalog, theirs)
    found = match(world.engine, other.account_id, theirs.audience_id)
    assert (1, 0, 1) == (found.rows, found.matched, found.unknown)
    assert ACCOUNT not in (world.audience.account_id, other.account_id)


def test_a_list_of_several_parts_is_read_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sync.__globals__, "_PART", 7)
    world.add(*[[f"user{n}@example.com", "", "Ada"] for n in range(50)])
    world.sync()
    assert {"rows": 50, "unknown": 50} == world.match()


def test_others_write_while_a_list_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add(*[[f"user{n}@example.com", "", "Ada"] for n in range(50)])
    monkeypatch.setitem(sync.__globals__, "_PART", 7)
    read = Lists.entries
    done = []

    def write() -> None:
        with world.engine.transaction() as tx:
            tx.run("create or replace table written as select 1 as one")
        done.append(True)

    def entries(lists: Lists, audience_id: str) -> Iterator[StoredEntry]:
        for entry in read(lists, audience_id):
            yield entry
            if not done:
                writer = threading.Thread(target=write, daemon=True)
                writer.start()
                writer.join(10)

    monkeypatch.setattr(Lists, "entries", entries)
    assert world.sync()
    assert done
    assert {"rows": 50, "unknown": 50} == world.match()


def test_a_list_whose_reading_broke_off_is_as_before_and_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add(["ada@example.com"])
    assert world.sync()
    world.add(*[[f"user{n}@example.com", "", "Ada"] for n in range(50)])
    read = Lists.entries

    def entries(lists: Lists, audience_id: str) -> Iterator[StoredEntry]:
        yield from islice(read(lists, audience_id), 20)
        raise OSError("disk gone")

    with monkeypatch.context() as patched:
        patched.setitem(sync.__globals__, "_PART", 7)
        patched.setattr(Lists, "entries", entries)
        with pytest.raises(OSError, match="disk gone"):
            world.sync()
    assert {"rows": 1, "unknown": 1} == world.match()
    assert world.sync()
    assert {"rows": 51, "unknown": 51} == world.match()
