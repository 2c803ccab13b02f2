"""`doublet audience …`: audiences made, listed, shown, filled from files and deleted."""

from __future__ import annotations

import csv
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from doublet.audiences.presets import PRESETS
from doublet.catalog import Account, Catalog
from doublet.cli import app
from doublet.cli.audience_upload import audience_upload
from doublet.errors import DoubletError, OperatorError, SenderError
from doublet.settings import Settings
from tests.factories import sha256

ROWS = [
    ["Anna@Example.com", "Anna", "+49 170 1234567", "12.5", "blue"],
    ["ben@example.com", "Ben", "", "7", "red"],
    ["ben at home", "", "", "", "green"],
    ["", "", "", "", "grey"],
    ["Anna@Example.com", "Anna", "+49 170 1234567", "20", "blue"],
]


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog(Settings(data=tmp_path).catalog_url)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def account(catalog: Catalog) -> Account:
    made = catalog.create_account("Shop")
    catalog.create_pixel(made.account_id, "Site")
    return made


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    path = tmp_path / "customers.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["E-Mail", "First name", "Mobile", "LTV", "Colour"])
        writer.writerows(ROWS)
    return path


def run(tmp_path: Path, *arguments: str, given: str = "") -> str:
    """What a command prints. Raises what it raises."""
    done = CliRunner().invoke(
        app,
        ["audience", *arguments, "--data", str(tmp_path)],
        input=given,
        catch_exceptions=False,
    )
    assert 0 == done.exit_code, done.output
    return done.stdout


def told(tmp_path: Path, *arguments: str, given: str = "") -> Any:
    """The same for programs."""
    return json.loads(run(tmp_path, *arguments, "--json", given=given))


def test_an_audience_of_a_preset_is_an_ordinary_rule(
    tmp_path: Path, catalog: Catalog, account: Account
) -> None:
    made = told(
        *(tmp_path, "create", "Left the cart", "--preset", "carted_not_bought"),
        *("--with", "days=7", "--description", "For ads"),
    )
    (found,) = catalog.audiences.all(account.account_id)
    assert (made["audience_id"], "WEBSITE", "carted_not_bought", 7, True, "For ads") == (
        found.audience_id,
        found.subtype,
        found.preset,
        found.retention_days,
        found.prefill,
        found.description,
    )
    (choice,) = json.loads(found.rule)["inclusions"]["rules"]
    assert 7 * 86_400 == choice["retention_seconds"]
    (pixel,) = catalog.pixels(account.account_id)
    assert [{"id": pixel.pixel_id, "type": "pixel"}] == choice["event_sources"]
    (change,) = catalog.changes.newest()
    assert ("operator", "audience.created", "Left the cart") == (
        change.who,
        change.what,
        change.target,
    )


def test_the_presets_are_listed_with_their_parameters(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["audience", "presets", "--json"], catch_exceptions=False)
    assert [preset.name for preset in PRESETS] == [each["name"] for each in json.loads(done.stdout)]
    plain = CliRunner().invoke(app, ["audience", "presets"], catch_exceptions=False).stdout
    assert "carted_not_bought" in plain
    assert "days=14" in plain
    # One line each: nothing is cut.
    assert all(preset.words in plain for preset in PRESETS)


def test_a_rule_of_one_s_own_is_read_from_a_file_or_from_what_is_piped(
    tmp_path: Path, catalog: Catalog, account: Account
) -> None:
    rule = json.dumps({"event": {"eq": "Lead"}})
    file = tmp_path / "rule.json"
    file.write_text(rule)
    run(tmp_path, "create", "A", "--rule", str(file), "--no-prefill", "--retention-days", "9")
    run(tmp_path, "create", "B", "--rule", "-", given=rule)
    a, b = (catalog.audiences.one(name, account.account_id) for name in ("A", "B"))
    assert (rule, 9, False) == (a.rule, a.retention_days, a.prefill)
    assert (rule, 30, True) == (b.rule, b.retention_days, b.prefill)


