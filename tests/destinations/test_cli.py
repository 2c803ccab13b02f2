"""`doublet destination …` as people type it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from doublet.catalog import Catalog, DestinationRules
from doublet.destinations.kinds import KINDS
from doublet.settings import Settings

USAGE, OPERATOR = 2, 3
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WEBHOOK = ("destination", "create", "webhook", "CRM", "url=https://crm.example/events")
DROP = ("destination", "create", "drop", "Warehouse", "folder=/var/events")


def doublet(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A command, run to its end in `folder`; nobody sits at a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "doublet", *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def shown(folder: Path, *arguments: str, stdin: str = "") -> Any:
    """What a command that succeeds prints as JSON."""
    done = doublet(folder, *arguments, "--json", stdin=stdin)
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """In the usual data folder below the test's own, with one account and pixel."""
    made = Catalog(Settings(data=tmp_path / "doublet-data").catalog_url)
    made.migrate()
    made.create_pixel(made.create_account("Shop").account_id, "Shop")
    return made


def test_a_destination_is_made_shown_changed_and_removed(tmp_path: Path, catalog: Catalog) -> None:
    (pixel,) = catalog.pixels()
    rules = (
        *("--pixel", pixel.pixel_id, "--event", "Purchase", "--event", "Lead", "--beside"),
        *("--domain", "bücher.example", "--merge-wait-s", "30", "--consent", "granted"),
        *("--limited", "withhold", "--rename", "Lead=Sign up=now", "--value-from", "profit"),
        *("--value-minus", "tax", "--value-times", "0.5", "--test-code", "TEST1"),
        *("--batch-events", "50", "--batch-wait-s", "2.5", "--in-flight", "2"),
    )
    made = shown(tmp_path, *WEBHOOK, *rules, "--secret-file", "-", stdin=f"{SECRET}\n")
    kept = catalog.destination("CRM")
    assert (SECRET, {"url": "https://crm.example/events"}) == (kept.secret, kept.target)
    assert kept.rules == DestinationRules(
        mode="beside",
        pixels=[pixel.pixel_id],
        events=["Purchase", "Lead"],
        domains=["xn--bcher-kva.example"],
        merge_wait_s=30,
        consent="granted",
        limited="withhold",
        rename={"Lead": "Sign up=now"},
        value_from="profit",
        value_minus=["tax"],
        value_times=0.5,
        test_event_code="TEST1",
        batch_events=50,
        batch_wait_s=2.5,
        in_flight=2,
    )
    assert made == shown(tmp_path, "destination", "show", made["id"])
    (tmp_path / "secret").write_text(SECRET.swapcase().replace("WHSEC", "whsec"))
    edit = ("--event", "", "--rename", "", "--alone", "--name", "CDP", "--secret-file", "secret")
    changed = shown(tmp_path, "destination", "edit", "CRM", *edit, "url=https://cdp.example/")
    assert ("CDP", [], {}, "alone") == (
        changed["name"],
        *(changed["rules"][name] for name in ("events", "rename", "mode")),
    )
    assert catalog.destination("CDP").secret != SECRET
    text = doublet(tmp_path, "destination", "show", "CDP").stdout
    assert "https://cdp.example/" in text
    assert "granted" in text
    for output in (text, json.dumps([made, changed])):
        assert "whsec" not in output
    refused = doublet(tmp_path, "destination", "remove", "CDP")
    assert (OPERATOR, True) == (refused.returncode, "--yes" in refused.stderr)
    assert 0 == doublet(tmp_path, "destination", "remove", "CDP", "--yes").returncode
    assert [] == catalog.destinations()


def test_a_kind_has_its_own_habits_and_defaults_may_be_set_again(
    tmp_path: Path, catalog: Catalog
) -> None:
    rules = shown(tmp_path, *DROP, "format=parquet")["rules"]
    assert (60.0, 1) == (rules["batch_wait_s"], rules["in_flight"])
    changed = shown(tmp_path, "destination", "edit", "Warehouse", "format=")
    assert {"folder": "/var/events"} == changed["target"]


def test_a_destination_is_paused_and_goes_on(tmp_path: Path, catalog: Catalog) -> None:
    assert shown(tmp_path, *DROP, "--paused")["is_paused"]
    assert "goes on" in doublet(tmp_path, "destination", "resume", "Warehouse").stdout
    assert "is paused" in doublet(tmp_path, "destination", "pause", "Warehouse").stdout
    (row,) = shown(tmp_path, "destination", "list")
    assert ("Warehouse", "drop", True) == (row["name"], row["kind"], row["is_paused"])
    shown(tmp_path, "destination", "resume", "Warehouse")
    assert not catalog.destination("Warehouse").is_paused


