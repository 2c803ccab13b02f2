"""Erasing a person takes them out of the outbox too, wherever it is interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from doublet.catalog import Catalog
from doublet.errors import BusyError
from doublet.outbox import Aside, Asked, Outbox, Ready, Sent, Settled, Sighting
from doublet.person import Wish
from doublet.relay.fill import Filler
from doublet.relaying import filler_of
from doublet.rounds import Freshener
from tests.factories import sha256
from tests.relay.outboxes import Relay

FBP = "fb.1.1780000000000.4711"
HASH = sha256("ada@example.com")
ADDRESS = "198.51.100.77"
TRACES = (FBP, HASH, ADDRESS, "ada-1", "ada-2", "ada-3")


@contextmanager
def working(relay: Relay) -> Iterator[tuple[Freshener, Filler]]:
    """What the worker has, on this folder."""
    freshener = Freshener(relay.settings)
    catalog = Catalog(relay.settings.catalog_url)
    filler = filler_of(relay.settings, catalog, freshener)
    try:
        freshener.freshen()
        filler.fill(freshener.positions)
        yield freshener, filler
    finally:
        filler.close()
        catalog.close()
        freshener.close()


def left(folder: Path) -> list[str]:
    """Whatever of the person's is in a byte of the outbox."""
    data = b"".join(path.read_bytes() for path in folder.glob("relay.sqlite*"))
    return [text for text in TRACES if text.encode() in data]


def prepare(folder: Path) -> Relay:
    """A folder with what was sent, failed and waits of a person, and of somebody else."""
    relay = Relay(folder)
    relay.add()
    ada = {"em": [HASH], "fbp": FBP, "client_ip_address": ADDRESS, "client_user_agent": "Mozilla"}
    relay.send(
        *(relay.record(60 - n, "browser", event_id=f"ada-{n}", user_data=ada) for n in (1, 2, 3)),
        relay.record(50, "browser", event_id="john", user_data={"em": [sha256("john@x.example")]}),
    )
    outbox = Outbox(relay.settings.outbox_file)
    ready = outbox.ready(relay.catalog.destinations()[0].destination_id, 1 << 62, 3, ())
    asked = Asked("dst", 1, 0.1, 2, "done", 200, "", "")
    sent = [Sent(ready[0].emission_id, ready[0].payload)]
    aside = [Aside(ready[1].emission_id, "failed", "refused", f"bad: {FBP}", ready[1].payload)]
    outbox.settle([Settled(asked, sent, aside)])
    outbox.close()
    relay.close()
    return relay


def check(relay: Relay) -> None:
    """Nothing is left of the person, everything of others."""
    assert [] == left(relay.folder)
    assert [
        ("sent", None),
        ("failed", None),
        ("withheld", None),
        ("ready", "john"),
    ] == relay.ledger("state, event_id")
    assert [f"em={sha256('john@x.example')}"] == list(relay.sightings())


def test_nothing_of_an_erased_person_is_in_the_outbox(tmp_path: Path) -> None:
    relay = prepare(tmp_path)
    assert set(TRACES) - set(left(tmp_path)) == set()
    with working(relay) as (freshener, _):
        freshener.ask_to_erase(Wish(relay.account_id, frozenset({f"em={HASH}"})))
        assert 1 == freshener.erase()
    check(relay)


def test_an_erasure_takes_nothing_from_other_accounts(tmp_path: Path) -> None:
    relay = prepare(tmp_path)
    outbox = Outbox(relay.settings.outbox_file)
    denied = '{"ad_storage": "denied"}'
    theirs = Sighting("act_2", f"em={HASH}", 1, 9, 9, "Lead", None, "{}", denied, 1)
    outbox.note([], [theirs._replace(event_time=relay.start // 1_000_000)])
    with working(relay) as (freshener, _):
        freshener.ask_to_erase(Wish(relay.account_id, frozenset({f"em={HASH}"})))
        assert 1 == freshener.erase()
    assert None is outbox.sighting(relay.account_id, f"em={HASH}")
    found = outbox.sighting("act_2", f"em={HASH}")
    assert found is not None
    assert denied in found
    outbox.close()


@pytest.mark.parametrize("moment", ["before", "lake", "after"])
def test_an_erasure_that_was_cut_off_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    relay = prepare(tmp_path)
    with working(relay) as (freshener, filler):
        freshener.ask_to_erase(Wish(relay.account_id, frozenset({f"em={HASH}"})))
        calls = []

        def forget(*given: Any) -> None:
            calls.append(given)
            if moment == "before" or (moment == "after" and len(calls) == 2):
                raise InterruptedError
            filler.forget(*given)
            if moment == "lake":
                # What is only looked at now, when the tables still have it.
                outbox = Outbox(relay.settings.outbox_file)
                outbox.rows("delete from positions")
                outbox.close()
                filler.fill(freshener.positions)
                assert f"em={HASH}" in relay.sightings()

        def no_models(*given: Any) -> None:
            raise InterruptedError

        freshener.when_erasing(forget)
        if moment == "lake":
            monkeypatch.setattr("doublet.models.forget", no_models)
        with pytest.raises(InterruptedError):
            freshener.erase()
        monkeypatch.undo()
    with working(relay) as (freshener, _):
        assert 1 == freshener.erase()
    check(relay)


def test_what_was_being_sent_meanwhile_does_not_come_back(tmp_path: Path) -> None:
    relay = prepare(tmp_path)
    outbox = Outbox(relay.settings.outbox_file)
    under_way: list[Ready] = [
        each
        for each in outbox.ready(relay.catalog.destinations()[0].destination_id, 1 << 62, 9, ())
        if HASH.encode() in each.payload
    ]
    assert 1 == len(under_way)
    with working(relay) as (freshener, _):
        freshener.ask_to_erase(Wish(relay.account_id, frozenset({f"em={HASH}"})))
        freshener.erase()
    asked = Asked("dst", 1, 0.1, 1, "done", 200, "", "")
    outbox.settle([Settled(asked, [Sent(under_way[0].emission_id, under_way[0].payload)], [])])
    outbox.close()
    check(relay)


def test_an_erasure_waits_for_who_reads_what_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doublet.outbox._BUSY_TIMEOUT_S", 0.1)
    relay = prepare(tmp_path)
    reader = Outbox(relay.settings.outbox_file)
    with working(relay) as (freshener, _):
        reader.rows("begin")
        reader.rows("select count(*) from emissions")
        freshener.ask_to_erase(Wish(relay.account_id, frozenset({f"em={HASH}"})))
        with pytest.raises(BusyError):
            freshener.erase()
        reader.rows("commit")
        assert 1 == freshener.erase()
    check(relay)
    reader.close()
