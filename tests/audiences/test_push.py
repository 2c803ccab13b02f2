"""Pushes: what changed goes there once, whatever breaks off, and whoever left is taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from doublet.audiences import graph_list, push
from doublet.audiences.graph_list import GraphList
from doublet.audiences.members import Definition, refresh
from doublet.audiences.push import Pusher, client_of
from doublet.catalog import Catalog
from doublet.catalog.rows import Audience
from doublet.catalog.shares import Push, Share
from doublet.person import Wish
from doublet.rounds import Freshener
from doublet.settings import Settings
from tests.audiences.graph_host import ACCOUNT as REMOTE_ACCOUNT
from tests.audiences.graph_host import TOKEN, GraphHost, graph_host
from tests.audiences.members import EVER, NOW, having
from tests.factories import ACCOUNT, NOON, SECOND, Pipeline, make_record, sha256
from tests.test_consent import hit


class Place(NamedTuple):
    """Everything between events and the other server."""

    pipeline: Pipeline
    catalog: Catalog
    host: GraphHost
    share: Share
    definition: Definition
    clock: list[float]

    @property
    def now(self) -> int:
        """By the clock of the test."""
        return int(self.clock[0])

    def tell(self, *events: dict[str, Any]) -> None:
        """Events come in, and members follow."""
        if events:
            self.pipeline.append([make_record(**event) for event in events])
        self.pipeline.refresh()
        refresh(self.pipeline.engine, [self.definition], self.now)

    def push(self) -> Push | None:
        """One push of the share; a process of its own each time."""
        client = client_of()
        pusher = Pusher(self.catalog, self.pipeline.engine, client, lambda: self.clock[0])
        done = pusher.push(self.catalog.shares.one(self.share.share_id))
        client.close()
        self.clock[0] += 1
        return done

    def given(self) -> int:
        """Of how many persons something was given."""
        return self.catalog.shares.count_given(self.share.share_id)


def audience_of(catalog: Catalog, definition: Definition) -> Definition:
    """An audience in the catalog, whose id the definition takes on."""
    made = catalog.audiences.create(Audience("", ACCOUNT, "Looked", "WEBSITE"))
    return definition._replace(audience_id=made.audience_id)


@contextmanager
def place_of(folder: Path, pipeline: Any) -> Iterator[Place]:
    """A share of those who looked and did not buy, with a server that answers."""
    catalog = Catalog(f"sqlite:///{folder}/catalog.sqlite")
    catalog.migrate()
    with catalog.write() as connection:
        connection.exec_driver_sql(
            "insert into accounts (account_id, name, time_zone, currency, app_secret, created_at) "
            f"values ('{ACCOUNT}', 'Shop', 'UTC', 'EUR', '', 0)"
        )
    definition = audience_of(catalog, having("ViewContent", EVER, "Purchase"))
    with graph_host() as host:
        wanted = Share(
            *("", ACCOUNT, definition.audience_id, host.url, "v25.0"),
            *(REMOTE_ACCOUNT, "", "From here", TOKEN),
        )
        share = catalog.shares.create(wanted)
        yield Place(pipeline, catalog, host, share, definition, [float(NOW + 100)])
    catalog.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    pipeline = Pipeline(tmp_path / "data")
    with place_of(tmp_path, pipeline) as made:
        yield made
    pipeline.close()


def look(who: str, event_name: str = "ViewContent", **user_data: Any) -> dict[str, Any]:
    """Somebody does something; each event has an id of its own."""
    known = {"em": [sha256(who)]} if who else {}
    return {
        "event_name": event_name,
        "event_id": f"{event_name}-{who}-{sorted(user_data.items())}",
        "user_data": known | user_data,
    }


def hashes(*who: str) -> set[str]:
    return {sha256(each) for each in who}


def test_members_are_put_into_a_list_that_is_made_once(place: Place) -> None:
    place.tell(look("a"), look("b", ph=sha256("1")), look("", fbp="fb.1.2.3"))
    done = place.push()
    assert done is not None
    assert ("done", 2, 0, 1, 0) == (
        done.verdict,
        done.added,
        done.removed,
        done.nameless,
        done.invalid,
    )
    (made,) = place.host.lists.values()
    assert ("From here", "CUSTOM") == (made["name"], made["subtype"])
    assert hashes("a", "b") == place.host.emails()
    (row,) = [row for row in next(iter(place.host.rows.values())) if row[0] == sha256("b")]
    assert ("", sha256("1")) == (row[2], row[1])
    # Nothing changed, so nobody is asked.
    before = len(place.host.requests)
    assert place.push() is None
    assert before == len(place.host.requests)


def test_only_what_changed_is_sent(place: Place) -> None:
    place.tell(*(look(f"person {n}") for n in range(20)))
    place.push()
    place.host.requests.clear()
    place.tell(look("new"), look("person 3", "Purchase"))
    done = place.push()
    assert done is not None
    assert (1, 1) == (done.added, done.removed)
    sent = [(method, len(body["payload"]["data"])) for method, _, body in place.host.requests]
    assert [("DELETE", 1), ("POST", 1)] == sent
    expected = hashes("new", *(f"person {n}" for n in range(20) if n != 3))
    assert expected == place.host.emails()


def test_a_list_that_was_made_by_who_died_is_found_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.tell(look("a"))
    monkeypatch.setattr(place.catalog.shares, "change", dying(1, place.catalog.shares.change))
    with pytest.raises(KeyboardInterrupt):
        place.push()
    place.push()
    assert 1 == len(place.host.lists)
    assert hashes("a") == place.host.emails()


def dying(times: int, act: Callable[..., Any], *, after: bool = False) -> Callable[..., Any]:
    """The same, but that the process ends at its first calls, before or after the work."""
    left = [times]

    def act_or_die(*arguments: Any, **options: Any) -> Any:
        if not left[0]:
            return act(*arguments, **options)
        left[0] -= 1
        if after:
            act(*arguments, **options)
        raise KeyboardInterrupt

    return act_or_die


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 9))
def test_a_push_that_dies_anywhere_is_completed_by_the_next(
    place: Place, monkeypatch: pytest.MonkeyPatch, at: int, after: bool
) -> None:
    monkeypatch.setattr(graph_list, "ROWS_MAX", 2)
    monkeypatch.setattr(push, "_PERSONS_AT_ONCE", 3)
    place.tell(*(look(f"person {n}") for n in range(7)))
    place.push()
    place.tell(*(look(f"person {n}", "Purchase") for n in range(5)), look("x"), look("y"))
    calls = [0]
    real_send, real_note = GraphList.send, place.catalog.shares.note_given

    def counted(act: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> Any:
            calls[0] += 1
            if calls[0] == at:
                if after:
                    act(*arguments)
                raise KeyboardInterrupt
            return act(*arguments)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(GraphList, "send", counted(real_send))
        patch.setattr(place.catalog.shares, "note_given", counted(real_note))
        with pytest.raises(KeyboardInterrupt):
            place.push()
    # Somebody who may have been given leaves before the next push.
    place.tell(look("x", "Purchase"))
    done = place.push()
    assert done is not None
    assert "done" == done.verdict
    assert hashes("person 5", "person 6", "y") == place.host.emails()
    assert 3 == place.given()
    rows = next(iter(place.host.rows.values()))
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        ((500, {"error": {"code": 2, "message": "Temporary"}}), "later"),
        ((400, {"error": {"code": 17, "message": "Too many calls"}}), "later"),
        ((200, {"sign": "in"}), "later"),
        (OSError(), "later"),
        ((401, {"error": {"code": 190, "message": f"Bad {TOKEN}"}}), "blocked"),
        ((400, {"error": {"code": 2650, "error_subcode": 1870145, "message": "Busy"}}), "divide"),
    ],
)
def test_what_the_other_side_refuses_waits_and_is_told(
    place: Place, fault: Any, verdict: str
) -> None:
    place.tell(look("a"))
    place.push()
    place.tell(look("b"))
    place.host.faults = [fault]
    done = place.push()
    assert done is not None
    assert verdict == done.verdict
    assert done.message
    assert TOKEN not in done.message
    share = place.catalog.shares.one(place.share.share_id)
    assert (1, True) == (share.failures, share.due_at > place.now - 1)
    assert verdict == place.catalog.shares.pushes(share.share_id)[0].verdict
    place.push()
    assert hashes("a", "b") == place.host.emails()
    assert 0 == place.catalog.shares.one(share.share_id).failures


def test_due_shares_wait_their_turn_and_fail_alone(place: Place) -> None:
    place.tell(look("a"))
    other = msgspec.structs.replace(place.share, share_id="", url="http://127.0.0.1:1")
    place.catalog.shares.create(other)
    with client_of() as client:
        pusher = Pusher(place.catalog, place.pipeline.engine, client, lambda: place.clock[0])
        assert 2 < pusher.push_due()
        assert hashes("a") == place.host.emails()
        place.tell(look("b"))
        assert 0 == pusher.push_due()
        place.catalog.shares.change(place.share.share_id, due_at=-1)
        assert 1 == pusher.push_due()
        place.tell(look("c"))
        place.clock[0] += push.PUSH_EVERY_S
        assert 1 <= pusher.push_due()
    assert hashes("a", "b", "c") == place.host.emails()


def test_who_is_known_by_more_is_given_again(place: Place) -> None:
    place.tell(look("", fbp="fb.1.1.1"), look("a"))
    assert 1 == place.push().nameless  # type: ignore[union-attr]
    # The event that tells who it is makes nobody join or leave.
    place.tell(look("b", "Lead", fbp="fb.1.1.1"), look("a", "Lead", ph=sha256("2")))
    with place.pipeline.engine.transaction() as tx:
        tx.run("delete from audience_changes")
    place.push()
    assert hashes("a", "b") == place.host.emails()
    assert sha256("2") in {row[1] for row in next(iter(place.host.rows.values()))}


def test_two_who_turn_out_to_be_one_stay(place: Place) -> None:
    place.tell(look("a"), look("b"))
    place.push()
    place.tell({**look("a", "Lead"), "user_data": {"em": [sha256("a"), sha256("b")]}})
    place.push()
    assert hashes("a", "b") == place.host.emails()
    assert 1 == place.given()


def test_who_withdraws_is_taken_back(place: Place) -> None:
    place.tell(look("a", fbp="fb.1.1.1"), look("b"))
    place.push()
    denied = {"ad_user_data": "denied", "ad_storage": "denied"}
    visit = hit(NOON + SECOND, denied, "page.1", ev="PageView", fbp="fb.1.1.1")
    place.pipeline.append([visit])
    place.tell()
    place.push()
    assert hashes("b") == place.host.emails()
    assert 1 == place.given()


def test_a_paused_share_gives_nobody_and_takes_back(place: Place) -> None:
    place.tell(look("a"), look("b"))
    place.push()
    place.catalog.shares.change(place.share.share_id, is_paused=True)
    place.tell(look("c"), look("a", "Purchase"))
    place.push()
    assert hashes("b") == place.host.emails()
    place.catalog.shares.change(place.share.share_id, is_paused=False, compared_at=0)
    place.push()
    assert hashes("b", "c") == place.host.emails()


@pytest.mark.parametrize("how", ["ended", "audience removed"])
def test_a_share_that_ends_takes_everybody_back(place: Place, how: str) -> None:
    place.tell(look("a"), look("b"))
    place.push()
    if how == "ended":
        place.catalog.shares.change(place.share.share_id, is_ending=True)
    else:
        place.catalog.audiences.remove(place.share.audience_id)
    place.host.faults = [(500, {})]
    place.push()
    assert 2 == place.given()
    place.push()
    assert set() == place.host.emails()
    assert [] == place.catalog.shares.all()


def test_forgotten_changes_are_made_up_for(place: Place) -> None:
    place.tell(look("a"), look("b"))
    place.push()
    place.tell(look("c"), look("a", "Purchase"))
    with place.pipeline.engine.transaction() as tx:
        tx.run("delete from audience_changes")
    place.push()
    assert hashes("b", "c") == place.host.emails()


def test_many_go_in_batches_of_ten_thousand(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_list, "ROWS_MAX", 50)
    place.tell(
        *(look(f"person {n}", external_id=[sha256(f"{n}"), sha256(f"-{n}")]) for n in range(60))
    )
    place.push()
    sessions = [body["session"] for _, edge, body in place.host.requests if edge == "users"]
    assert [1, 2, 3] == [each["batch_seq"] for each in sessions]
    assert [False, False, True] == [each["last_batch_flag"] for each in sessions]
    assert 1 == len({each["session_id"] for each in sessions})
    assert 60 == len(place.host.emails())


class Fresh:
    """A data folder as the worker has it, which can erase."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data=folder)
        self.folder = folder
        self.freshener = Freshener(self.settings)
        self.engine = self.freshener.engine

    def append(self, records: Sequence[bytes]) -> None:
        """Write records to the log."""
        Pipeline.append(self, records)  # type: ignore[arg-type]

    def refresh(self) -> None:
        """Load and model them."""
        self.freshener.freshen()


def test_who_is_erased_is_taken_back_and_then_forgotten(tmp_path: Path) -> None:
    fresh = Fresh(tmp_path / "data")
    with place_of(tmp_path, fresh) as place:
        place.tell(look("a"), look("b"))
        place.push()
        fresh.freshener.ask_to_erase(Wish(ACCOUNT, frozenset({f"em={sha256('b')}"})))
        assert 1 == fresh.freshener.erase()
        place.tell()
        place.host.faults = [(500, {})]
        place.push()
        assert 2 == place.given()
        place.push()
        assert hashes("a") == place.host.emails()
        assert 1 == place.given()
        on_disk = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
        assert sha256("a").encode() in on_disk
        assert sha256("b").encode() not in on_disk
    fresh.freshener.close()
