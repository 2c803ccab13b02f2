"""Decisions of operators: what is written of them, and what an erasure leaves of them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from doublet.accept import Arrival, unmerge_record
from doublet.person import Wish, eraser, read_identifiers
from doublet.person.anonymous import anonymous_decision
from doublet.person.rewrite import Rewriter
from doublet.rounds import Freshener
from doublet.settings import Settings
from doublet.unmerging import unmerge
from tests.factories import ACCOUNT, HOUR, NOON, Pipeline, make_record, sha256
from tests.persons.touching import em, fbp

ANN, BEA, CID = (f"em={em(name)[0]}" for name in ("ann", "bea", "cid"))
AT = time.time_ns() // 1000 - HOUR


def decide(one: str, other: str, at: int, reason: str = "", *, revoked: bool = False) -> bytes:
    """The record of a decision that two identifiers are not one person's, received at `at` µs."""
    return unmerge_record(
        one, other, reason, Arrival(ACCOUNT, "", "server", at, 0), revoked=revoked
    )


def lead(n: int, **user_data: Any) -> bytes:
    """An event that is received `n` µs after AT."""
    return make_record(
        AT + n,
        event_name="Lead",
        event_id=f"lead.{n}",
        event_time=AT // 1_000_000,
        user_data=user_data,
    )


def opened(data: Path, records: Sequence[bytes]) -> Freshener:
    """A data folder whose log holds these records, loaded."""
    writing = Pipeline(data / "made")
    writing.append(records)
    writing.close()
    shutil.copytree(data / "made" / "log", data / "log")
    shutil.rmtree(data / "made")
    freshener = Freshener(Settings(data=data))
    freshener.freshen()
    return freshener


def erase(freshener: Freshener, identifier: str, *, exact: bool = False) -> None:
    """Erase who has the identifier."""
    freshener.ask_to_erase(Wish(ACCOUNT, frozenset([identifier]), exact=exact))
    assert 1 == freshener.erase()


def in_lake(data: Path) -> list[tuple[str, str, str, str]]:
    """The decisions of the lake: id, identifiers and reason."""
    files = str(data / "lake" / "decisions" / "received_date=*" / "*.parquet")
    return duckdb.execute(
        "select decision_id, identifier_a, identifier_b, reason from read_parquet(?) order by all",
        [files],
    ).fetchall()


def everything(freshener: Freshener) -> dict[str, list[dict[str, Any]]]:
    """Who is who, and what was decided."""
    return {
        name: freshener.engine.query(f"select * from {name} order by all")
        for name in ("decisions", "persons", "profiles", "identifiers")
    }


def test_a_reason_holds_no_address() -> None:
    record = json.loads(decide(ANN, BEA, NOON, "ann@example.com is not Bea, see order 17"))
    assert "ann@" not in record["reason"]
    assert record["reason"].endswith(" is not Bea, see order 17")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Sisters, call +49 170 1234567 or 0170/1234567", "Sisters, call _removed_ or _removed_"),
        ("Order 1234567890 of 02.11.2026, 14:05", "Order 1234567890 of 02.11.2026, 14:05"),
        ("(030) 1234567, ticket 00123", "(_removed_, ticket 00123"),
    ],
)
def test_a_reason_holds_no_telephone_number(said: str, kept: str) -> None:
    assert kept == json.loads(decide(ANN, BEA, NOON, said))["reason"]


def test_nothing_tells_about_whom_a_decision_was(tmp_path: Path) -> None:
    records = [lead(0, em=em("ann")), lead(1, em=em("bea")), decide(ANN, BEA, AT + 2, "No Bea")]
    decision_id = json.loads(records[2])["decision_id"]
    freshener = opened(tmp_path, [*records, decide(BEA, CID, AT + 3, "Nor Cid")])
    assert 2 == len(freshener.engine.query("select 1 from decisions"))
    erase(freshener, ANN)
    kept, gone = sorted(in_lake(tmp_path), key=lambda row: row[0] == "erased")
    assert ("erased", "", "", "") == gone
    assert (BEA, CID, "Nor Cid") == kept[1:]
    assert [kept[0]] == [row["decision_id"] for row in everything(freshener)["decisions"]]
    freshener.close()
    traces = [trace.encode() for trace in (decision_id, ANN.removeprefix("em="), "No Bea")]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [] == [path for path in files for trace in traces if trace in path.read_bytes()]


def test_a_decision_that_goes_joins_what_it_kept_apart(tmp_path: Path) -> None:
    freshener = opened(
        tmp_path,
        [
            lead(0, em=em("ann"), fbp=fbp(1)),
            lead(1, em=em("bea"), external_id=["b" * 64]),
            lead(2, em=em("bea"), fbp=fbp(1)),
            lead(3, fbp=fbp(1)),
            decide(ANN, BEA, AT + 4),
        ],
    )
    assert 2 == len({row["root_id"] for row in everything(freshener)["persons"]})
    erase(freshener, ANN, exact=True)
    made = everything(freshener)
    assert 1 == len({row["root_id"] for row in made["persons"]})
    freshener.rebuild()
    assert made == everything(freshener)
    freshener.close()