def test_the_kinds_say_what_they_must_be_told(tmp_path: Path) -> None:
    kinds = shown(tmp_path, "destination", "kinds")
    assert list(KINDS) == [kind["kind"] for kind in kinds]
    for kind in kinds:
        assert all(field["about"] for field in kind["fields"]), kind["kind"]
    text = doublet(tmp_path, "destination", "kinds").stdout
    assert "One of jsonl, parquet. Default: jsonl." in text
    assert [] == list(tmp_path.iterdir())


def test_a_secret_is_asked_for_and_not_shown(tmp_path: Path, catalog: Catalog) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "doublet", *WEBHOOK],
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    said = b""
    # What is typed before the terminal hides it is thrown away.
    while not said.endswith(b"receiver: "):
        said += os.read(ours, 4096)
    os.write(ours, f"{SECRET}\n".encode())
    while chunk := _read(ours):
        said += chunk
    assert 0 == process.wait(60), said
    os.close(ours)
    assert b"whsec_Mf" not in said
    assert SECRET == catalog.destination("CRM").secret


def _read(terminal: int) -> bytes:
    """Nothing once the other side is gone."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


_WRONG: list[tuple[Sequence[str], int, str]] = [
    (("create", "fax", "Fax"), OPERATOR, "There is no kind 'fax'. Known: meta, "),
    (DROP[1:-1], OPERATOR, "drop needs folder=…: Folder, as /var/events; it must be there."),
    ((*DROP[1:], "fromat=jsonl"), OPERATOR, "Its fields: folder (needed), format (jsonl)"),
    ((*DROP[1:], "format=csv"), OPERATOR, "Choose jsonl or parquet."),
    ((*DROP[1:], "parquet"), USAGE, "NAME=VALUE"),
    ((*DROP[1:-1], "folder=events"), OPERATOR, "Begin it with /"),
    (WEBHOOK[1:], OPERATOR, "webhook needs a secret"),
    ((*WEBHOOK[1:], "--secret-file", "nothing"), OPERATOR, "nothing is no text file"),
    ((*DROP[1:], "--pixel", "123"), OPERATOR, "has no pixel '123'"),
    ((*DROP[1:], "--domain", "https://shop.example"), OPERATOR, "is no domain"),
    ((*DROP[1:], "--consent", "maybe"), USAGE, "not_denied"),
    ((*DROP[1:], "--merge-wait-s", "-1"), OPERATOR, "merge_wait_s -1.0 is no time"),
    ((*DROP[1:], "--merge-wait-s", "1e300"), OPERATOR, "Give 0 to 172,800 seconds."),
    (
        ("create", "meta", "Meta", "pixel_id=12345", "url=http://x/?a=1", "--secret-file=secret"),
        OPERATOR,
        "has a query",
    ),
    ((*DROP[1:], "--batch-wait-s", "nan"), OPERATOR, "batch_wait_s nan is no time"),
    ((*DROP[1:], "--value-times", "0"), OPERATOR, "value_times 0.0 is no factor"),
    ((*DROP[1:], "--value-times", "inf"), OPERATOR, "value_times inf is no factor"),
    ((*DROP[1:], "--batch-events", "10001"), OPERATOR, "Give 1 to 10,000"),
    ((*DROP[1:], "--in-flight", "65"), OPERATOR, "Give 1 to 64"),
    ((*DROP[1:], "--rename", "Lead"), USAGE, "NAME=VALUE"),
    ((*DROP[1:], "--rename", "Lead="), OPERATOR, "Write OLD=NEW."),
    (("show", "Warehouse"), OPERATOR, "There is no destination 'Warehouse'."),
]


@pytest.mark.parametrize(("arguments", "code", "said"), _WRONG, ids=lambda value: str(value)[:40])
def test_what_cannot_be_meant_is_said_and_not_kept(
    tmp_path: Path, catalog: Catalog, arguments: Sequence[str], code: int, said: str
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    done = doublet(tmp_path, "destination", *arguments)
    assert (code, "") == (done.returncode, done.stdout)
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert [] == catalog.destinations()


def test_two_destinations_do_not_share_a_name(tmp_path: Path, catalog: Catalog) -> None:
    shown(tmp_path, *DROP)
    assert OPERATOR == doublet(tmp_path, *DROP).returncode
    shown(tmp_path, "destination", "create", "drop", "Other", "folder=/var/other")
    done = doublet(tmp_path, "destination", "edit", "Other", "--name", "Warehouse")
    assert (OPERATOR, True) == (done.returncode, "already" in done.stderr)
