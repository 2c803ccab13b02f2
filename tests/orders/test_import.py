"""Messages from files and from the command line: all of a file or nothing, durable, once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from doublet.accept import OrderFile
from doublet.catalog import Account, Catalog
from doublet.event import WireOrder
from doublet.order_import import check_file, import_file
from doublet.refusal import Refusal
from doublet.rounds import Freshener
from doublet.settings import Settings
from tests.server import RunningServer, wait_for

GOOD = """order_id,kind,changed_at,value,currency
1001,placed,2026-11-01T10:00:00Z,95,EUR
1001,refunded,2026-11-03T10:00:00Z,30,EUR
"""


@pytest.fixture
def account(tmp_path: Path) -> Account:
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    catalog.migrate()
    made = catalog.create_account("Shop", "Europe/Berlin", "EUR")
    catalog.close()
    return made


@pytest.fixture
def fresh(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path)


def run(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """A `doublet` command on the data in `folder`, run to its end."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DOUBLET_")}
    done = subprocess.run(
        [sys.executable, "-m", "doublet", *arguments, f"--data={folder}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
        env=environ,
    )
    assert code == done.returncode, done.stderr
    return done


def nets(folder: Path) -> dict[str, float]:
    """Net by order and currency, after a refresh."""
    freshener = Freshener(Settings(data=folder))
    try:
        freshener.freshen()
        rows = freshener.engine.query("select order_id, currency, net from orders")
    finally:
        freshener.close()
    return {f"{row['order_id']} {row['currency']}": float(row["net"]) for row in rows}


# --- reading ---------------------------------------------------------------------------------


def read(text: str) -> OrderFile:
    return OrderFile(text.splitlines(keepends=True), ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_spreadsheets_separate_as_they_like(separator: str) -> None:
    lines = list(read("\ufeff" + GOOD.replace(",", separator).upper().replace("PLACED", "placed")))
    assert [2, 3] == [line.number for line in lines]
    message = lines[0].message
    assert isinstance(message, WireOrder)
    assert ("1001", "placed", "95") == (message.order_id, message.kind, message.value)


def test_a_time_without_an_offset_is_on_the_accounts_clocks() -> None:
    text = "order_id,kind,changed_at\n1,cancelled,2026-11-01 10:00\n2,cancelled,2026-07-01\n"
    found = [line.message.changed_at for line in read(text) if isinstance(line.message, WireOrder)]
    assert ["2026-11-01T10:00:00+01:00", "2026-07-01T00:00:00+02:00"] == found


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("", "no column order_id"),
        ("order,kind,changed_at", "no column order_id"),
        ("order_id,kind,change_at", "(there is `change_at`)"),
        ("order_id,kind,changed_at,valeu", "column value is misspelt (there is `valeu`)"),
        ("order_id,kind,changed_at,kind", "column kind comes twice"),
    ],
)
def test_a_file_whose_columns_are_wrong_is_told_which(header: str, words: str) -> None:
    problem = read(header + "\n").problem
    assert problem is not None
    assert words in problem.message


def test_what_a_line_lacks_is_said(tmp_path: Path, account: Account) -> None:
    file = tmp_path / "a.csv"
    text = GOOD + '1002,refunded,2026-11-03T10:00:00Z,1,20,EUR\n\n1003,"gone\n",1,,\n'
    file.write_text(text + "1004,placed,2026-11-03T10:00:00Z,x,EUR\n")
    checked = check_file(file, account)
    assert {"placed": 1, "refunded": 1} == checked.kinds
    assert [(4, ""), (7, "kind"), (8, "value")] == [(bad.line, bad.column) for bad in checked.bad]
    assert "6 cells, but 5 columns" in checked.bad[0].message
    assert isinstance(list(read(text))[2].message, Refusal)


def test_columns_about_customers_are_left_aside(fresh: Settings, account: Account) -> None:
    file = fresh.data / "a.csv"
    file.write_text(
        "order_id,kind,changed_at,email,mary@private-mail.example\n"
        "1,cancelled,2026-11-01T10:00:00Z,mary@private-mail.example,x\n"
    )
    assert ["`email`", "a field"] == check_file(file, account).ignored
    assert 1 == import_file(fresh, account, file)
    file.unlink()
    stored = b"".join(path.read_bytes() for path in fresh.data.rglob("*") if path.is_file())
    assert b'"record_type":"order"' in stored
    assert b"mary@" not in stored


