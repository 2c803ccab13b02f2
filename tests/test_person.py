"""A person's rights: export and erasure, on a real server, while others go on."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from deltalake import DeltaTable

from doublet import models
from doublet.accept import Arrival, hashed_payload, refused_record
from doublet.errors import CorruptError
from doublet.log import rewriting, segment
from doublet.person import (
    Erasures,
    Found,
    GivenError,
    Records,
    Wish,
    find,
    read_identifiers,
    unite,
)
from doublet.person.anonymous import anonymous_record
from doublet.person.find import resolve
from doublet.person.identifiers import STRONG_KEYS, Digests, kind_of
from doublet.person.rewrite import Rewriter
from doublet.refusal import Reason, Refusal
from doublet.rounds import Freshener
from doublet.settings import Settings
from tests import person
from tests.factories import ACCOUNT, HOUR, NOON, PIXEL, Pipeline, make_event, make_record, sha256
from tests.killing import victims
from tests.person import FBP, TRACES, files, post, send_person, server_event, traces
from tests.server import RunningServer, wait_for


class Others(threading.Thread):
    """Sends other people's events, one after the other, until told to stop."""

    def __init__(self, server: RunningServer) -> None:
        super().__init__(name="others", daemon=True)
        self._server = server
        self._enough = threading.Event()
        self.statuses: list[int] = []

    def run(self) -> None:
        """Every event has an id of its own."""
        while not self._enough.is_set():
            event = server_event(event_name="Search", event_id=f"other-{len(self.statuses)}")
            self.statuses.append(person.post(self._server, event))

    def finish(self) -> int:
        """How many events were answered with 200, which all must be."""
        self._enough.set()
        self.join(60)
        assert {200} == set(self.statuses)
        return len(self.statuses)


def figures(server: RunningServer) -> dict[str, dict[str, Any]]:
    """The overview of all that the person did."""
    server.run("refresh")
    return {name: row for name, row in server.overview().items() if name != "Search"}


def payloads(data: Path) -> str:
    """All that `refused` holds of requests' contents."""
    paths = DeltaTable(str(data / "lake" / "refused")).file_uris()
    rows = duckdb.execute("select payload from read_parquet($paths)", {"paths": paths}).fetchall()
    return json.dumps(rows)


@pytest.mark.slow
def test_an_erased_person_is_in_no_byte_and_no_figure_changes(tmp_path: Path) -> None:
    with RunningServer(tmp_path, "--set=compact_interval_s=1") as server:
        data = server.settings.data
        post(server, server_event(event_id="bob"))
        send_person(server)
        before = figures(server)
        assert {"EUR": 120.5, "USD": 10.5} == before["Purchase"]["value"]
        assert 1 == before["ViewContent"]["both"]
        written = b"".join(path.read_bytes() for path in files(data / "log"))
        assert [] == [trace for trace in TRACES if trace not in written]
        # As the recovery of a damaged segment leaves it for a person to look at.
        segment = next(path for path in files(data / "log") if path.suffix == ".jsonl")
        shutil.copy(segment, segment.with_suffix(".damaged"))
        others = Others(server)
        others.start()
        wait_for(lambda: len(others.statuses) > 20)
        done = server.run("person", "erase", "--fbp", FBP)
        assert ("done", 7, 1) == (done["state"], done["copies"], done["refused"])
        sent = len(others.statuses)
        wait_for(lambda: len(others.statuses) > sent + 20)
        sent = others.finish()
        assert before == figures(server)
        assert sent == server.overview()["Search"]["events"]
        server.run("rebuild")
        assert before == figures(server)
        assert 0 == server.stop(signal.SIGTERM)
    assert [] == traces(data)
    assert "kept-refused" in payloads(data)


