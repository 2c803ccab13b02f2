"""`doublet reconcile` from end to end: files and interfaces, with a server and without one."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from typer.testing import CliRunner

from doublet.catalog import Catalog
from doublet.cli import app
from doublet.errors import DoubletError
from doublet.settings import Settings
from tests.factories import make_event
from tests.reconcile.resources import Platform, shopify
from tests.server import RunningServer, served

HEAD = "Name,Financial Status,Currency,Total,Taxes,Refunded Amount,Created at,Id\n"


def line(number: int, age_s: int, total: str = "10.50", refunded: str = "0.00") -> str:
    """One order of an export."""
    made_at = time.strftime("%Y-%m-%d %H:%M:%S +0000", time.gmtime(time.time() - age_s))
    return f"#{number},paid,USD,{total},1.50,{refunded},{made_at},555{number}\n"


def purchase(number: int, age_s: int, value: float = 10.5) -> dict[str, Any]:
    """A Purchase of an order, by the name that the shop gives it."""
    custom = {"value": value, "currency": "USD", "order_id": f"{number}"}
    at = int(time.time()) - age_s
    return make_event(event_id=f"e.{number}", event_time=at, custom_data=custom)


class Said(NamedTuple):
    """What a command printed."""

    stdout: str
    stderr: str


def run(folder: Path, *arguments: str, code: int = 0) -> Said:
    """The command on the data in `folder`, run to its end in this process."""
    paths = [str(folder / each) if each.endswith(".csv") else each for each in arguments]
    done = CliRunner().invoke(app, ["reconcile", *paths, f"--data={folder / 'data'}"])
    error = done.exception
    found = error.exit_code if isinstance(error, DoubletError) else done.exit_code
    assert code == found, done.output + repr(error)
    return Said(done.stdout, done.stderr + (str(error) if isinstance(error, DoubletError) else ""))


def run_process(folder: Path, *arguments: str, code: int = 0) -> str:
    """What the command prints in a process of its own."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DOUBLET_")}
    done = subprocess.run(
        [sys.executable, "-m", "doublet", "reconcile", *arguments, f"--data={folder / 'data'}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
        env=environ,
    )
    assert code == done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of a shop with four orders, two of which it exports alike; nothing runs."""
    made = tmp_path_factory.mktemp("command")
    (made / "agreeing.csv").write_text(HEAD + line(1, 7000) + line(2, 6000))
    (made / "differing.csv").write_text(
        HEAD
        + line(1, 7000)
        + line(2, 6000, refunded="4.00")
        + line(3, 5500)
        + line(4, 5000, "12.00")
    )
    with RunningServer(made, workers=1) as server:
        events = [purchase(1, 7000), purchase(2, 6000), purchase(4, 5000)]
        answer = httpx.post(
            f"{server.url}/v25.0/{server.pixel_id}/events",
            headers=server.headers,
            json={"data": events},
            timeout=30,
        )
        assert 200 == answer.status_code, answer.text
        # What has just been accepted counts, whether or not a round has loaded it.
        told = run_process(made, "differing.csv", "--json", code=4)
        (made / "by_server.json").write_text(told)
        answers = {
            "fine": _post(server, b'{"order_id":"5551","created_at":1,"total":"5"}\n'),
            "no order": _post(server, b'\n{"order_id":"1","created_at":1}'),
            "not a number": _post(server, b"{}", limit="0"),
            "no such shop": _post(server, b"", shop="shp_1"),
            "pixel": _post(server, b"", pixel=server.pixel_id),
            "long": _post(server, b"x" * 70_000),
        }
        nobody = httpx.post(f"{server.url}/v1/reconcile", content=b"")
        answers["nobody"] = (nobody.status_code, nobody.text)
        (made / "answers.json").write_text(json.dumps(answers))
    # Nobody has to find out that the worker does not answer any more.
    (server.settings.run_folder / "operator.key").unlink(missing_ok=True)
    return made


def _post(server: RunningServer, body: bytes, **parameters: str) -> tuple[int, str]:
    answer = httpx.post(
        f"{server.url}/v1/reconcile",
        params=parameters,
        headers=server.headers,
        content=body,
        timeout=60,
    )
    return answer.status_code, answer.text


def test_two_sides_that_agree_end_with_0(folder: Path) -> None:
    done = run(folder, "agreeing.csv")
    assert "2 agree (100 %)" in done.stdout
    assert "Both sides agree." in done.stdout
    assert "Not all were found here by the shop's id: 2 by name, spelled otherwise." in done.stdout
    assert "order_id = Id, name = Name, created_at = Created at, total = Total" in done.stderr


def test_two_sides_that_differ_are_told_to_people_and_end_with_4(folder: Path) -> None:
    said = run(folder, "differing.csv", code=4).stdout
    assert "1 agree (25 %)" in said
    for words in (
        "In the shop, not here, not_delivered: 1, 10.50 USD",
        "With another value, tax: 1, 1.50 USD",
        "Exactly the tax is missing here. Send the total with tax.",
        "In another state, refunded: 1, -4.00 USD",
        "5553 #3",
        "refunded there 4.00, here 0.00",
        "reported by the server only",
    ):
        assert words in said
    assert "Server_only" not in said


def test_a_server_and_the_tables_alone_answer_the_same(folder: Path) -> None:
    alone = json.loads(run_process(folder, "differing.csv", "--json", code=4))
    assert json.loads((folder / "by_server.json").read_text()) == alone
    assert (4, 1, False) == (alone["orders"], alone["agree"], alone["agrees"])
    assert {"USD": 43.5} == alone["total"]


def test_lists_are_csv_for_spreadsheets(folder: Path) -> None:
    done = run(folder, "differing.csv", "--csv", "--limit=1", code=4)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert ["missing", "value_differs", "status_differs", "server_only"] == [
        row["finding"] for row in rows
    ]
    assert ("5553", "#3", "10.5000") == tuple(
        rows[0][name] for name in ("order_id", "name", "shop_value")
    )


def test_days_can_be_asked_for(folder: Path) -> None:
    said = run(folder, "differing.csv", "--since=2020-01-01", "--until=2020-01-31").stdout
    assert "The shop has no orders from 2020-01-01 to 2020-02-01 00:00." in said
    assert "Both sides agree" not in said


def test_what_cannot_be_meant_is_said(folder: Path) -> None:
    assert "Name a file" in run(folder, code=2).stderr
    assert "names no column" in run(folder, "agreeing.csv", "--map", "total", code=2).stderr
    said = run(folder, "agreeing.csv", "--map", "total=Totla", code=4).stderr
    assert "Do you mean 'Total'?" in said
    assert "There is no shop 'Nobody'" in run(folder, "--shop", "Nobody", code=3).stderr


def test_nothing_staged_is_left(folder: Path) -> None:
    run(folder, "agreeing.csv")
    assert [] == list((folder / "data").glob("**/reconcile-*"))


def test_the_address_refuses_what_is_none(folder: Path) -> None:
    answers = json.loads((folder / "answers.json").read_text())
    statuses = {name: status for name, (status, _) in answers.items()}
    assert {
        **{"fine": 200, "no order": 400, "not a number": 400, "no such shop": 400},
        **{"pixel": 400, "long": 413, "nobody": 401},
    } == statuses
    assert "Line 2 is no order" in answers["no order"][1]
    assert '"orders":1' in answers["fine"][1]


def test_the_shops_own_interface_is_asked(folder: Path) -> None:
    """Of the last days; with what its webhooks explain."""
    catalog = Catalog(Settings(data=folder / "data").catalog_url)
    (pixel,) = catalog.pixels()
    now = time.time()

    def order(number: int, age_s: int, **fields: Any) -> dict[str, Any]:
        at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(now - age_s))
        ids = {"id": int(f"555{number}"), "name": f"#{number}", "created_at": at}
        money = {"currency": "USD", "total_price": "10.50", "current_total_price": "10.50"}
        return shopify(number) | ids | money | fields

    platform = Platform(
        "shopify", [order(1, 7000), order(2, 6000), order(4, 5000), order(9, 30 * 86_400)]
    )
    with served(platform) as url:
        shop = catalog.shops.create(
            *(pixel.account_id, pixel.pixel_id, "shopify", "Corner Shop"),
            target={"domain": "shop.example", "api_url": url},
            api_token="token-1",
        )
        try:
            agreed = run(folder, "--shop", "Corner Shop").stdout
            assert "3 orders of the shop" in agreed
            assert "Both sides agree." in agreed
            (asked,) = platform.asked
            assert "gid" not in asked[1]["fields"]
            platform.orders.append(order(7, 4000))
            platform.hooks = [
                {"topic": "orders/create", "address": "https://elsewhere.example/hook"}
            ]
            # The shop was made a moment ago; its webhooks could not tell of what came before.
            early = run(folder, "--shop", shop.shop_id).stdout
            assert "before_shop" in early
            platform.orders[-1] = order(7, -5)
            told = json.loads(run(folder, "--shop", "Corner Shop", "--json").stdout)
            assert {("missing", "just_made")} <= {(g["finding"], g["why"]) for g in told["groups"]}
        finally:
            catalog.shops.remove(shop.shop_id)
            catalog.close()
