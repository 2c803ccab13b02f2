"""The command `doublet` as people type it: right, wrong, and interrupted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from doublet.catalog import Catalog
from doublet.rounds import Freshener
from doublet.settings import Settings
from tests.factories import Pipeline, make_record, sha256
from tests.server import free_port

USAGE, OPERATOR, SENDER = 2, 3, 4


def doublet(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, run to its end in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "doublet", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def pixel_id(tmp_path: Path) -> str:
    """A pixel in the usual data folder below the test's own."""
    catalog = Catalog(Settings(data=tmp_path / "doublet-data").catalog_url)
    catalog.migrate()
    account = catalog.create_account("Shop")
    pixel, _ = catalog.create_pixel(account.account_id, "Shop")
    catalog.close()
    return pixel.pixel_id


_WRONG = [
    (("report", "overview", "--account", ""), "--account"),
    (("report", "overview", "--pixel", " "), "--pixel"),
    (("pixel", "list", "--account", ""), "--account"),
    (("report", "overview", "--json", "--csv"), "choose one"),
    (("report", "overview", "--since", "2026-01-02", "--until", "2026-01-01"), "swap them"),
    (("report", "overview", "--since", "tomorrow"), "--since"),
    (("account", "create", " "), "empty"),
    (("pixel", "create", ""), "empty"),
    (("serve", "--set", "port"), "name=value"),
    (("demo", "--seconds", "-1"), "--seconds"),
    (("demo", "--shoppers", "-1"), "--shoppers"),
]


@pytest.mark.parametrize(("arguments", "said"), _WRONG)
def test_what_cannot_be_meant_is_a_usage_error(
    tmp_path: Path, arguments: Sequence[str], said: str
) -> None:
    done = doublet(tmp_path, *arguments)
    assert (USAGE, "") == (done.returncode, done.stdout)
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert [] == list(tmp_path.iterdir())


def test_an_unknown_pixel_is_named_with_what_to_do(tmp_path: Path, pixel_id: str) -> None:
    done = doublet(tmp_path, "report", "overview", "--pixel", "1234567890123456")
    assert (OPERATOR, "") == (done.returncode, done.stdout)
    assert "has no pixel '1234567890123456'" in done.stderr
    assert "`doublet pixel list`" in done.stderr
    assert pixel_id in doublet(tmp_path, "pixel", "list", "--json").stdout


def test_a_secret_is_read_from_its_file_and_forgotten_by_an_empty_one(
    tmp_path: Path, pixel_id: str
) -> None:
    catalog = Catalog(Settings(data=tmp_path / "doublet-data").catalog_url)
    account_id = catalog.accounts()[0].account_id
    (tmp_path / "secret").write_text("0123abcd\n")
    edit = ("account", "edit", account_id, "--app-secret-file")
    assert 0 == doublet(tmp_path, *edit, "secret").returncode
    assert "0123abcd" == catalog.app_secret(account_id)
    missing = doublet(tmp_path, *edit, "missing")
    assert OPERATOR == missing.returncode
    assert "missing is no text file that can be read." in missing.stderr
    assert 0 == doublet(tmp_path, *edit, "").returncode
    assert "" == catalog.app_secret(account_id)
    catalog.close()


def test_a_filter_that_matches_nothing_is_named(tmp_path: Path, pixel_id: str) -> None:
    done = doublet(tmp_path, "report", "overview", "--pixel", pixel_id, "--since", "2026-01-01")
    assert (0, "") == (done.returncode, done.stdout)
    assert f"No event matches --pixel {pixel_id} --since 2026-01-01." in done.stderr
    assert "No events yet." in doublet(tmp_path, "report", "overview").stderr
    found = doublet(tmp_path, "report", "overview", "--since", "2026-01-01", "--json")
    assert [] == json.loads(found.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "overview"),
        ("refresh",),
        ("rebuild",),
        ("pixel", "list"),
        ("account", "list"),
    ],
)
def test_a_mistyped_data_folder_is_not_made(tmp_path: Path, arguments: Sequence[str]) -> None:
    done = doublet(tmp_path, *arguments, "--data", "mistyped")
    assert (OPERATOR, "") == (done.returncode, done.stdout)
    assert "There is no data folder mistyped." in done.stderr
    assert [] == list(tmp_path.iterdir())