def test_a_lookalike_names_its_origin(tmp_path: Path, catalog: Catalog, account: Account) -> None:
    run(tmp_path, "create", "Customers", "--list", "--value-based")
    made = told(
        *(tmp_path, "create", "Alike", "--like", "Customers", "--ratio", "0.05"),
        *("--starting-ratio", "0.01", "--country", "de", "--country", "AT"),
    )
    origin, alike = (
        catalog.audiences.one(name, account.account_id) for name in ("Customers", "Alike")
    )
    assert made["origin_audience_id"] == origin.audience_id == alike.origin_audience_id
    assert alike.is_value_based
    assert {
        "ratio": 0.05,
        "starting_ratio": 0.01,
        "location_spec": {"geo_locations": {"countries": ["DE", "AT"]}},
    } == json.loads(alike.lookalike_spec)
    assert "Like Customers" in run(tmp_path, "show", "Alike")


WRONG: list[tuple[tuple[str, ...], type[DoubletError], str]] = [
    (("create", "A"), OperatorError, "not clear"),
    (("create", "A", "--list", "--preset", "buyers"), OperatorError, "not clear"),
    (("create", "A", "--list", "--with", "days=1"), OperatorError, "--with is for presets"),
    (("create", "A", "--preset", "byers"), SenderError, "buyers"),
    (("create", "A", "--preset", "buyers", "--with", "days"), OperatorError, "has no value"),
    (("create", "A", "--preset", "buyers", "--with", "days=x"), SenderError, "whole number"),
    (("create", "A", "--rule", "nowhere.json"), OperatorError, "no text file"),
    (("create", "A", "--like", "Nobody"), OperatorError, "no audience 'Nobody'"),
    (("create", "A", "--like", "B", "--ratio", "0.5"), SenderError, "ratio"),
    (("create", "A", "--like", "B", "--country", "XX"), SenderError, "no country"),
    (("create", "A", "--list", "--pixel", "12"), OperatorError, "has no pixel"),
    (("show", "Nobody"), OperatorError, "no audience 'Nobody'"),
    (("delete", "Nobody", "--yes"), OperatorError, "no audience 'Nobody'"),
]


@pytest.mark.parametrize(("arguments", "kind", "what"), WRONG, ids=lambda each: str(each)[:50])
@pytest.mark.usefixtures("account")
def test_what_cannot_be_made_says_why(
    tmp_path: Path, arguments: tuple[str, ...], kind: type[DoubletError], what: str
) -> None:
    with pytest.raises(kind) as caught:
        run(tmp_path, *arguments)
    assert what in str(caught.value)


def test_audiences_are_listed_with_their_people(
    tmp_path: Path, catalog: Catalog, account: Account
) -> None:
    run(tmp_path, "create", "Customers", "--list")
    (found,) = catalog.audiences.all(account.account_id)
    assert [None, "waiting"] == [told(tmp_path, "list")[0][key] for key in ("people", "state")]
    catalog.audiences.note_size(found.audience_id, 10, 12)
    catalog.audiences.note_state(found.audience_id, {"state": "ready", "message": ""})
    assert [
        {
            "id": found.audience_id,
            "name": "Customers",
            "subtype": "CUSTOM",
            "people": 12,
            "state": "ready",
            "account": account.account_id,
        }
    ] == told(tmp_path, "list")


def test_an_audience_is_shown_with_its_history_and_why_it_failed(
    tmp_path: Path, catalog: Catalog, account: Account
) -> None:
    run(tmp_path, "create", "Buyers", "--preset", "buyers")
    (found,) = catalog.audiences.all(account.account_id)
    now_s = int(time.time())
    for days, people in ((40, 9), (2, 10), (1, 1100), (0, 1200)):
        catalog.audiences.note_size(found.audience_id, now_s - days * 86_400, people)
    catalog.audiences.note_state(found.audience_id, {"state": "failed", "message": "No [b]room."})
    shown = told(tmp_path, "show", "Buyers")
    assert [10, 1100, 1200] == [people for _, people in shown["sizes"]]
    assert (1200, "failed") == (shown["people"], shown["status"]["state"])
    plain = run(tmp_path, "show", found.audience_id)
    assert "State: failed: No [b]room." in plain
    assert "People: 1,200" in plain
    assert "1,100" in plain


