"""The catalog's audiences, and customer lists: rows taken, taken out, replaced, forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from doublet.catalog import Account, Audience, Catalog, ListBatch, ListEntry
from doublet.catalog.audiences import OriginError, TooManyAudiencesError
from doublet.catalog.lists import (
    EXTERNAL_ID_KEPT_S,
    REPLACE_MAX_S,
    SessionBusyError,
    SessionExpiredError,
    SessionGapError,
    SessionOverError,
)
from doublet.normalize import sha256_hex

NOW_S = 1_780_000_000
DAY_S = 86_400


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def account(catalog: Catalog) -> Account:
    return catalog.create_account("Shop")


@pytest.fixture
def audience(catalog: Catalog, account: Account) -> Audience:
    return catalog.audiences.create(Audience("", account.account_id, "Customers", "CUSTOM"))


def row(number: int, *identifiers: str, value: float | None = None) -> ListEntry:
    return ListEntry(number, identifiers, value)


def batch(seq: int, session: str = "7", digest: int = 1, answer: str = "{}") -> ListBatch:
    return ListBatch(session, seq, digest, answer)


def kept(catalog: Catalog, audience: Audience) -> list[tuple[str, ...]]:
    return sorted(each.identifiers for each in catalog.lists.entries(audience.audience_id))


# --- audiences -------------------------------------------------------------------------------


def test_an_audience_is_read_as_it_was_made_and_is_its_account_s_alone(
    catalog: Catalog, account: Account
) -> None:
    wanted = Audience(
        *("", account.account_id, "Carted", "WEBSITE", "who carts", '{"a": 1}', 30, False, "12"),
        preset="carted_not_bought",
    )
    made = catalog.audiences.create(wanted)
    assert made.audience_id.isdigit()
    assert made.created_at == made.updated_at == made.content_updated_at > NOW_S / 2
    assert made == catalog.audiences.find(account.account_id, made.audience_id)
    other = catalog.create_account("Other")
    assert catalog.audiences.find(other.account_id, made.audience_id) is None
    assert ([made], [], [made]) == (
        catalog.audiences.all(account.account_id),
        catalog.audiences.all(other.account_id),
        catalog.audiences.all(),
    )


def test_an_audience_is_changed_and_removed_with_all_that_was_noted(
    catalog: Catalog, audience: Audience
) -> None:
    catalog.audiences.save(msgspec.structs.replace(audience, name="Buyers"))
    catalog.audiences.note_size(audience.audience_id, NOW_S, 5)
    catalog.audiences.note_state(audience.audience_id, {"state": "ready"})
    catalog.lists.add(audience, [row(1, "em=a")], NOW_S)
    found = catalog.audiences.find(audience.account_id, audience.audience_id)
    assert found is not None
    assert "Buyers" == found.name
    catalog.audiences.remove(audience.audience_id)
    assert ([], {}, {}, [], 0) == (
        catalog.audiences.all(),
        catalog.audiences.latest_sizes(audience.account_id),
        catalog.audiences.state(audience.audience_id),
        kept(catalog, audience),
        catalog.lists.version(audience.audience_id),
    )
    assert (1, 0) == (catalog.lists.sweep(NOW_S), catalog.lists.sweep(NOW_S))


def test_the_list_goes_on_counting_its_changes_when_the_audience_is_saved(
    catalog: Catalog, audience: Audience
) -> None:
    catalog.lists.add(audience, [row(1, "em=a")], NOW_S)
    catalog.audiences.save(audience)
    assert 1 == catalog.lists.version(audience.audience_id)


def test_the_seed_of_a_lookalike_stays(catalog: Catalog, audience: Audience) -> None:
    like = catalog.audiences.create(
        Audience(
            *("", audience.account_id, "Alike", "LOOKALIKE"),
            origin_audience_id=audience.audience_id,
        )
    )
    with pytest.raises(OriginError, match="'Alike'"):
        catalog.audiences.remove(audience.audience_id)
    assert 2 == len(catalog.audiences.all())
    catalog.audiences.remove(like.audience_id)
    catalog.audiences.remove(audience.audience_id)
    assert [] == catalog.audiences.all()


def test_an_account_has_no_more_audiences_than_it_may(
    catalog: Catalog, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(catalog.audiences.create.__globals__["AUDIENCES_MAX"], "CUSTOM", 2)
    wanted = Audience("", account.account_id, "A", "CUSTOM")
    for _ in range(2):
        catalog.audiences.create(wanted)
    with pytest.raises(TooManyAudiencesError, match="2 audiences of subtype CUSTOM"):
        catalog.audiences.create(wanted)
    assert 2 == len(catalog.audiences.all())
    catalog.audiences.create(msgspec.structs.replace(wanted, subtype="WEBSITE"))


def test_sizes_make_a_history_and_the_newest_is_found_for_all(
    catalog: Catalog, audience: Audience
) -> None:
    other = catalog.audiences.create(Audience("", audience.account_id, "B", "WEBSITE"))
    for at, members in ((10, 1), (20, 2), (20, 3), (30, 2)):
        catalog.audiences.note_size(audience.audience_id, at, members)
    catalog.audiences.note_size(other.audience_id, 15, 9)
    assert [(10, 1), (20, 3), (30, 2)] == catalog.audiences.sizes(audience.audience_id)
    assert [(20, 3), (30, 2)] == catalog.audiences.sizes(audience.audience_id, 20)
    assert {audience.audience_id: (30, 2), other.audience_id: (15, 9)} == (
        catalog.audiences.latest_sizes(audience.account_id)
    )


def test_of_days_that_are_long_ago_the_last_size_is_kept(
    catalog: Catalog, audience: Audience
) -> None:
    midnight = NOW_S - NOW_S % DAY_S
    other = catalog.audiences.create(Audience("", audience.account_id, "B", "WEBSITE"))
    ages = (401, 30, 8, 7, 1, 0)
    for each in (audience, other):
        for days in ages:
            for hour in (1, 2, 23):
                at = midnight - days * DAY_S + hour * 3600
                catalog.audiences.note_size(each.audience_id, at, days * 100 + hour)
    catalog.audiences.thin(NOW_S)
    expected = [3023, 823, *(days * 100 + hour for days in (7, 1, 0) for hour in (1, 2, 23))]
    for each in (audience, other):
        assert expected == [members for _, members in catalog.audiences.sizes(each.audience_id)]


def test_the_last_word_of_the_worker_is_kept(catalog: Catalog, audience: Audience) -> None:
    assert {} == catalog.audiences.state(audience.audience_id)
    for status in ({"state": "building"}, {"state": "ready", "matched": 3}):
        catalog.audiences.note_state(audience.audience_id, status)
        assert status == catalog.audiences.state(audience.audience_id)
    assert {audience.audience_id: {"state": "ready", "matched": 3}} == (
        catalog.audiences.states(audience.account_id)
    )


# --- lists -----------------------------------------------------------------------------------


def test_a_repeated_row_is_one_entry_and_its_last_value_counts(
    catalog: Catalog, audience: Audience
) -> None:
    entries = [row(1, "em=a", "ph=b", value=1.0), row(2, "em=c"), row(1, "em=a", "ph=b", value=2.0)]
    catalog.lists.add(audience, entries, NOW_S)
    catalog.lists.add(audience, [row(2, "em=c", value=5.0)], NOW_S)
    (one, two) = sorted(catalog.lists.entries(audience.audience_id), key=lambda e: e.identifiers)
    assert ((("em=a", "ph=b"), 2.0), (("em=c",), 5.0)) == (
        (one.identifiers, one.value),
        (two.identifiers, two.value),
    )
    assert [("em=a", one.entry_id), ("em=c", two.entry_id), ("ph=b", one.entry_id)] == sorted(
        key[:2] for key in catalog.lists.keys(audience.audience_id)
    )
    assert (2, 2) == (
        catalog.lists.count(audience.audience_id),
        catalog.lists.version(audience.audience_id),
    )


def test_a_removal_takes_out_whoever_shares_an_identifier(
    catalog: Catalog, audience: Audience
) -> None:
    catalog.lists.add(
        audience, [row(1, "em=a", "ph=b"), row(2, "em=c"), row(3), row(4), row(5, "ph=z")], NOW_S
    )
    catalog.lists.remove(audience, [row(99, "ph=b"), row(3), row(98, "em=none")], NOW_S)
    assert [(), ("em=c",), ("ph=z",)] == kept(catalog, audience)


def test_lists_of_two_audiences_do_not_touch(catalog: Catalog, audience: Audience) -> None:
    other = catalog.audiences.create(Audience("", audience.account_id, "Other", "CUSTOM"))
    for each in (audience, other):
        catalog.lists.add(each, [row(1, "em=a")], NOW_S)
    catalog.lists.remove(audience, [row(1, "em=a")], NOW_S)
    assert ([], [("em=a",)]) == (kept(catalog, audience), kept(catalog, other))


def test_who_limits_the_use_in_one_row_is_out_of_all_of_them(
    catalog: Catalog, audience: Audience
) -> None:
    catalog.lists.add(audience, [row(1, "em=a", "ph=b"), row(2, "em=c")], NOW_S)
    limited = ListEntry(3, ("ph=b",), None, is_limited=True)
    catalog.lists.add(audience, [limited, row(4, "ph=b", "em=d")], NOW_S)
    assert [(), ("em=c",)] == kept(catalog, audience)
    assert 1 == sum(each.is_limited for each in catalog.lists.entries(audience.audience_id))
    # The same row again, and now it may be used.
    catalog.lists.add(audience, [row(3, "ph=b")], NOW_S)
    assert [("em=c",), ("ph=b",)] == kept(catalog, audience)


def test_a_list_of_an_audience_that_went_meanwhile_goes_too(
    catalog: Catalog, audience: Audience
) -> None:
    catalog.audiences.remove(audience.audience_id)
    catalog.lists.add(audience, [row(1, "em=a")], NOW_S)
    assert (1, []) == (catalog.lists.sweep(NOW_S), kept(catalog, audience))


# --- replacing -------------------------------------------------------------------------------


def test_a_list_is_replaced_when_the_last_batch_came_and_not_before(
    catalog: Catalog, audience: Audience
) -> None:
    catalog.lists.add(audience, [row(1, "em=old"), row(2, "em=both")], NOW_S)
    catalog.lists.stage(audience, [row(2, "em=both")], NOW_S, batch(1), is_last=False)
    assert ([("em=both",), ("em=old",)], 1) == (
        kept(catalog, audience),
        catalog.lists.version(audience.audience_id),
    )
    catalog.lists.stage(audience, [row(3, "em=new")], NOW_S, batch(2, digest=2), is_last=True)
    assert ([("em=both",), ("em=new",)], 2) == (
        kept(catalog, audience),
        catalog.lists.version(audience.audience_id),
    )
    # The last batch again: it does not begin another list.
    again = batch(2, digest=2)
    assert "{}" == catalog.lists.stage(audience, [row(3, "em=new")], NOW_S, again, is_last=True)
    assert 2 == len(kept(catalog, audience))
    with pytest.raises(SessionOverError):
        catalog.lists.stage(audience, [row(4, "em=late")], NOW_S, batch(3), is_last=False)
    assert 2 == catalog.lists.sweep(NOW_S)
    assert 2 == len(kept(catalog, audience))


def test_a_batch_that_comes_again_gets_its_first_answer(
    catalog: Catalog, audience: Audience
) -> None:
    def send(digest: int, number: int, answer: str, at_s: int = NOW_S) -> str | None:
        wanted = batch(1, digest=digest, answer=answer)
        return catalog.lists.stage(audience, [row(number)], at_s, wanted, is_last=False)

    assert (None, "first") == (send(1, 1, "first"), send(1, 1, "second"))
    # Another batch under the same number is taken all the same: nothing acknowledged is lost.
    assert (None, "other") == (send(2, 2, "other"), send(2, 2, "third"))
    catalog.lists.stage(audience, [row(3)], NOW_S, batch(2), is_last=True)
    assert 3 == catalog.lists.count(audience.audience_id)
    # The same number and rows another day are another session, and all of it counts anew.
    day_s = NOW_S + 86_400
    assert send(2, 2, "next day", day_s) is None
    with pytest.raises(SessionGapError):
        catalog.lists.stage(audience, [row(4)], day_s, batch(3), is_last=True)
    catalog.lists.stage(audience, [row(4)], day_s, batch(2), is_last=True)
    assert 2 == catalog.lists.count(audience.audience_id)


def test_the_same_last_batch_sent_many_times_at_once_is_taken_once(
    catalog: Catalog, audience: Audience
) -> None:
    def send(n: int) -> str | None:
        return catalog.lists.stage(
            audience, [row(1, "em=a")], NOW_S, batch(1, answer=f"{n}"), is_last=True
        )

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert 1 == answers.count(None)
    assert 1 == len(set(answers) - {None})
    assert 1 == catalog.lists.count(audience.audience_id)


def test_a_list_is_not_replaced_by_a_part_of_another(catalog: Catalog, audience: Audience) -> None:
    catalog.lists.add(audience, [row(1, "em=old")], NOW_S)
    catalog.lists.stage(audience, [row(2, "em=b")], NOW_S, batch(2), is_last=False)
    with pytest.raises(SessionGapError, match="Batch 1 "):
        catalog.lists.stage(audience, [row(3, "em=c")], NOW_S, batch(3), is_last=True)
    assert [("em=old",)] == kept(catalog, audience)
    catalog.lists.stage(audience, [row(1, "em=a")], NOW_S, batch(1), is_last=False)
    catalog.lists.stage(audience, [row(3, "em=c")], NOW_S, batch(3), is_last=True)
    assert [("em=a",), ("em=b",), ("em=c",)] == kept(catalog, audience)


def test_a_session_of_more_than_90_minutes_is_over(catalog: Catalog, audience: Audience) -> None:
    catalog.lists.add(audience, [row(1, "em=old")], NOW_S)
    catalog.lists.stage(audience, [row(2, "em=b")], NOW_S, batch(1), is_last=False)
    with pytest.raises(SessionBusyError):
        catalog.lists.stage(audience, [], NOW_S + 60, batch(1, "8"), is_last=True)
    late_s = NOW_S + REPLACE_MAX_S + 1
    with pytest.raises(SessionExpiredError, match="90 minutes"):
        catalog.lists.stage(audience, [row(3, "em=c")], late_s, batch(2), is_last=True)
    assert [("em=old",)] == kept(catalog, audience)
    catalog.lists.stage(audience, [row(4, "em=d")], late_s, batch(1, "8"), is_last=True)
    assert [("em=d",)] == kept(catalog, audience)
    assert 2 == catalog.lists.sweep(late_s)


# --- forgetting ------------------------------------------------------------------------------


def test_an_erased_person_is_in_no_list_of_the_account_and_in_no_file(
    catalog: Catalog, audience: Audience, tmp_path: Path
) -> None:
    digest, other_digest = sha256_hex("anna@example.com"), sha256_hex("ben@example.com")
    entries = [row(1, f"em={digest}", "ph=b"), row(2, f"em={other_digest}")]
    catalog.lists.add(audience, entries, NOW_S)
    second = catalog.audiences.create(Audience("", audience.account_id, "B", "CUSTOM"))
    catalog.lists.stage(second, entries, NOW_S, batch(1), is_last=False)
    stranger = catalog.create_account("Stranger")
    theirs = catalog.audiences.create(Audience("", stranger.account_id, "C", "CUSTOM"))
    catalog.lists.add(theirs, [row(1, "ph=b")], NOW_S)
    assert 0 == catalog.lists.forget(audience.account_id, ["em=nobody"])
    assert 2 == catalog.lists.forget(audience.account_id, [f"em={digest}", "ph=b"])
    assert ([(f"em={other_digest}",)], [("ph=b",)]) == (
        kept(catalog, audience),
        kept(catalog, theirs),
    )
    assert (2, 1) == (
        catalog.lists.version(audience.audience_id),
        catalog.lists.version(theirs.audience_id),
    )
    on_disk = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert other_digest.encode() in on_disk
    assert digest.encode() not in on_disk


def test_an_id_of_the_advertiser_s_own_is_forgotten_after_90_days(
    catalog: Catalog, audience: Audience
) -> None:
    entries = [
        *(row(1, "em=a", "external_id=1"), row(2, "external_id=2"), row(3, "external_id=3")),
        row(4, "em=d"),
    ]
    catalog.lists.add(audience, entries, NOW_S)
    later_s = NOW_S + EXTERNAL_ID_KEPT_S
    assert 0 == catalog.lists.sweep(later_s)
    catalog.lists.add(audience, [entries[2]], later_s)
    assert 2 == catalog.lists.sweep(later_s + 1)
    assert [("em=a",), ("em=d",), ("external_id=3",)] == kept(catalog, audience)
    assert 3 == catalog.lists.version(audience.audience_id)
    catalog.lists.remove(audience, [row(9, "external_id=1")], later_s)
    assert 3 == catalog.lists.count(audience.audience_id)


def test_a_list_longer_than_one_reading_is_read_whole(catalog: Catalog, audience: Audience) -> None:
    for start in range(0, 50_000, 10_000):
        entries = [row(n * 7919, f"em={n}") for n in range(start, start + 10_000)]
        catalog.lists.add(audience, entries, NOW_S)
    found = [each.identifiers[0] for each in catalog.lists.entries(audience.audience_id)]
    assert {f"em={n}" for n in range(50_000)} == set(found)
    assert 50_000 == len(found) == catalog.lists.count(audience.audience_id)