@pytest.mark.parametrize("ids", [("anon_id=1234567", "anon_id=1234568"), ("em=a", "em=b")])
def test_a_short_decision_is_no_longer_when_it_says_nothing(ids: tuple[str, str]) -> None:
    record = decide(*ids, NOON)
    assert len(anonymous_decision(record)) <= len(record)
    assert anonymous_decision(record) == anonymous_decision(anonymous_decision(record))


def test_who_is_in_a_short_decision_can_be_erased(tmp_path: Path) -> None:
    one, other = "anon_id=1234567", "anon_id=1234568"
    freshener = opened(tmp_path, [lead(0, anon_id="1234567"), decide(one, other, AT + 1)])
    erase(freshener, one)
    assert [("erased", "", "", "")] == in_lake(tmp_path)
    freshener.close()


@pytest.mark.parametrize("step", ["decisions", "retake"])
def test_an_erasure_that_is_cut_off_leaves_nobody_in_decisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def die(*_: object) -> None:
        raise RuntimeError("killed")

    records = [lead(0, em=em("ann")), lead(1, em=em("bea")), decide(ANN, BEA, AT + 2, "No Bea")]
    freshener = opened(tmp_path, records)
    freshener.ask_to_erase(Wish(ACCOUNT, frozenset([ANN])))
    with monkeypatch.context() as patched:
        if step == "decisions":
            patched.setattr(Rewriter, "decisions", die)
        else:
            patched.setattr(eraser, "retake_decisions", die)
        with pytest.raises(RuntimeError):
            freshener.erase()
    freshener.close()
    freshener = Freshener(Settings(data=tmp_path))
    assert 1 == freshener.erase()
    assert [("erased", "", "", "")] == in_lake(tmp_path)
    assert [] == everything(freshener)["decisions"]
    (erasure,) = freshener.erasures.all()
    assert ("done", []) == (erasure.state, erasure.decisions)
    freshener.close()


def test_a_table_of_decisions_that_is_restored_is_erased_again(tmp_path: Path) -> None:
    freshener = opened(tmp_path, [lead(0, em=em("ann")), decide(ANN, BEA, AT + 1)])
    table = tmp_path / "lake" / "decisions"
    shutil.copytree(table, tmp_path / "older")
    erase(freshener, ANN)
    freshener.close()
    shutil.rmtree(table)
    (tmp_path / "older").rename(table)
    freshener = Freshener(Settings(data=tmp_path))
    assert 1 == freshener.erase()
    assert [("erased", "", "", "")] == in_lake(tmp_path)
    freshener.close()


def test_what_is_decided_after_the_request_stays(tmp_path: Path) -> None:
    freshener = opened(tmp_path, [lead(0, em=em("ann")), decide(ANN, BEA, AT + 2 * HOUR)])
    erase(freshener, ANN)
    assert [{ANN, BEA}] == [set(row[1:3]) for row in in_lake(tmp_path)]
    freshener.close()


PHONE = "+49 171 1234567"
HASHES = sorted(identifier.removeprefix("ph=") for identifier in read_identifiers({"ph": PHONE}))


def canonical() -> str:
    """The form of the number that events have first."""
    return sha256("491711234567")


def test_all_forms_of_a_number_go_from_a_decision(tmp_path: Path) -> None:
    freshener = opened(tmp_path, [lead(0, em=em("ann"), ph=[canonical()]), lead(1, em=em("bea"))])
    unmerge(Settings(data=tmp_path), ACCOUNT, f"ph={PHONE}", BEA, "")
    unmerge(Settings(data=tmp_path), ACCOUNT, BEA, CID, "")
    freshener.freshen()
    assert 3 == len(in_lake(tmp_path))
    erase(freshener, ANN)
    assert 2 == [row[0] for row in in_lake(tmp_path)].count("erased")
    assert 1 == len(everything(freshener)["decisions"])
    freshener.close()
    left = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and any(one.encode() in path.read_bytes() for one in HASHES)
    ]
    assert [] == left