@pytest.mark.slow
def test_what_is_shown_before_and_exported_is_all_there_is(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        post(server, server_event(event_id="bob"))
        send_person(server)
        planned = server.run("person", "erase", "--email", person.EMAIL, "--dry-run")
        # A phone number has a hash more: the one of a client that keeps the blanks.
        assert {"em": 1, "ph": 2, "external_id": 1, "fbp": 1, "fbc": 1} == planned["identifiers"]
        assert (7, 1, []) == (planned["copies"], planned["refused"], planned["not_followed"])
        file = tmp_path / "ada.jsonl"
        command = ["person", "export", "--phone", person.PHONE, f"--output={file}"]
        command.append(f"--data={server.settings.data}")
        subprocess.run([sys.executable, "-m", "doublet", *command], check=True, timeout=60)
        assert 0o600 == file.stat().st_mode & 0o777
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        tables = [row["table"] for row in rows]
        assert [7, 1, 5] == [
            tables.count(name) for name in ("events", "refused", "events_deduplicated")
        ]
        assert 8 == sum(row["records"] for row in rows if row["table"] == "log")
        assert all(trace.decode() in file.read_text() for trace in TRACES)
        assert "bob" not in file.read_text()
        assert all((server.settings.data / row["file"]).exists() for row in rows[1:])
        for path in ("export", "erase"):
            ask = {"user_data": {"em": person.EMAIL}, "account": "act_100000000000009"}
            url = f"{server.url}/v1/person/{path}"
            assert 401 == httpx.post(url, json=ask).status_code
            assert 400 == httpx.post(url, json=ask, headers=server.headers).status_code


@pytest.mark.slow
def test_a_late_copy_still_belongs_to_its_event(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        send_person(server)
        server.run("person", "erase", "--email", person.EMAIL)
        assert 200 == post(server, server_event(event_id=person.EVENT_ID))
        late = figures(server)["Purchase"]
        assert (1, 1, 2) == (late["events"], late["browser"], late["server"])
        server.run("rebuild")
        assert late == figures(server)["Purchase"]


def _says(data: Path, pattern: str, text: bytes) -> bool:
    """Whether one of the files holds a text; they come and go."""
    for path in data.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            if text in path.read_bytes():
                return True
    return False


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "asked": lambda data: _says(data, "erasures/*.json", b'"asked_at"'),
    "searching": lambda data: _says(data, "erasures/*.json", b'"searching"'),
    "found": lambda data: _says(data, "erasures/*.json", b'"found"'),
    "refused": lambda data: _says(data, "lake/refused/_delta_log/*.json", b'"remove"'),
    "events": lambda data: _says(data, "lake/events/_delta_log/*.json", b'"remove"'),
    "warehouse": lambda data: (data / "warehouse.rewritten").exists(),
    "marked": lambda data: _says(data, "lake/*/_delta_log/*.json", b'"erasure/'),
}
"""What can be seen from outside of how far an erasure is."""


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_erasure_goes_on_where_kill_9_left_it(tmp_path: Path, moment: str) -> None:
    with RunningServer(tmp_path) as server:
        data = server.settings.data
        send_person(server)
        before = figures(server)
        others = Others(server)
        others.start()
        (worker,) = victims(server)["worker"]
        answer = httpx.post(
            f"{server.url}/v1/person/erase",
            headers=server.headers,
            json={"user_data": {"em": person.EMAIL}},
        )
        assert 202 == answer.status_code
        give_up_at = time.monotonic() + 30
        while not MOMENTS[moment](data):
            assert time.monotonic() < give_up_at, f"never seen: {moment}"
        os.kill(worker, signal.SIGKILL)
        assert not _says(data, "erasures/*.json", b'"done"')
        wait_for(lambda: _says(data, "erasures/*.json", b'"done"'), 60)
        sent = others.finish()
        assert before == figures(server)
        assert sent == server.overview()["Search"]["events"]
        assert 0 == server.stop(signal.SIGTERM)
    assert [] == traces(data)


def by_hand(data: Path, backup: Path) -> None:
    """Put the parts of an older copy over what is there."""
    for name in ("lake", "log", "warehouse.duckdb"):
        place = data / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        copy = shutil.copytree if place.suffix == "" else shutil.copy
        copy(backup / name, place)


def by_command(data: Path, backup: Path) -> None:
    """Restore what `doublet backup` made, and remove what that has moved aside."""
    command = ["restore", str(backup), f"--data={data}", "--replace"]
    subprocess.run([sys.executable, "-m", "doublet", *command], check=True, timeout=60)
    (aside,) = data.glob("replaced-*")
    shutil.rmtree(aside)


@pytest.mark.slow
@pytest.mark.parametrize("restore", [by_hand, by_command])
def test_a_restored_backup_does_not_bring_the_person_back(
    tmp_path: Path, restore: Callable[[Path, Path], None]
) -> None:
    backup = tmp_path / "backup"
    with RunningServer(tmp_path) as server:
        data = server.settings.data
        send_person(server)
        before = figures(server)
        if restore is by_command:
            server.run("backup", str(backup))
        assert 0 == server.stop(signal.SIGTERM)
    if restore is by_hand:
        shutil.copytree(data, backup)
    with RunningServer(tmp_path) as server:
        post(server, server_event(event_name="Search", event_id="since"))
        assert 7 == server.run("person", "erase", "--email", person.EMAIL)["copies"]
        assert 0 == server.stop(signal.SIGTERM)
    assert [] == traces(data)
    restore(data, backup)
    assert [] != traces(data)
    with RunningServer(tmp_path) as server:
        wait_for(lambda: 14 == _erased(server), 60)
        assert before == figures(server)
        server.run("rebuild")
        assert before == figures(server)
        assert 0 == server.stop(signal.SIGTERM)
    assert [] == traces(data)


def _erased(server: RunningServer) -> int:
    (erasure,) = server.run("person", "erasures")
    return int(erasure["copies"]) if erasure["state"] == "done" else 0


# --- smaller, without a server ----------------------------------------------------------------


def look(pipeline: Pipeline, *given: str, **how: bool) -> Found:
    """What a pipeline's lake holds of a person."""
    records = Records(duckdb.connect(), pipeline.lake, ACCOUNT)
    return find(records, given, datetime(2100, 1, 1, tzinfo=UTC), **how)


def test_what_many_share_is_not_followed(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.append(
        [
            make_record(event_id=f"e{n}", user_data={"em": sha256(f"{n}"), "external_id": "Guest"})
            for n in range(80)
        ]
    )
    pipeline.refresh()
    guest = f"external_id={sha256('guest')}"
    by_email = look(pipeline, f"em={sha256('7')}")
    assert 1 == len(by_email.copies)
    hashes = sorted([guest, f"external_id={sha256('Guest')}"])
    expected = [(identifier, 80) for identifier in hashes]
    assert expected == [(shared.identifier, shared.records) for shared in by_email.shared]
    assert 0 == len(look(pipeline, guest).copies)
    assert 80 == len(look(pipeline, guest, shared=True).copies)
    pipeline.close()


def test_exact_follows_nothing(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.append(
        [
            make_record(event_id="a", user_data={"em": sha256("a"), "ph": sha256("b")}),
            make_record(event_id="b", user_data={"ph": sha256("b")}),
        ]
    )
    pipeline.refresh()
    assert 2 == len(look(pipeline, f"em={sha256('a')}").copies)
    assert 1 == len(look(pipeline, f"em={sha256('a')}", exact=True).copies)
    pipeline.close()


def test_a_hash_that_another_client_makes_leads_to_all_of_a_person(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.append(
        [
            make_record(event_id="a", user_data={"em": sha256("a"), "external_id": "Cust-77"}),
            make_record(event_id="b", user_data={"em": sha256("a")}),
            make_record(event_id="c", user_data={"ph": sha256("c"), "external_id": "Cust-78"}),
        ]
    )
    bad = make_event(event_id="d", user_data={"em": "d@shop.example", "external_id": "Cust-79"})
    payload = hashed_payload(json.dumps([bad]).encode())
    arrival = Arrival(ACCOUNT, PIXEL, "server", NOON, 0)
    pipeline.append(
        [
            refused_record(Refusal(Reason.CURRENCY_MISSING, "Missing."), arrival, b"", payload),
            make_record(event_id="e", user_data={"em": "d@shop.example"}),
        ]
    )
    pipeline.refresh()
    for given, copies, refused in (("Cust-77", 2, 0), ("Cust-78", 1, 0), ("Cust-79", 1, 1)):
        wanted = f"external_id={sha256(given)}"
        found = look(pipeline, wanted)
        assert (copies, refused) == (len(found.copies), len(found.refused)), given
        digests = Digests(b"key")
        records = Records(duckdb.connect(), pipeline.lake, ACCOUNT)
        sought = {digests.of(ACCOUNT, wanted)}
        assert {wanted} == resolve(records, digests, sought, datetime(2100, 1, 1, tzinfo=UTC))
    pipeline.close()


def test_another_account_is_not_touched(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.append([make_record(), make_record(account_id="act_2", pixel_id="2")])
    pipeline.refresh()
    assert 1 == len(look(pipeline, f"em={sha256('mary@example.com')}").copies)
    pipeline.close()


def test_keys_in_sql_are_those_in_python(tmp_path: Path) -> None:
    user_data = {key: f"{n:064x}" for n, key in enumerate(STRONG_KEYS)}
    user_data |= {"fbp": "fb.1.1700000000123.1", "fbc": "fb.1.1700000000123.clickid12345678"}
    if "lead_id" in user_data:
        user_data["lead_id"] = "1234567890123456"
    pipeline = Pipeline(tmp_path)
    pipeline.append([make_record(user_data=user_data)])
    pipeline.refresh()
    found = look(pipeline, f"em={user_data['em']}").identifiers
    assert read_identifiers(user_data) == {i for i in found if kind_of(i) in STRONG_KEYS}
    pipeline.close()


@pytest.mark.parametrize("user_data", [{}, {"ct": "Berlin"}, {"em": "nobody"}, {"name": "Jo"}])
def test_what_names_nobody_is_refused_without_being_quoted(user_data: dict[str, Any]) -> None:
    with pytest.raises(GivenError) as caught:
        read_identifiers(user_data)
    assert not any(value in str(caught.value) for value in user_data.values())


def test_plain_and_hashed_are_the_same_person() -> None:
    assert read_identifiers({"em": " Jo@Example.com"}) == read_identifiers(
        {"em": [sha256("jo@example.com").upper()]}
    )


def test_tombstones_hold_no_identifier_and_unite(tmp_path: Path) -> None:
    ours, theirs = Erasures(tmp_path / "a"), tmp_path / "b"
    erasure = ours.ask(Wish(ACCOUNT, frozenset({f"em={sha256('jo')}"})))
    assert [] == [p for p in files(tmp_path) if sha256("jo").encode() in p.read_bytes()]
    unite(tmp_path / "a", theirs)
    assert [erasure.digests] == [other.digests for other in Erasures(theirs).all()]
    Erasures(tmp_path / "c").ask(Wish(ACCOUNT, frozenset({"em=x"})))
    with pytest.raises(CorruptError):
        unite(tmp_path / "a", tmp_path / "c")


def test_records_that_come_late_reopen_what_covers_them(tmp_path: Path) -> None:
    erasures = Erasures(tmp_path)
    erasure = erasures.ask(Wish(ACCOUNT, frozenset({"em=x"})))
    erasures.finish(erasure)
    erasures.loading(erasure.asked_at + 1)
    assert ["done"] == [known.state for known in erasures.all()]
    erasures.loading(erasure.asked_at)
    assert [("asked", 2)] == [(known.state, known.round) for known in erasures.all()]


def test_a_rewritten_segment_keeps_every_other_byte_where_it_was(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    for n in range(40):
        pipeline.append([make_record(event_id=f"e{n}.{m}") for m in range(3)])
    pipeline.log.close_segments()
    ((_, path), *_) = pipeline.log.complete_segments()
    before = path.read_bytes()
    offset = segment.first_offset(path)
    offsets = {offset + 4, offset + 5, offset + 77}
    changed = rewriting.rewrite(path, offsets, anonymous_record)
    after = path.read_bytes()
    assert (3, len(before)) == (changed, len(after))
    assert list(segment.groups(before)) == list(segment.groups(after))
    chunk = pipeline.log.read(0, 0, 1 << 30)
    assert chunk is not None
    assert 120 == chunk.records == len(json.loads(f"[{_records(chunk.lines)}]"))
    assert 117 == chunk.lines.count(sha256("mary@example.com").encode())
    assert 0 == rewriting.rewrite(path, offsets, anonymous_record)
    pipeline.close()


def _records(lines: bytes) -> str:
    return ",".join(line for line in lines.decode().splitlines() if "record_type" in line)


def test_what_is_anonymous_in_log_and_lake_is_the_same(tmp_path: Path) -> None:
    # Offsets of slots that are filled alike are alike.
    pipelines = [Pipeline(tmp_path / name) for name in ("log", "lake")]
    record = make_record(
        event_source_url="https://shop.example/a/b?c=d",
        custom_data={
            "value": 1.50,
            "currency": "EUR",
            "contents": [{"id": "x", "brand": "y"}],
            "z": 1,
        },
    )
    for pipeline in pipelines:
        pipeline.append([record, make_record(event_id="other")])
        pipeline.log.close_segments()
    by_log, by_lake = pipelines
    ((slot, path), *_) = by_log.log.complete_segments()
    offset = segment.first_offset(path)
    rewriting.rewrite(path, {offset}, anonymous_record)
    for pipeline in pipelines:
        pipeline.refresh()
    rewriter = Rewriter(duckdb.connect(), threading.Lock())
    table = by_lake.lake.events
    place = (slot, segment.first_offset(by_lake.log.complete_segments()[0][1]))
    adopt = partial(models.adopt, by_lake.engine)
    assert 1 == rewriter.events(table, [place], {}, adopt)
    assert 0 == rewriter.events(table, [place], {}, adopt)
    models.forget(by_lake.engine, by_lake.lake, models.Rules(), [place])
    rows = [
        duckdb.execute(
            "select * exclude (received_date) from read_parquet($p) order by event_id",
            {"p": [file.path for file in pipeline.lake.events.files()]},
        ).fetchall()
        for pipeline in pipelines
    ]
    assert rows[0] == rows[1]
    assert by_log.events() == by_lake.events()
    for pipeline in pipelines:
        pipeline.close()


def test_what_is_kept_long_enough_goes_from_lake_and_reports(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, retention_events_d=10, retention_refused_d=5)
    day = 24 * HOUR
    now = time.time_ns() // 1000
    records = [
        make_record(now - 30 * day, event_id="old"),
        make_record(now - 11 * day, event_id="straddling"),
        make_record(now - 10 * day + HOUR, event_id="straddling"),
        make_record(now - HOUR, event_id="young"),
    ]
    writing = Pipeline(tmp_path / "made")
    writing.append(records)
    writing.close()
    shutil.copytree(tmp_path / "made" / "log", tmp_path / "log")
    freshener = Freshener(settings)
    freshener.freshen()
    assert 4 == len(freshener.engine.query("select 1 from copies"))
    freshener.tidy()
    kept = freshener.engine.query("select event_id, server_copies from events_deduplicated")
    assert [("straddling", 1), ("young", 1)] == sorted(tuple(row.values()) for row in kept)
    assert 2 == freshener.rebuild()
    again = freshener.engine.query("select event_id, server_copies from events_deduplicated")
    assert sorted(map(str, kept)) == sorted(map(str, again))
    freshener.close()