HOSTILE = "[/b]\x1b[2J[red]"


def _append(folder: Path, pixel_id: str, **fields: Any) -> None:
    """One event of the pixel, in the log and in no table yet."""
    catalog = Catalog(Settings(data=folder / "doublet-data").catalog_url)
    (account,) = catalog.accounts()
    catalog.close()
    pipeline = Pipeline(folder / "doublet-data")
    record = make_record(account_id=account.account_id, pixel_id=pixel_id, **fields)
    pipeline.append([record])
    pipeline.close()


def test_names_that_others_chose_are_printed_as_they_are(tmp_path: Path, pixel_id: str) -> None:
    _append(tmp_path, pixel_id, event_name=HOSTILE, event_id="1")
    assert OPERATOR == doublet(tmp_path, "account", "create", HOSTILE).returncode
    assert 0 == doublet(tmp_path, "account", "create", "[/b][red]").returncode
    assert "[/b][red]" in doublet(tmp_path, "account", "list").stdout
    names = [
        doublet(tmp_path, "report", "overview", "--account", "Shop"),
        doublet(tmp_path, "report", "coverage", "--account", "Shop"),
        doublet(tmp_path, "explain", "1", "--account", "Shop"),
    ]
    for printed in names:
        assert (0, "") == (printed.returncode, printed.stderr)
        assert "[/b]\N{REPLACEMENT CHARACTER}[2J[red]" in printed.stdout


def test_without_a_server_reports_are_up_to_date(tmp_path: Path, pixel_id: str) -> None:
    _append(tmp_path, pixel_id)
    found = doublet(tmp_path, "report", "overview", "--json")
    assert [1] == [row["events"] for row in json.loads(found.stdout)]


def test_a_report_does_not_make_the_tables_by_other_rules(tmp_path: Path, pixel_id: str) -> None:
    _append(tmp_path, pixel_id)
    meta = ("--set", "dedup=meta")
    assert 0 == doublet(tmp_path, "rebuild", *meta).returncode
    refused = doublet(tmp_path, "report", "overview", "--json")
    assert (3, "") == (refused.returncode, refused.stdout)
    assert "dedup=meta" in refused.stderr
    found = doublet(tmp_path, "report", "overview", "--json", *meta)
    assert [1] == [row["events"] for row in json.loads(found.stdout)]
    assert 0 == doublet(tmp_path, "rebuild").returncode
    assert 0 == doublet(tmp_path, "report", "overview").returncode


def test_an_unknown_pixel_has_no_story(tmp_path: Path, pixel_id: str) -> None:
    done = doublet(tmp_path, "explain", "1", "--pixel", "7")
    assert (OPERATOR, True) == (done.returncode, "has no pixel '7'" in done.stderr)


def test_what_is_said_of_persons_is_for_programs_too(tmp_path: Path, pixel_id: str) -> None:
    _append(tmp_path, pixel_id, user_data={"em": [sha256("jo@example.com")]})
    nobody = doublet(tmp_path, "person", "export", "--email", "nobody@example.com")
    assert (0, "person") == (nobody.returncode, json.loads(nobody.stdout)["table"])
    assert "Nothing is kept" in nobody.stderr
    busy = Freshener(Settings(data=tmp_path / "doublet-data"))
    arguments = ("person", "export", "--email", "jo@example.com", "--output", "jo.jsonl")
    assert OPERATOR == doublet(tmp_path, *arguments).returncode
    busy.close()
    assert 0 == doublet(tmp_path, *arguments).returncode
    assert b"order.1" in (tmp_path / "jo.jsonl").read_bytes()
    assert 0 == doublet(tmp_path, "person", "erase", "--email", "jo@example.com").returncode
    (erasure,) = json.loads(doublet(tmp_path, "person", "erasures", "--json").stdout)
    assert ("done", 1, 0) == (erasure["state"], erasure["copies"], erasure["refused"])