def test_one_form_takes_all_of_a_decision_back(tmp_path: Path) -> None:
    freshener = opened(tmp_path, [lead(0, ph=HASHES[:1]), lead(1, em=em("bea"))])
    settings = Settings(data=tmp_path)
    standing = []
    for a, undo in (
        *((f"ph={PHONE}", False), (f"ph={canonical()}", True)),
        *((f"ph={PHONE}", False), (f"ph={PHONE}", True), (f"ph={canonical()}", False)),
    ):
        unmerge(settings, ACCOUNT, a, BEA, "", revoked=undo)
        freshener.freshen()
        decisions = everything(freshener)["decisions"]
        standing.append(sum(not row["is_revoked"] for row in decisions))
    assert [2, 0, 2, 0, 1] == standing
    made = everything(freshener)
    freshener.rebuild()
    assert made == everything(freshener)
    freshener.close()


def test_what_is_decided_about_a_person_is_exported_without_others(tmp_path: Path) -> None:
    records = [lead(0, em=em("ann")), decide(ANN, BEA, AT + 1, "Two"), decide(BEA, CID, AT + 2)]
    freshener = opened(tmp_path, records)
    rows = freshener.export_person(Wish(ACCOUNT, frozenset([ANN])))
    (decision,) = [row for row in rows if row["table"] == "decisions"]
    assert {ANN, "em="} == {decision["identifier_a"], decision["identifier_b"]}
    assert ("Two", "lake") == (decision["reason"], decision["file"].split("/")[0])
    assert [2] == [row["records"] for row in rows if row["table"] == "log"]
    digest = json.loads(records[1])["decision_id"]
    assert not any(text in repr(rows) for text in (BEA, digest))
    freshener.close()


def both_on_one_form() -> list[bytes]:
    """Two persons, one form that names both, and a decision that they are two."""
    return [
        lead(0, em=em("ann"), fbp=fbp(1)),
        lead(1, em=em("bea"), fbp=fbp(2)),
        lead(2, em=[*em("ann"), *em("bea")]),
        lead(3, fbp=fbp(1)),
        lead(4, fbp=fbp(2)),
        decide(ANN, BEA, AT + 5),
    ]


def test_whom_a_decision_keeps_apart_is_not_exported(tmp_path: Path) -> None:
    freshener = opened(tmp_path, both_on_one_form())
    wish = Wish(ACCOUNT, frozenset([ANN]))
    rows = freshener.export_person(wish)
    of_events = [row["event_id"] for row in rows if row["table"] == "events"]
    assert ["lead.0", "lead.2", "lead.3"] == of_events
    assert not any(text in repr(rows) for text in (BEA.removeprefix("em="), fbp(2)))
    figures = freshener.find_person(wish).figures()
    assert ({"em": 1}, {"em": 1, "fbp": 1}) == (figures["kept_apart"], figures["identifiers"])
    # Who is asked for by both addresses has both.
    both = freshener.find_person(Wish(ACCOUNT, frozenset([ANN, BEA])))
    assert (5, {}) == (len(both.copies), both.figures()["kept_apart"])
    freshener.close()


def test_whom_a_decision_keeps_apart_is_not_erased(tmp_path: Path) -> None:
    freshener = opened(tmp_path, both_on_one_form())
    erase(freshener, ANN)
    rows = freshener.export_person(Wish(ACCOUNT, frozenset([BEA])))
    assert ["lead.1", "lead.4"] == [row["event_id"] for row in rows if row["table"] == "events"]
    assert 1 == len({row["root_id"] for row in everything(freshener)["persons"]})
    made = everything(freshener)
    freshener.rebuild()
    assert made == everything(freshener)
    freshener.close()


def test_what_leads_to_both_sides_of_a_decision_leads_to_neither(tmp_path: Path) -> None:
    at_home = [
        lead(0, em=em("ann"), fbp=fbp(1)),
        lead(1, em=em("bea"), fbp=fbp(1)),
        lead(2, em=em("bea"), external_id=["b" * 64]),
        decide(ANN, BEA, AT + 3),
    ]
    freshener = opened(tmp_path, at_home)
    of_browser = freshener.find_person(Wish(ACCOUNT, frozenset([f"fbp={fbp(1)}"])))
    assert (2, {"em": 2}) == (len(of_browser.copies), of_browser.figures()["kept_apart"])
    of_ann = freshener.find_person(Wish(ACCOUNT, frozenset([ANN])))
    assert 1 == len(of_ann.copies)
    # A decision that was taken back keeps nobody apart.
    unmerge(Settings(data=tmp_path), ACCOUNT, ANN, BEA, "", revoked=True)
    freshener.freshen()
    assert 3 == len(freshener.find_person(Wish(ACCOUNT, frozenset([ANN]))).copies)
    freshener.close()


def test_who_is_in_a_decision_alone_can_be_erased(tmp_path: Path) -> None:
    freshener = opened(tmp_path, [lead(0, em=em("ann")), decide(BEA, CID, AT + 1)])
    erase(freshener, CID)
    assert [("erased", "", "", "")] == in_lake(tmp_path)
    assert [] == everything(freshener)["decisions"]
    freshener.close()
