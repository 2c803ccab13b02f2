"""Imports into a real log: each row once, however often and wherever it is cut off."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import httpx
import pytest
from deltalake import DeltaTable

from doublet import deposit
from doublet.backup.restore import restore
from doublet.backup.save import save
from doublet.catalog import Account, Catalog
from doublet.errors import LockedError
from doublet.imports.book import Book
from doublet.imports.files import open_source
from doublet.imports.mapping import Mapping
from doublet.imports.run import Imported, Plan, bring_in, check, open_book
from doublet.reports import overview
from doublet.rounds import Freshener
from doublet.settings import Settings
from tests.factories import make_event, sha256
from tests.relay.outboxes import Relay
from tests.server import RunningServer, wait_for

MAPPING = Mapping(
    {"time": "event_time", "mail": "em", "sum": "value", "order": "order_id"},
    {"event_name": "Purchase", "action_source": "physical_store", "currency": "EUR"},
)


class Shop(NamedTuple):
    """A data folder with an account and a pixel."""

    settings: Settings
    account: Account
    pixel_id: str


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    settings = Settings(data=tmp_path / "data")
    settings.data.mkdir()
    catalog = Catalog(settings.catalog_url)
    catalog.migrate()
    account = catalog.create_account("Shop", "Europe/Berlin", "EUR")
    pixel, _ = catalog.create_pixel(account.account_id, "Shop")
    catalog.close()
    return Shop(settings, account, pixel.pixel_id)


def write(file: Path, rows: range, *more: str) -> Path:
    now = int(time.time()) - 3600
    lines = [f"{now},person{n}@private.example,{n % 90}.50,{n}" for n in rows]
    file.write_text("\n".join(["time,mail,sum,order", *lines, *more]) + "\n")
    return file


def plan(shop: Shop, file: Path, is_history: bool = False) -> Plan:
    return Plan(open_source(file), MAPPING, shop.account, shop.pixel_id, is_history)


def bring(shop: Shop, file: Path, is_history: bool = False) -> Imported:
    made = plan(shop, file, is_history)
    with open_book(shop.settings) as book:
        return bring_in(shop.settings, made, book, made.key())


def loaded(settings: Settings) -> tuple[int, int]:
    """Copies in the lake and events in the tables, after a refresh."""
    freshener = Freshener(settings)
    try:
        freshener.freshen()
        (row,) = freshener.engine.query(
            "select coalesce(sum(server_copies), 0) as copies, count(*) as events "
            "from events_deduplicated"
        )
    finally:
        freshener.close()
    return int(row["copies"]), int(row["events"])


# --- once ------------------------------------------------------------------------------------


def test_a_file_is_imported_once_and_rows_of_it_never_again(shop: Shop, tmp_path: Path) -> None:
    first, longer = tmp_path / "a.csv", tmp_path / "b.csv"
    write(first, range(50), "soon,x@private.example,1,50")
    write(longer, range(30, 70))
    with open_book(shop.settings) as book:
        checked = check(plan(shop, first), book)
        assert (50, 0, {"time": 1}) == (checked.good, checked.known, checked.bad)
    assert Imported(0, 50, 0, 0, 1) == bring(shop, first)
    assert Imported(51, 0, 0, 0, 0) == bring(shop, first)
    with open_book(shop.settings) as book:
        assert 20 == check(plan(shop, longer), book).known
    assert Imported(0, 20, 20, 0, 0) == bring(shop, longer)
    assert (70, 70) == loaded(shop.settings)
    stored = b"".join(p.read_bytes() for p in shop.settings.data.rglob("*") if p.is_file())
    assert b"private.example" not in stored


def test_one_import_at_a_time(shop: Shop) -> None:
    with open_book(shop.settings), pytest.raises(LockedError), open_book(shop.settings):
        pass
    assert 0 == shop.settings.imports_file.stat().st_mode & 0o077


# --- cut off ---------------------------------------------------------------------------------


class Cut(Exception):  # noqa: N818 - it stands for the end of a process
    """The process is gone."""


@pytest.mark.parametrize("after", ["announcing", "appending"])
@pytest.mark.parametrize("meanwhile", ["nothing", "loading", "writing"])
def test_what_was_under_way_is_found_out(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str, meanwhile: str
) -> None:
    monkeypatch.setattr("doublet.imports.run._GROUP", 10)
    file = write(tmp_path / "a.csv", range(35))
    groups = 0

    def cut(*given: Any) -> None:
        nonlocal groups
        groups += 1
        if groups == 2:
            raise Cut
        (confirm if after == "appending" else append)(*given)

    confirm: Any = Book.confirm
    append: Any = deposit.Deposit.append
    with monkeypatch.context() as patch:
        if after == "appending":
            patch.setattr(Book, "confirm", cut)
        else:
            patch.setattr(deposit.Deposit, "append", cut)
        with pytest.raises(Cut):
            bring(shop, file)
    if meanwhile == "loading":
        # The log keeps loaded segments for a while; here it does not.
        assert (20, 20) == loaded(shop.settings) or (10, 10) == loaded(shop.settings)
        for path in shop.settings.log_folder.glob("*/*.jsonl"):
            path.unlink()
    elif meanwhile == "writing":
        # The place that was meant for the group may be another's by now.
        bring(shop, write(tmp_path / "b.csv", range(100, 103)))
    done = bring(shop, file)
    held = 20 if after == "appending" else 10
    assert (held, 35 - held) == (done.resumed_after, done.imported)
    others = 3 if meanwhile == "writing" else 0
    assert (35 + others, 35 + others) == loaded(shop.settings)


@pytest.mark.slow
def test_killed_again_and_again_it_imports_each_row_once(shop: Shop, tmp_path: Path) -> None:
    count = 24_000
    # Half of the rows have no order: they are told apart by the number of their occurrence.
    file = write(tmp_path / "a.csv", range(0, count, 2))
    at = int(time.time()) - 7200
    with file.open("a") as lines:
        for n in range(count // 2):
            lines.write(f"{at},{n % 3000}@private.example,5.00,\n")
    command = [
        *(sys.executable, "-m", "doublet", "import", str(file), "--yes"),
        *("--set", "event_name=Purchase", "--set", "action_source=website"),
        f"--data={shop.settings.data}",
    ]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DOUBLET_")}
    kills = [
        kill_when_done(command, environ, shop.settings, int(share * count), tmp_path / "said")
        for share in (0.02, 0.3, 0.31, 0.6, 0.93)
    ]
    assert sum(kills) >= 3, (tmp_path / "said").read_text()
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, env=environ)
    assert 0 == done.returncode, done.stderr
    found = json.loads(done.stdout)
    assert (0, 0) == (found["known"], found["bad"])
    assert (count, count) == loaded(shop.settings)
    table = DeltaTable(str(shop.settings.lake_folder / "events")).file_uris()
    ids = duckdb.execute(
        "select count(distinct event_id) from read_parquet($files)", {"files": table}
    ).fetchone()
    assert (count,) == ids


def kill_when_done(
    command: list[str], environ: dict[str, str], settings: Settings, rows: int, said: Path
) -> bool:
    """Kill the command when so many rows are done; whether it was still running."""
    with said.open("wb") as file:
        child = subprocess.Popen(command, stdout=file, stderr=file, env=environ)
        try:
            wait_for(
                lambda: child.poll() is not None or rows_done(settings) > rows, 120, "progress"
            )
        finally:
            child.kill()
        return child.wait() == -signal.SIGKILL


def rows_done(settings: Settings) -> int:
    """How far the only import is."""
    if not settings.imports_file.exists():
        return 0
    try:
        with closing(sqlite3.connect(settings.imports_file, timeout=5)) as book:
            found = book.execute("select max(rows) from files").fetchone()
    except sqlite3.OperationalError:
        return 0
    return int(found[0] or 0)


def test_a_backup_knows_what_was_imported(shop: Shop, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", range(20))
    bring(shop, file)
    save(shop.settings, tmp_path / "backups")
    restored = Settings(data=tmp_path / "new")
    restore(restored, tmp_path / "backups")
    assert 0 == bring(shop._replace(settings=restored), file).imported
    assert (20, 20) == loaded(restored)


# --- with what came live, and onward ----------------------------------------------------------


@pytest.mark.slow
def test_imported_copies_join_what_came_live(tmp_path: Path) -> None:
    now = int(time.time())
    with RunningServer(tmp_path) as server:
        live = {"event_time": now - 600, "user_data": {"em": [sha256("mary@private.example")]}}
        by_id = make_event(event_id="eid-1", **live)
        by_order = make_event(
            event_id="other", custom_data={"value": 7, "currency": "EUR", "order_id": "A2"}, **live
        )
        alone = make_event(event_id="eid-3", **live)
        answer = httpx.post(
            f"{server.url}/v25.0/{server.pixel_id}/events",
            json={"data": [by_id, by_order, alone]},
            headers=server.headers,
        )
        assert 200 == answer.status_code, answer.text
        file = tmp_path / "orders.csv"
        file.write_text(
            "event_id,Order ID,Email,Total,Currency,Created at\n"
            f"eid-1,,mary@private.example,10.50,USD,{now - 600}\n"
            f",A2,mary@private.example,7,EUR,{now - 600}\n"
            f",A4,joe@private.example,9,EUR,{now - 600}\n"
        )
        settings = ["--set", "action_source=website", "--yes"]
        assert 3 == server.run("import", str(file), *settings)["imported"]
        assert 0 == server.run("import", str(file), *settings)["imported"]
        server.run("refresh")
        row = server.overview()["Purchase"]
        assert (6, 4) == (row["server"], row["events"])
        assert {"USD": 21, "EUR": 16} == row["value"]


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    pipe = Relay(tmp_path / "data")
    yield pipe
    pipe.close()


def test_history_is_in_the_reports_and_told_to_nobody(relay: Relay, tmp_path: Path) -> None:
    account = relay.catalog.account(None)
    pixel, _ = relay.catalog.create_pixel(account.account_id, "Shop")
    destination = relay.add()
    shop = Shop(relay.settings, account, pixel.pixel_id)
    old = int(time.time()) - 400 * 86_400
    file = tmp_path / "old.csv"
    file.write_text(f"time,mail,sum,order\n{old},mary@private.example,5,77\n")
    with open_book(shop.settings) as book:
        assert {"event_too_old": 1} == check(plan(shop, file), book).bad
    assert 1 == bring(shop, file, is_history=True).imported
    # The same file without --history holds what is fresh enough; here that is a sale in the shop.
    assert 1 == bring(shop, write(tmp_path / "new.csv", range(1))).imported
    relay.refresh()
    relay.fill()
    (row,) = overview(relay.engine, account)
    assert 2 == row.events
    assert [("0", "ready", "")] == relay.ledger()
    found = relay.filler.backfill(destination, old - 10, old + 10)
    assert (0, 0) == (found.events, found.withheld)
    assert [("0", "ready", "")] == relay.ledger()


def test_history_that_a_browser_reports_too_is_told(relay: Relay) -> None:
    relay.add()
    history = relay.record(50, event_id="e", event_time=relay.start // 1_000_000 - 60)
    event: dict[str, Any] = json.loads(history)
    relay.send(json.dumps({**event, "flags": ["history"]}, separators=(",", ":")).encode())
    assert [] == relay.ledger()
    relay.send(relay.record(40, "browser", event_id="e"))
    assert [("e", "ready", "")] == relay.ledger()
