"""Answers that take long are kept, and say of which moment they are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from doublet.errors import MemoryLimitError
from doublet.web.kept import OLDEST, Kept
from tests.dashboard import Site


class Tables:
    """Tables whose state and clock are set by hand, and a question about them."""

    def __init__(self) -> None:
        self.state = 1
        self.now = datetime(2026, 5, 28, tzinfo=UTC)
        self.kept = Kept(lambda: self.state, lambda: self.now, patience_s=0)
        self.patient = Kept(lambda: self.state, lambda: self.now, patience_s=30)
        self.asked = 0
        self.answered = threading.Semaphore(0)

    def find(self) -> str:
        self.asked += 1
        self.answered.release()
        return f"as of state {self.state}"

    def wait_for(self, times: int) -> None:
        """Until `find` has been called so often in all."""
        while self.asked < times:
            assert self.answered.acquire(timeout=30)


@pytest.fixture
def tables() -> Tables:
    return Tables()


def test_while_tables_stay_an_answer_is_found_once_and_is_of_now(tables: Tables) -> None:
    assert ("as of state 1", tables.now) == tables.kept.ask_as_of("q", tables.find)
    tables.now += timedelta(hours=5)
    assert "as of state 1" == tables.kept.ask("q", tables.find)
    tables.now -= timedelta(hours=4, minutes=50)
    assert ("as of state 1", tables.now) == tables.kept.ask_as_of("q", tables.find)
    assert 1 == tables.asked


def test_after_a_change_a_page_shows_the_old_answer_with_its_moment_and_finds_it_anew(
    tables: Tables,
) -> None:
    began = tables.now
    tables.kept.ask_as_of("q", tables.find)
    tables.state, tables.now = 2, began + timedelta(seconds=5)
    assert ("as of state 1", began) == tables.kept.ask_as_of("q", tables.find)
    tables.wait_for(2)
    # The thread stores what it has found right after.
    assert "as of state 2" == tables.kept.ask("q", tables.find)
    assert ("as of state 2", tables.now) == tables.kept.ask_as_of("q", tables.find)
    assert 2 == tables.asked


def test_an_answer_that_is_found_soon_is_waited_for(tables: Tables) -> None:
    tables.patient.ask_as_of("q", tables.find)
    tables.state, tables.now = 2, tables.now + timedelta(seconds=5)
    assert ("as of state 2", tables.now) == tables.patient.ask_as_of("q", tables.find)


def test_who_waits_for_so_long_only_gets_the_answer_of_a_new_question_later(
    tables: Tables,
) -> None:
    goes_on = threading.Event()

    def find() -> str:
        assert goes_on.wait(30)
        return tables.find()

    assert None is tables.kept.ask_within("q", find, 0.01)
    goes_on.set()
    assert ("as of state 1", tables.now) == tables.kept.ask_within("q", find, 30)
    assert 1 == tables.asked

    def fail() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tables.kept.ask_within("other", fail, 30)


def test_who_shows_no_moment_waits_for_the_answer_of_now(tables: Tables) -> None:
    tables.kept.ask("q", tables.find)
    tables.state = 2
    assert "as of state 2" == tables.kept.ask("q", tables.find)


@pytest.mark.parametrize("change", ["age", "erasure"])
def test_an_old_answer_and_one_from_before_an_erasure_are_not_shown(
    tables: Tables, change: str
) -> None:
    tables.kept.ask_as_of("q", tables.find)
    tables.state = 2
    if change == "age":
        tables.now += OLDEST + timedelta(seconds=1)
    else:
        tables.kept.forget("act_1", [], [])
    assert ("as of state 2", tables.now) == tables.kept.ask_as_of("q", tables.find)


def test_what_an_erasure_overtakes_is_not_kept(tables: Tables) -> None:
    def find() -> str:
        tables.kept.forget()
        return tables.find()

    tables.kept.ask("q", find)
    tables.kept.ask("q", tables.find)
    assert 2 == tables.asked


def test_what_fails_is_found_by_who_asks_next(tables: Tables) -> None:
    tables.kept.ask_as_of("q", tables.find)
    failed = threading.Event()

    def fail() -> str:
        failed.set()
        raise ValueError("away")

    tables.state = 2
    tables.kept.ask_as_of("q", fail)
    assert failed.wait(30)
    with pytest.raises(ValueError, match="away"):
        tables.kept.ask("q", fail)
    assert "as of state 2" == tables.kept.ask("q", tables.find)


def test_many_who_ask_at_once_wait_for_one_answer(tables: Tables) -> None:
    go_on = threading.Event()
    answers: list[str] = []

    def slow() -> str:
        assert go_on.wait(30)
        return tables.find()

    def ask(find: Callable[[], str]) -> None:
        answers.append(tables.kept.ask("q", find))

    asking = [threading.Thread(target=ask, args=(slow,)) for _ in range(4)]
    for thread in asking:
        thread.start()
    go_on.set()
    for thread in asking:
        thread.join()
    assert (["as of state 1"] * 4, 1) == (answers, tables.asked)


def test_the_quality_page_says_of_which_moment_it_is_and_twins_are_of_now(filled: Site) -> None:
    headers = filled.ours.headers
    address = "/quality?since=2026-05-01&until=2026-06-30"
    page = filled.client.get(address, headers=headers)
    assert 200 == page.status_code
    assert 'as of <time datetime="20' in page.text
    before = filled.client.get(address.replace("?", ".json?"), headers=headers).json()
    changes = filled.pipeline.engine.changes
    filled.add(filled.ours, ("server", "one.more"))
    assert filled.pipeline.engine.changes > changes
    after = filled.client.get(address.replace("?", ".json?"), headers=headers).json()
    assert sum(row["events"] for row in before) + 1 == sum(row["events"] for row in after)


def test_what_is_known_is_told_at_once_and_found_anew_when_it_is_old(tables: Tables) -> None:
    lasting = timedelta(minutes=5)
    began = tables.now
    assert tables.kept.known("q", tables.find, lasting=lasting) is None
    tables.wait_for(1)
    assert "as of state 1" == tables.kept.ask("q", tables.find)
    assert ("as of state 1", began) == tables.kept.known("q", tables.find, lasting=lasting)
    # The tables change all the time, and it is not found anew all the time.
    tables.state, tables.now = 2, began + lasting
    assert ("as of state 1", began) == tables.kept.known("q", tables.find, lasting=lasting)
    assert 1 == tables.asked
    tables.now += timedelta(seconds=1)
    assert ("as of state 1", began) == tables.kept.known("q", tables.find, lasting=lasting)
    tables.wait_for(2)
    assert "as of state 2" == tables.kept.ask("q", tables.find)
    tables.state, tables.now = 3, tables.now + OLDEST + timedelta(seconds=1)
    assert tables.kept.known("q", tables.find, lasting=lasting) is None
    tables.wait_for(3)


def test_what_needs_too_much_memory_is_told_and_not_tried_again_and_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.fill()
    asked = []

    def too_much(*_: object, **__: object) -> None:
        asked.append(1)
        raise MemoryLimitError("Too much memory.", "Ask for fewer days.")

    monkeypatch.setattr("doublet.web.quality.diagnostics", too_much)
    query = "?since=2026-05-20&until=2026-05-30"
    for _ in range(3):
        page = site.get(f"/quality{query}", site.ours)
        assert 200 == page.status_code
        assert "Faults could not be looked for" in page.text
        assert "Match quality" in page.text
    assert 1 == len(asked)
    twin = site.get(f"/diagnostics.json{query}", site.ours)
    assert 503 == twin.status_code
    assert "Ask for fewer days." in twin.text
