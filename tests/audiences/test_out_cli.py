"""`doublet audience share`, `push`, `export` and `webhook` as people and programs use them."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.audiences.rule import parse_audience_rule
from doublet.catalog import Audience, Catalog
from doublet.products.audiences import Interest, rule_of
from doublet.settings import Settings
from tests.audiences.graph_host import ACCOUNT as REMOTE
from tests.audiences.graph_host import TOKEN, graph_host
from tests.factories import sha256
from tests.imports.calling import run

NAME = "Cart people"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three who put a rope into the cart, one of whom bought it."""
    catalog = Catalog(Settings(data=tmp_path).catalog_url)
    catalog.migrate()
    account = catalog.create_account("Shop", "Europe/Berlin", "EUR")
    pixel, _ = catalog.create_pixel(account.account_id, "Shop")
    rule = rule_of(["rope"], Interest(did="AddToCart"), [pixel.pixel_id])
    parse_audience_rule(rule)
    wanted = Audience("", account.account_id, NAME, "WEBSITE", rule=rule, retention_days=30)
    catalog.audiences.create(wanted)
    catalog.close()
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() - 86_400))
    rows = [
        *(f"{at},{who}@x.example,AddToCart,5,rope" for who in "abc"),
        f"{at},d@x.example,AddToCart,5,tent",
        f"{at},c@x.example,Purchase,5,rope",
    ]
    file = tmp_path / "events.csv"
    file.write_text("\n".join(["time,email,event,total,content_ids", *rows, ""]), "utf-8")
    maps = ("time=event_time", "event=event_name", "total=value", "content_ids=content_ids")
    options = [each for pair in maps for each in ("--map", pair)]
    run(tmp_path, "import", "events.csv", "--yes", "--set", "action_source=website", *options)
    (tmp_path / "token").write_text(f"{TOKEN}\n", "utf-8")
    return tmp_path


def emails(*who: str) -> set[str]:
    return {sha256(f"{each}@x.example") for each in who}


def listed(folder: Path, *command: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(folder, "audience", *command, "--json").stdout)
    return found


def test_an_audience_is_exported(folder: Path) -> None:
    text = run(folder, "audience", "export", NAME).stdout
    assert emails("a", "b") == {row["EMAIL"] for row in csv.DictReader(io.StringIO(text))}
    run(folder, "audience", "export", NAME, "--output", str(folder / "made.parquet"))
    assert b"PAR1" == (folder / "made.parquet").read_bytes()[:4]
    assert 0o600 == (folder / "made.parquet").stat().st_mode & 0o777
    unknown = run(folder, "audience", "export", "Nobody", code=3)
    assert "There is no audience 'Nobody'" in unknown.stderr
    run(folder, "audience", "export", NAME, "--format", "parquet", code=2)


def test_an_audience_is_shared_pushed_and_taken_back(folder: Path) -> None:
    with graph_host() as host:
        share = ("audience", "share", NAME, "--url", host.url, "--secret-file", "token")
        run(folder, *share, code=2)
        run(folder, *share, "--to-account", "five", code=2)
        done = run(folder, *share, "--to-account", REMOTE)
        assert "is given to" in done.stdout
        again = run(folder, *share, "--to-account", REMOTE, code=3)
        assert "shared with that place already" in again.stderr
        (shown,) = listed(folder, "shares")
        assert ("on", 0, "") == (shown["state"], shown["persons"], shown["last_push"])
        assert "secret" not in shown
        pushed = run(folder, "audience", "push", shown["share_id"])
        assert "2 persons given, 0 taken back" in pushed.stdout
        assert emails("a", "b") == host.emails()
        assert "Nothing has changed" in run(folder, "audience", "push", shown["share_id"]).stdout
        host.faults = [(401, {"error": {"code": 190, "message": f"Bad {TOKEN}"}})]
        run(folder, "audience", "unshare", shown["share_id"])
        failed = run(folder, "audience", "push", shown["share_id"], code=5)
        assert "The other server said: 190 Bad …" in failed.stderr
        assert "ending" == listed(folder, "shares")[0]["state"]
        run(folder, "audience", "push", shown["share_id"])
        assert set() == host.emails()
    assert [] == listed(folder, "shares")


def test_a_share_is_paused_and_forgotten(folder: Path) -> None:
    with graph_host() as host:
        run(
            *(folder, "audience", "share", NAME, "--url", host.url, "--to-account", REMOTE),
            *("--secret-file", "token", "--name", "Theirs"),
        )
        (shown,) = listed(folder, "shares")
        run(folder, "audience", "pause", shown["share_id"])
        run(folder, "audience", "push", shown["share_id"])
        assert not host.lists
        run(folder, "audience", "pause", shown["share_id"], "--resume")
        run(folder, "audience", "push", shown["share_id"])
        assert ["Theirs"] == [each["name"] for each in host.lists.values()]
        run(folder, "audience", "unshare", shown["share_id"], "--keep")
        assert emails("a", "b") == host.emails()
    assert [] == listed(folder, "shares")


def test_webhooks_are_made_listed_and_removed(folder: Path) -> None:
    secret = folder / "secret"
    secret.write_text("whsec_c2hvcnQ=\n", "utf-8")
    create = ("audience", "webhook", "create", "http://127.0.0.1:9/hook", "--secret-file", "secret")
    assert "Standard Webhooks" in run(folder, *create, code=3).stderr
    secret.write_text("whsec_" + "A" * 43 + "=\n", "utf-8")
    run(folder, *create, "--audience", NAME)
    (shown,) = listed(folder, "webhook", "list")
    assert ("new", 0) == (shown["state"], shown["delivered"])
    run(folder, "audience", "webhook", "pause", shown["webhook_id"])
    assert "paused" == listed(folder, "webhook", "list")[0]["state"]
    run(folder, "audience", "webhook", "remove", shown["webhook_id"])
    assert [] == listed(folder, "webhook", "list")
    changes = Catalog(Settings(data=folder).catalog_url)
    assert {"webhook.created", "webhook.paused", "webhook.removed"} <= {
        change.what for change in changes.changes.newest()
    }
    text = msgspec.json.encode(changes.changes.newest()).decode()
    assert "whsec" not in text
    changes.close()