def test_a_lookalike_is_shown_with_how_it_was_chosen(
    tmp_path: Path, catalog: Catalog, account: Account
) -> None:
    run(tmp_path, "create", "Customers", "--list")
    run(tmp_path, "create", "Alike", "--like", "Customers")
    reached = [
        {
            **{"ratio": 0.01, "recall": 0.125, "recall_low": 0.1, "recall_high": 0.15},
            **{"lift": 12.5, "lift_low": 10.0, "lift_high": 15.0},
        }
    ]
    ways = [{"name": name, "reached": reached} for name in ("random", "boosting")]
    figures = {"learned_from": 2000, "judged_on": 150, "model": "boosting", "candidates": ways}
    alike = catalog.audiences.one("Alike", account.account_id)
    catalog.audiences.note_state(alike.audience_id, {"state": "ready", "figures": figures})
    shown = run(tmp_path, "show", "Alike")
    assert "Learned from 2,000 people, judged on 150; taken: boosting." in shown
    assert "boosting *" in shown
    assert "12.5% (10.0% to 15.0%)" in shown
    assert figures == told(tmp_path, "show", "Alike")["status"]["figures"]


def test_an_audience_is_deleted_when_somebody_says_so(
    tmp_path: Path, catalog: Catalog, account: Account
) -> None:
    run(tmp_path, "create", "Customers", "--list")
    with pytest.raises(OperatorError, match="Say --yes"):
        run(tmp_path, "delete", "Customers")
    run(tmp_path, "create", "Alike", "--like", "Customers")
    with pytest.raises(SenderError, match="lookalike 'Alike'"):
        run(tmp_path, "delete", "Customers", "--yes")
    for name in ("Alike", "Customers"):
        run(tmp_path, "delete", name, "--yes")
    assert [] == catalog.audiences.all(account.account_id)


# --- upload ----------------------------------------------------------------------------------


def kept(catalog: Catalog) -> dict[str, float | None]:
    """The identifiers that are in the one list, with the values of their rows."""
    (found,) = catalog.audiences.all()
    return {each: value for each, _, value in catalog.lists.keys(found.audience_id)}


def test_a_file_of_customers_is_hashed_and_put_into_the_list(
    tmp_path: Path, catalog: Catalog, account: Account, customers: Path
) -> None:
    run(tmp_path, "create", "Customers", "--list")
    shown = told(tmp_path, "upload", "Customers", str(customers))
    assert {
        "E-Mail": "EMAIL",
        "First name": "FN",
        "Mobile": "PHONE",
        "LTV": "LOOKALIKE_VALUE",
        "Colour": "",
    } == shown["columns"]
    assert (5, {"EMAIL: not usable": 1, "no value at all": 1}, 2) == (
        shown["rows"],
        shown["invalid"],
        shown["entries"],
    )
    found = kept(catalog)
    # The last value of a row that is there twice.
    assert (
        20.0 == found[f"em={sha256('anna@example.com')}"] == found[f"ph={sha256('491701234567')}"]
    )
    assert 7.0 == found[f"em={sha256('ben@example.com')}"]
    for path in tmp_path.glob("catalog*"):
        assert b"xample.com" not in path.read_bytes()
    change = catalog.changes.newest()[0]
    assert ("list.changed", {"change": "add", "rows": 5, "invalid": 2}) == (
        change.what,
        change.details,
    )
    # Again, in words: nothing changes.
    plain = run(tmp_path, "upload", "Customers", str(customers))
    assert "5 rows were read, 3 of use." in plain
    assert "Row 3: EMAIL 'aaa aa aaaa': not usable" in plain
    assert "Rows: 2." in plain
    assert found == kept(catalog)
    assert account.account_id


@pytest.mark.usefixtures("account")
def test_a_dry_run_changes_nothing(tmp_path: Path, catalog: Catalog, customers: Path) -> None:
    run(tmp_path, "create", "Customers", "--list")
    shown = told(tmp_path, "upload", "Customers", str(customers), "--dry-run")
    assert (5, 0) == (shown["rows"], shown["entries"])
    assert {} == kept(catalog)
    assert ["audience.created"] == [change.what for change in catalog.changes.newest()]