_INTERRUPTED = """
import atexit, os, signal, sys
from doublet.__main__ import main
calls, interrupt_at = 0, int(sys.argv.pop(1))
def count(frame, event, argument):
    global calls
    calls += event == "call"
    if calls == interrupt_at:
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)
atexit.register(lambda: print(calls, file=sys.stderr))
sys.setprofile(count)
main()
"""


def _interrupt(folder: Path, at: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that gets Ctrl-C's signal at its n-th function call, be it still being loaded."""
    return subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, str(at), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_ctrl_c_is_quiet_at_any_moment_of_loading(tmp_path: Path) -> None:
    # The first time, Python may have files to compile, which takes calls of its own.
    _interrupt(tmp_path, 0, "version")
    whole = _interrupt(tmp_path, 0, "version")
    calls = int(whole.stderr)
    assert (0, True) == (whole.returncode, calls > 10_000)
    for part in range(1, 20):
        at = calls * part // 20
        for command, codes in (
            (("version",), {130}),
            (("serve", f"--port={free_port()}"), {0}),
        ):
            done = _interrupt(tmp_path, at, *command)
            assert "Traceback" not in done.stderr, f"{command} at call {at}:\n{done.stderr}"
            assert done.returncode in codes, f"{command} at call {at}"


def test_an_account_and_a_pixel_are_changed(tmp_path: Path) -> None:
    made = json.loads(doublet(tmp_path, "pixel", "create", "Shop", "--json").stdout)
    changed = doublet(tmp_path, "account", "edit", "Shop", "--currency", "eur", "--json")
    assert "EUR" == json.loads(changed.stdout)["currency"]
    rules = doublet(tmp_path, "pixel", "edit", made["id"], "--phone-country", "de", "--json")
    assert {"id": made["id"], "phone_country": "DE"} == json.loads(rules.stdout)
    assert 3 == doublet(tmp_path, "pixel", "edit", "1", "--name", "Site").returncode
    assert 3 == doublet(tmp_path, "pixel", "edit", made["id"], "--phone-country", "x").returncode


@pytest.mark.usefixtures("pixel_id")
def test_how_reports_count_is_changed(tmp_path: Path) -> None:
    edit = ("account", "edit", "Shop", "--json")

    def change(*flags: str) -> dict[str, str]:
        done = doublet(tmp_path, *edit, *flags)
        assert 0 == done.returncode, done.stderr
        row: dict[str, str] = json.loads(done.stdout)
        return {name: row[name] for name in ("attribution", "count", "conversions")}

    usual = {"attribution": "7d_click,1d_ev,1d_view", "count": "all"}
    assert {**usual, "conversions": ""} == change()
    assert "28d_click" == change("--attribution", "28d_click")["attribution"]
    assert "28d_click" == change("--count", "first")["attribution"]
    flags = ("--conversion", "Lead", "--conversion", "Purchase")
    assert {
        "attribution": "28d_click",
        "count": "first",
        "conversions": "Lead, Purchase",
    } == change(*flags)
    assert {**usual, "conversions": ""} == change(
        *("--attribution", "1d_view,7d_click,1d_ev", "--count", "all", "--conversion", "")
    )
    assert "none" == change("--attribution", "none")["attribution"]
    for wrong in ("7d_view", "1d_click,7d_click"):
        assert SENDER == doublet(tmp_path, *edit, "--attribution", wrong).returncode


def test_the_snippet_of_a_pixel_bears_its_id_and_the_public_address(
    tmp_path: Path, pixel_id: str
) -> None:
    address = 'https://data.shop.example/x"\\'
    told = ("--set", f"public_url={address}/")
    page = doublet(tmp_path, "pixel", "snippet", pixel_id, *told).stdout
    assert page.startswith("<!-- Doublet pixel -->")
    assert f'fbq("init", "{pixel_id}")' in page
    shopify = doublet(tmp_path, "pixel", "snippet", pixel_id, "--shopify", *told).stdout
    assert f'const PIXEL_ID = "{pixel_id}";' in shopify
    assert f"const ADDRESS = {json.dumps(address)};" in shopify
    assert "<script" not in shopify
    unknown = doublet(tmp_path, "pixel", "snippet", "1234567890123456", "--shopify")
    assert OPERATOR == unknown.returncode
    assert "`doublet pixel list`" in unknown.stderr
