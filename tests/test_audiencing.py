from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from doublet.audiences.members import Definition
from doublet.audiences.snapshot import Snapshot
from doublet.audiencing import Audiencing, rule_definition
from doublet.catalog import Audience, Catalog, ListEntry
from doublet.engine.duckdb import DuckDBEngine
from doublet.settings import Settings
from tests.audiences.members import NOW
from tests.factories import SECOND, Pipeline, sha256
from tests.persons.touching import em, fbp, make


class Shop:
    """The worker's audiences over a pipeline, with the catalog beside."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data=folder)
        self.pipeline = Pipeline(folder)
        self.catalog = Catalog(self.settings.catalog_url)
        self.catalog.migrate()
        self.account_id = self.catalog.create_account("Shop").account_id
        self.pixel_id = self.catalog.create_pixel(self.account_id, "Shop")[0].pixel_id
        self.audiencing = Audiencing(self.pipeline.engine, self.settings)
        self.snapshot = Snapshot(self.settings.audiences_folder)

    def load(self, *records: bytes) -> None:
        self.pipeline.append(list(records))
        self.pipeline.refresh()

    def make(self, name: str, at: int = 0, number: int = 0, **user_data: object) -> bytes:
        more = {"account_id": self.account_id, "pixel_id": self.pixel_id}
        return make(name, at, number, more=more, **user_data)

    def make_with(
        self, name: str, at: int, number: int, person: int, fields: dict[str, object]
    ) -> bytes:
        """The same of a numbered person, with more fields of an event."""
        more = {"account_id": self.account_id, "pixel_id": self.pixel_id, **fields}
        return make(name, at, number, more=more, fbp=fbp(person))

    def rule(self, name: str, but_not: str = "", days: int = 30) -> str:
        """Persons with an event of the last days, and none of another name."""

        def one(event: str) -> dict[str, object]:
            chosen = {
                "event_sources": [{"id": self.pixel_id, "type": "pixel"}],
                "retention_seconds": days * 86_400,
                "filter": {
                    "operator": "and",
                    "filters": [{"field": "event", "operator": "eq", "value": event}],
                },
            }
            return {"operator": "or", "rules": [chosen]}

        excluded = {"exclusions": one(but_not)} if but_not else {}
        return json.dumps({"inclusions": one(name), **excluded})

    def create(self, subtype: str = "WEBSITE", **fields: object) -> Audience:
        wanted = Audience("", self.account_id, "Some", subtype, **fields)  # type: ignore[arg-type]
        return self.catalog.audiences.create(wanted)

    def of(self, identifier: str) -> set[str]:
        assert self.snapshot.refresh()
        return self.snapshot.audiences_of(self.account_id, [identifier])

    def close(self) -> None:
        self.audiencing.stop()
        self.catalog.close()
        self.pipeline.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


def test_a_rule_audience_follows_events_and_is_published(shop: Shop) -> None:
    carted = shop.create(rule=shop.rule("AddToCart", but_not="Purchase"), retention_days=30)
    shop.load(shop.make("AddToCart", fbp=fbp(1)), shop.make("AddToCart", number=2, fbp=fbp(2)))
    shop.audiencing.refresh(NOW)
    assert {carted.audience_id} == shop.of(f"fbp={fbp(1)}")
    assert "ready" == shop.catalog.audiences.state(carted.audience_id)["state"]
    shop.load(shop.make("Purchase", SECOND, fbp=fbp(1)))
    shop.audiencing.refresh(NOW + 1)
    assert set() == shop.of(f"fbp={fbp(1)}")
    assert {carted.audience_id} == shop.of(f"fbp={fbp(2)}")
    at = NOW - NOW % 900
    assert {carted.audience_id: (at, 1)} == shop.catalog.audiences.latest_sizes(shop.account_id)
    shop.audiencing.refresh(NOW + 30 * 86_400 + 60)
    assert set() == shop.of(f"fbp={fbp(2)}")


def test_who_has_grown_too_old_leaves_within_a_minute_and_disturbs_no_report(shop: Shop) -> None:
    shop.create(rule=shop.rule("AddToCart"), retention_days=30)
    shop.load(shop.make("AddToCart", fbp=fbp(1)))
    shop.audiencing.refresh(NOW)
    before = shop.pipeline.engine.report_changes
    due = NOW + 30 * 86_400
    assert 0 == shop.audiencing.refresh(due - 60).left
    assert 1 == sum(shop.audiencing.refresh(due + later).left for later in range(0, 61, 10))
    assert 0 == shop.audiencing.refresh(due + 61).persons
    assert before == shop.pipeline.engine.report_changes


def test_without_prefill_only_what_comes_later_counts(shop: Shop) -> None:
    later = shop.create(
        rule=shop.rule("AddToCart"), retention_days=30, prefill=False, created_at=NOW + 10
    )
    shop.load(
        shop.make("AddToCart", fbp=fbp(1)), shop.make("AddToCart", 20 * SECOND, 2, fbp=fbp(2))
    )
    shop.audiencing.refresh(NOW + 30)
    assert set() == shop.of(f"fbp={fbp(1)}")
    assert {later.audience_id} == shop.of(f"fbp={fbp(2)}")


def test_a_customer_list_has_those_who_are_known_and_who_become_known(shop: Shop) -> None:
    listed = shop.create("CUSTOM")
    shop.load(shop.make("ViewContent", fbp=fbp(1), em=em("mary")))
    entries = [
        ListEntry(n, (f"em={em(name)[0]}",)) for n, name in enumerate(("mary", "joan", "ruth"))
    ]
    shop.catalog.lists.add(listed, entries, NOW)
    shop.audiencing.refresh(NOW)
    assert {listed.audience_id} == shop.of(f"fbp={fbp(1)}")
    match = shop.catalog.audiences.state(listed.audience_id)["match"]
    assert (3, 1, 2) == (match["rows"], match["matched"], match["unknown"])
    shop.load(shop.make("ViewContent", SECOND, 2, fbp=fbp(2), em=em("joan")))
    shop.audiencing.refresh(NOW + 1)
    assert {listed.audience_id} == shop.of(f"fbp={fbp(2)}")
    # Who is erased leaves the list for good.
    assert 1 == shop.catalog.lists.forget(shop.account_id, [f"em={em('mary')[0]}"])
    shop.audiencing.refresh(NOW + 2)
    assert set() == shop.of(f"fbp={fbp(1)}")
    assert 2 == len(list(shop.catalog.lists.entries(listed.audience_id)))


def test_a_deleted_audience_is_gone_from_the_snapshot(shop: Shop) -> None:
    made = shop.create(rule=shop.rule("AddToCart"), retention_days=30)
    shop.load(shop.make("AddToCart", fbp=fbp(1)))
    shop.audiencing.refresh(NOW)
    shop.catalog.audiences.remove(made.audience_id)
    shop.audiencing.refresh(NOW)
    assert set() == shop.of(f"fbp={fbp(1)}")


def test_a_rule_that_cannot_be_read_keeps_nobody_else_waiting(shop: Shop) -> None:
    wrong = shop.create(rule='{"inclusions": 7}')
    right = shop.create(rule=shop.rule("AddToCart"), retention_days=30)
    shop.load(shop.make("AddToCart", fbp=fbp(1)))
    shop.audiencing.refresh(NOW)
    assert "failed" == shop.catalog.audiences.state(wrong.audience_id)["state"]
    assert {right.audience_id} == shop.of(f"fbp={fbp(1)}")


def test_one_that_cannot_be_made_keeps_no_other_waiting(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = shop.create(rule=shop.rule("Purchase"))
    sound = shop.create(rule=shop.rule("AddToCart"))
    shop.load(shop.make("AddToCart", fbp=fbp(1)), shop.make("Purchase", number=2, fbp=fbp(1)))

    def making(audience: Audience) -> Definition:
        made = rule_definition(audience)
        if audience.audience_id != broken.audience_id:
            return made
        return made._replace(sql=lambda _: ("select error('no memory') as person_id", {}))

    with monkeypatch.context() as patched:
        patched.setattr("doublet.audiencing.rule_definition", making)
        moved = shop.audiencing.refresh(NOW)
    assert ((sound.audience_id,), (broken.audience_id,)) == (moved.built, moved.failed)
    assert {sound.audience_id} == shop.of(f"fbp={fbp(1)}")
    assert "failed" == shop.catalog.audiences.state(broken.audience_id)["state"]
    # In a new process it is made.
    fresh = Audiencing(shop.pipeline.engine, shop.settings)
    fresh.refresh(NOW + 1)
    fresh.stop()
    assert {sound.audience_id, broken.audience_id} == shop.of(f"fbp={fbp(1)}")
    assert "ready" == shop.catalog.audiences.state(broken.audience_id)["state"]


def test_a_round_without_news_writes_nothing(shop: Shop) -> None:
    shop.create(rule=shop.rule("AddToCart"), retention_days=30)
    shop.create("CUSTOM")
    shop.load(shop.make("AddToCart", fbp=fbp(1)))
    shop.audiencing.refresh(NOW)
    assert isinstance(shop.pipeline.engine, DuckDBEngine)
    before = shop.pipeline.engine.changes
    shop.audiencing.refresh(NOW + 1)
    assert before == shop.pipeline.engine.changes


def test_a_rule_is_read_once_and_again_when_it_was_changed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = shop.create(rule=shop.rule("AddToCart"))
    shop.load(shop.make("AddToCart", fbp=fbp(1)), shop.make("Purchase", number=2, fbp=fbp(2)))
    read: list[str] = []

    def reading(audience: Audience) -> Definition:
        read.append(audience.rule)
        return rule_definition(audience)

    monkeypatch.setattr("doublet.audiencing.rule_definition", reading)
    for _ in range(3):
        shop.audiencing.refresh(NOW)
    assert 1 == len(read)
    assert {each.audience_id} == shop.of(f"fbp={fbp(1)}")
    shop.catalog.audiences.save(msgspec.structs.replace(each, rule=shop.rule("Purchase")))
    shop.audiencing.refresh(NOW)
    assert 2 == len(read)
    assert set() == shop.of(f"fbp={fbp(1)}")
    assert {each.audience_id} == shop.of(f"fbp={fbp(2)}")


def test_a_rule_in_the_old_form_is_of_the_pixel_of_its_audience(shop: Shop) -> None:
    rule = json.dumps({"event": {"eq": "AddToCart"}})
    ours = shop.create(rule=rule, retention_days=30, pixel_id=shop.pixel_id)
    other = shop.create(rule=rule, retention_days=30, pixel_id="1000000000000009")
    every = shop.create(rule=rule, retention_days=30)
    shop.load(shop.make("AddToCart", fbp=fbp(1)))
    shop.audiencing.refresh(NOW)
    assert {ours.audience_id, every.audience_id} == shop.of(f"fbp={fbp(1)}")
    assert "ready" == shop.catalog.audiences.state(other.audience_id)["state"]


def test_ids_of_a_list_that_were_not_sent_for_long_are_forgotten_by_the_worker(shop: Shop) -> None:
    listed = shop.create("CUSTOM")
    shop.load(shop.make("ViewContent", fbp=fbp(1), external_id=[sha256("7")]))
    entry = ListEntry(1, (f"external_id={sha256('7')}",))
    shop.catalog.lists.add(listed, [entry], NOW)
    shop.audiencing.refresh(NOW + 90 * 86_400)
    assert {listed.audience_id} == shop.of(f"fbp={fbp(1)}")
    shop.audiencing.refresh(NOW + 90 * 86_400 + 3599)
    assert 1 == shop.catalog.lists.count(listed.audience_id)
    shop.audiencing.refresh(NOW + 90 * 86_400 + 3600)
    assert set() == shop.of(f"fbp={fbp(1)}")
    assert 0 == shop.catalog.lists.count(listed.audience_id)