# --- the commands ----------------------------------------------------------------------------


def test_a_file_with_a_bad_line_is_not_imported(tmp_path: Path, account: Account) -> None:
    (tmp_path / "a.csv").write_text(GOOD + "1002,refund,2026-11-03T10:00:00Z,1,EUR\n")
    done = run(tmp_path, "order", "import", "a.csv", code=4)
    assert "line 4, column kind: kind is not known; did you mean refunded?" in done.stderr
    assert "Nothing was imported." in done.stderr
    assert {} == nets(tmp_path)
    run(tmp_path, "order", "import", "a.csv", "--skip-bad")
    assert {"1001 EUR": 65.0} == nets(tmp_path)


def test_importing_again_repeats_nothing(tmp_path: Path, account: Account) -> None:
    (tmp_path / "a.csv").write_text(GOOD)
    dry = json.loads(run(tmp_path, "order", "import", "a.csv", "--dry-run", "--json").stdout)
    assert (2, 0) == (dry["good"], dry["imported"])
    assert {} == nets(tmp_path)
    for _ in range(2):
        found = json.loads(run(tmp_path, "order", "import", "a.csv", "--json").stdout)
        assert (2, 2, 0) == (found["good"], found["imported"], found["bad"])
    assert {"1001 EUR": 65.0} == nets(tmp_path)


def test_an_order_is_corrected_and_told(tmp_path: Path, account: Account) -> None:
    (tmp_path / "a.csv").write_text(GOOD)
    run(tmp_path, "order", "import", "a.csv")
    run(tmp_path, "order", "correct", "1001", "refunded", "--value=200", "--message-id=r")
    run(tmp_path, "order", "correct", "1001", "refunded", "--value=200", "--message-id=r")
    wrong = run(tmp_path, "order", "correct", "1001", "cancelled", "--value=1", code=4)
    assert "takes no value" in wrong.stderr
    run(tmp_path, "refresh")
    told = run(tmp_path, "order", "show", "1001").stdout
    assert "Order 1001 of 2026-11-01 11:00: sale." in told
    assert "refunds 95.00 EUR, cancelled 0.00 EUR: net 0.00 EUR." in told
    assert "200.00 EUR was refunded; refunds +65.00 EUR; that is more than was left" in told
    assert 2 == told.count("was refunded")
    missing = run(tmp_path, "order", "show", "1002", code=4)
    assert "Nothing is known of order '1002'" in missing.stderr


def test_the_accounts_own_currency_needs_no_rate(tmp_path: Path, account: Account) -> None:
    (tmp_path / "rates.csv").write_text("day,currency,rate\n2026-11-01,eur,1.1\n")
    wrong = run(tmp_path, "rates", "import", "rates.csv", code=4)
    assert "EUR is the account's own currency" in wrong.stderr
    assert [] == json.loads(run(tmp_path, "rates", "list", "--json").stdout)


@pytest.mark.slow
def test_a_running_server_takes_in_what_is_imported_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(GOOD)
    with RunningServer(tmp_path) as server:
        placed = {"order_id": "7", "kind": "placed", "changed_at": 1_780_000_000, "value": 5}
        answer = httpx.post(
            f"{server.url}/v1/orders",
            json={"data": [{**placed, "currency": "USD"}]},
            headers=server.headers,
        )
        assert 1 == answer.json()["orders_received"]
        assert 2 == server.run("order", "import", str(file))["imported"]
        wait_for(lambda: 2 == len(server.run("report", "orders")["rows"]), what="both orders")
        rows = httpx.get(f"{server.url}/orders.json", headers=server.headers).json()["rows"]
        assert [("USD", 5), ("EUR", 65)] == [(row["currency"], row["net"]) for row in rows]
        assert 65 == server.run("order", "show", "1001")["rows"][0]["net"]
        server.stop()
        server.wait_until_gone()
    assert {"1001 EUR": 65.0, "7 USD": 5.0} == nets(server.settings.data)