@pytest.mark.usefixtures("account")
def test_people_are_taken_out_and_a_list_replaced_by_a_file(
    tmp_path: Path, catalog: Catalog, customers: Path
) -> None:
    run(tmp_path, "create", "Customers", "--list")
    run(tmp_path, "upload", "Customers", str(customers))
    gone = tmp_path / "gone.csv"
    gone.write_text("Mail address\nben@example.com\n")
    run(tmp_path, "upload", "Customers", str(gone), "--remove")
    assert f"em={sha256('ben@example.com')}" not in kept(catalog)
    new = tmp_path / "new.jsonl"
    new.write_text(json.dumps({"kunde": sha256("eve@example.com"), "sku": 3}))
    run(tmp_path, "upload", "Customers", str(new), "--map", "kunde=EMAIL", "--replace")
    assert [f"em={sha256('eve@example.com')}"] == list(kept(catalog))
    assert "list.replaced" == catalog.changes.newest()[0].what


@pytest.mark.usefixtures("account")
def test_a_file_of_several_parts_is_read_whole(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(audience_upload.__globals__, "_BATCH_ROWS", 7)
    file = tmp_path / "many.csv"
    file.write_text("email\n" + "".join(f"user{n}@example.com\n" for n in range(50)) + "x\n")
    run(tmp_path, "create", "Customers", "--list")
    for option in ("--replace", "--no-remove"):
        shown = told(tmp_path, "upload", "Customers", str(file), option)
        assert (51, 50) == (shown["rows"], shown["entries"])
        assert ["Row 51: EMAIL 'a': not usable"] == shown["invalid_samples"]
    assert 50 == len(kept(catalog))


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("text", "arguments", "what"),
    [
        ("Colour\nblue\n", (), "No column is known"),
        ("Mail\nx\n", ("--map", "Post=EMAIL"), "names no column"),
        ("Mail\nx\n", ("--map", "Mail=SHOE"), "unknown column SHOE"),
        ("Mail\nx\n", ("--map", "Mail="), "No column is known"),
        ("email\n", (), "holds no rows"),
        ("email\nx\n", ("--remove", "--replace"), "exclude each other"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(
    tmp_path: Path, text: str, arguments: tuple[str, ...], what: str
) -> None:
    run(tmp_path, "create", "Customers", "--list")
    file = tmp_path / "file.csv"
    file.write_text(text)
    with pytest.raises(SenderError, match=what):
        run(tmp_path, "upload", "Customers", str(file), *arguments)


@pytest.mark.usefixtures("account")
def test_only_lists_are_filled(tmp_path: Path, customers: Path) -> None:
    run(tmp_path, "create", "Buyers", "--preset", "buyers")
    with pytest.raises(SenderError, match="no list of customers"):
        run(tmp_path, "upload", "Buyers", str(customers))


@pytest.mark.usefixtures("account")
def test_how_a_list_matches_is_said_once_the_worker_has_said_it(
    tmp_path: Path, catalog: Catalog, customers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(audience_upload.__globals__, "is_served", lambda _: True)
    run(tmp_path, "create", "Customers", "--list")
    (found,) = catalog.audiences.all()
    match = {
        **{"rows": 10, "matched": 6, "limited": 0, "no_key": 1, "opted_out": 1, "shared": 0},
        **{"unknown": 2, "persons": 5, "version": 1},
        "kinds": [{"kind": "em", "rows": 9, "matched": 6}],
    }

    def work() -> None:
        while catalog.lists.version(found.audience_id) < 1:
            time.sleep(0.01)
        catalog.audiences.note_state(found.audience_id, {"state": "ready", "match": match})

    worker = threading.Thread(target=work)
    worker.start()
    plain = run(tmp_path, "upload", "Customers", str(customers))
    worker.join()
    lines = [
        "Rows: 10, of which 6 match (60.0%): 5 people.",
        "2 are of nobody who was seen here.",
        "1 have nothing that names one person, such as an email or a phone number.",
        "1 are of people who withdrew consent.",
        "By em: 6 of 9 rows.",
    ]
    for text in (plain, run(tmp_path, "show", "Customers")):
        assert all(line in text for line in lines), text
    assert match == told(tmp_path, "show", "Customers")["status"]["match"]
