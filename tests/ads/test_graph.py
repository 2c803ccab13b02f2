"""Imports from a Graph Insights API over real sockets: paged, cut off, throttled, gone on."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from doublet.ads import graph_run
from doublet.ads.graph import ATTEMPTS_MAX, WINDOWS, Asked, GraphHost
from doublet.ads.graph_run import GraphPlan, Outcome, import_days
from doublet.catalog import Account
from doublet.errors import DestinationError, DoubletError, OperatorError
from doublet.rounds import Freshener
from doublet.settings import Settings
from tests.ads.host import (
    ADS,
    FIRST,
    TOKEN,
    Host,
    error,
    hang_up,
    host,
    only_where_places_are,
    too_much,
    without_cursor,
)
from tests.ads.test_import import account, records
from tests.imports.calling import run

__all__ = ["account"]

DAYS = 10
LAST = FIRST + timedelta(days=DAYS - 1)


def plan_of(url: str, owner: Account, **changed: Any) -> GraphPlan:
    asked = Asked("act_77", "ad", FIRST, LAST)._replace(**changed)
    return GraphPlan(url, asked, owner, "meta")


def bring(folder: Path, url: str, owner: Account, slept: list[float] | None = None) -> Outcome:
    sleep: Callable[[float], None] = (slept if slept is not None else []).append
    with GraphHost(url, TOKEN, sleep) as opened:
        return import_days(Settings(data=folder), opened, plan_of(url, owner))


def days(folder: Path) -> list[dict[str, Any]]:
    freshener = Freshener(Settings(data=folder))
    try:
        freshener.freshen()
        return freshener.engine.query("select * from ad_days order by date, ad_id")
    finally:
        freshener.close()


def test_all_pages_of_all_days_come_once(tmp_path: Path, account: Account) -> None:
    with host() as serving:
        assert Outcome(DAYS * ADS, 0, [], False, 0, {}) == bring(tmp_path, serving.url, account)
    first = serving.asked[0]
    assert ("ad", "1", list(WINDOWS)) == (
        first["level"],
        first["time_increment"],
        json.loads(first["action_attribution_windows"]),
    )
    found = days(tmp_path)
    assert [(FIRST + timedelta(days=n // ADS), f"a{n % ADS}") for n in range(DAYS * ADS)] == [
        (row["date"], row["ad_id"]) for row in found
    ]
    row = found[0]
    assert ("meta", "ad", "Spring", 1000, 20, 900, 10.5, "EUR", "Europe/Berlin") == (
        *(row[name] for name in ("platform", "level", "campaign_name", "impressions", "clicks")),
        *(row["reach"], float(row["spend"]), row["currency"], row["time_zone"]),
    )
    assert json.loads(row["reported"]) == {
        "link_click": {"value": {"count": "18"}},
        "purchase": {
            "value": {"count": "3", "value": "150.5"},
            "7d_click": {"count": "2", "value": "99.5"},
            "1d_view": {"count": "1"},
        },
    }


def test_figures_that_were_corrected_replace_the_earlier(tmp_path: Path, account: Account) -> None:
    with host() as serving:
        bring(tmp_path, serving.url, account)
        serving.spend = 11
        assert not bring(tmp_path, serving.url, account).is_resumed
    assert {11.5} == {float(row["spend"]) for row in days(tmp_path)}
    assert DAYS * ADS == len(days(tmp_path))


@pytest.mark.parametrize(
    "fault",
    [
        *(error(400, code, message="Too many calls") for code in (4, 17, 613, 80_000)),
        *(error(status, 1) for status in (500, 503)),
        error(429, 0),
        hang_up,
    ],
)
def test_what_fails_for_now_is_asked_again(tmp_path: Path, account: Account, fault: Any) -> None:
    slept: list[float] = []
    with host(None, fault, fault, None, fault) as serving:
        done = bring(tmp_path, serving.url, account, slept)
    assert (DAYS * ADS, 0) == (done.rows, done.left_out)
    assert 3 == len(slept)
    assert DAYS * ADS == len(days(tmp_path))


def test_the_host_says_how_long_to_wait(tmp_path: Path, account: Account) -> None:
    slept: list[float] = []
    with host(error(429, 17, retry_after="7")) as serving:
        bring(tmp_path, serving.url, account, slept)
    assert [7.0] == slept


@pytest.mark.parametrize("good", [0, 1, 5, 9])
def test_an_import_that_was_cut_off_goes_on_where_it_ended(
    tmp_path: Path, account: Account, good: int
) -> None:
    broken = [error(500, 2)] * ATTEMPTS_MAX
    with host(*[None] * good, *broken) as serving:
        with pytest.raises(DestinationError, match="does not answer"):
            bring(tmp_path, serving.url, account)
        asked = len(serving.asked)
        done = bring(tmp_path, serving.url, account)
        again = bring(tmp_path, serving.url, account)
    assert (DAYS * ADS, good > 0, False) == (done.rows, done.is_resumed, again.is_resumed)
    # 7 days are 11 pages of 2 rows, 3 days 5; what was durable is not asked for again.
    assert (asked - ATTEMPTS_MAX, 16 - good) == (good, len(serving.asked) - asked - 16)
    assert 2 * DAYS * ADS == len(records(tmp_path))


def test_what_was_cut_off_before_its_place_was_kept_comes_twice_and_counts_once(
    tmp_path: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, kept = graph_run._keep, []

    def die(file: Path, state: graph_run.State) -> None:
        kept.append(state.rows)
        if len(kept) == 3:
            raise KeyboardInterrupt
        keep(file, state)

    with host() as serving:
        with monkeypatch.context() as patch:
            patch.setattr(graph_run, "_keep", die)
            with pytest.raises(KeyboardInterrupt):
                bring(tmp_path, serving.url, account)
        assert bring(tmp_path, serving.url, account).is_resumed
    assert DAYS * ADS + 2 == len(records(tmp_path))
    assert DAYS * ADS == len(days(tmp_path))


def test_what_was_cut_off_long_ago_begins_anew(
    tmp_path: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    with host(None, error(403, 200)) as serving:
        with pytest.raises(OperatorError, match="does not let the token"):
            bring(tmp_path, serving.url, account)
        monkeypatch.setattr(graph_run, "STALE_S", 0.0)
        assert not bring(tmp_path, serving.url, account).is_resumed
        assert not list(tmp_path.glob("run/graph_import_*"))
    assert 2 + DAYS * ADS == len(records(tmp_path))


@pytest.mark.parametrize("good", [1, 5, 11, 13])
def test_an_import_of_the_latest_days_goes_on_after_midnight(
    tmp_path: Path, account: Account, good: int
) -> None:
    def latest(owner: Account, url: str, last: date) -> Outcome:
        plan = plan_of(url, owner, since=last - timedelta(days=8), until=last)
        with GraphHost(url, TOKEN, lambda _: None) as opened:
            return import_days(Settings(data=tmp_path), opened, plan._replace(dated=False))

    with host(*[None] * good, error(403, 200)) as serving:
        with pytest.raises(OperatorError, match="does not let the token"):
            latest(account, serving.url, LAST - timedelta(days=1))
        done = latest(account, serving.url, LAST)
    # Nothing that was durable is asked for again, and the new day is there too.
    assert (True, DAYS * ADS) == (done.is_resumed, len(records(tmp_path)))
    assert DAYS * ADS == len(days(tmp_path))
    assert not list(tmp_path.glob("run/graph_import_*"))


def test_less_is_asked_where_it_was_too_much(tmp_path: Path, account: Account) -> None:
    with host(*[too_much(2)] * 100) as serving:
        assert DAYS * ADS == bring(tmp_path, serving.url, account).rows
    refused = pytest.raises(DestinationError, match="as much as 2026-05-01 has")
    with host(*[too_much(0)] * 100) as serving, refused:
        bring(tmp_path, serving.url, account)


def test_a_place_that_the_host_forgot_is_begun_anew(tmp_path: Path, account: Account) -> None:
    with host(None, None, error(400, 100, message="Invalid cursor")) as serving:
        assert DAYS * ADS + 4 == bring(tmp_path, serving.url, account).rows
    assert DAYS * ADS == len(days(tmp_path))


def test_a_host_that_rejects_its_own_place_ends_the_import(
    tmp_path: Path, account: Account
) -> None:
    refused = pytest.raises(DestinationError, match="forgets its own place")
    with host(*[only_where_places_are] * 100) as serving, refused:
        bring(tmp_path, serving.url, account)
    assert 4 == len(serving.asked)


def test_a_part_does_not_pass_for_the_whole(tmp_path: Path, account: Account) -> None:
    with host(without_cursor) as serving, pytest.raises(DestinationError, match="no cursor"):
        bring(tmp_path, serving.url, account)


def test_rows_of_several_days_are_left_out_and_told(
    tmp_path: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Host.row

    def long_row(self: Host, day: date, ad: int) -> dict[str, Any]:
        return {**row(self, day, ad), "date_stop": (day + timedelta(6)).isoformat()}

    monkeypatch.setattr(Host, "row", long_row)
    with host() as serving:
        done = bring(tmp_path, serving.url, account)
    assert (0, DAYS * ADS) == done[:2]
    assert "from 2026-05-01 to 2026-05-07" in done.why[0]


@pytest.mark.parametrize(
    ("token", "ad_account", "fault", "kind", "words"),
    [
        ("wrong", "act_77", None, OperatorError, "does not let the token"),
        (TOKEN, "77", None, OperatorError, "with act_"),
        (TOKEN, "act_77", error(400, 100, message="No such field"), DestinationError, "No such"),
        (TOKEN, "act_77", error(302, 0, location="http://127.0.0.1:9/"), DestinationError, "302"),
    ],
)
def test_what_stays_broken_ends_it_with_what_to_do(
    tmp_path: Path,
    account: Account,
    token: str,
    ad_account: str,
    fault: Any,
    kind: type[DoubletError],
    words: str,
) -> None:
    with host(fault) as serving, GraphHost(serving.url, token) as opened:
        plan = plan_of(serving.url, account, ad_account=ad_account)
        with pytest.raises(kind) as raised:
            import_days(Settings(data=tmp_path), opened, plan)
    assert words in f"{raised.value.message} {raised.value.hint}"
    assert raised.value.hint


def test_a_row_that_is_none_is_left_out_and_told(
    tmp_path: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Host.row

    def bad_row(self: Host, day: date, ad: int) -> dict[str, Any]:
        found = row(self, day, ad)
        return {**found, "ad_id": ""} if (day, ad) == (FIRST, 1) else found

    monkeypatch.setattr(Host, "row", bad_row)
    with host() as serving:
        done = bring(tmp_path, serving.url, account)
    assert (DAYS * ADS - 1, 1, 1000, {"EUR": "10.5"}) == (
        *done[:2],
        done.left_out_impressions,
        done.left_out_spend,
    )
    (why,) = done.why
    assert why.startswith("A row of level ad needs ad_id.")
    assert "--level campaign or --level adset" in why


def test_what_was_left_out_is_counted_over_a_cut(
    tmp_path: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Host.row
    told: list[dict[str, Any]] = [
        {"spend": "x", "impressions": None},
        {"account_currency": "zł"},
        {},
    ]

    def bad_row(self: Host, day: date, ad: int) -> dict[str, Any]:
        return {**row(self, day, ad), "ad_id": "", **told[ad]}

    monkeypatch.setattr(Host, "row", bad_row)
    with host(None, None, None, error(403, 200)) as serving:
        with pytest.raises(OperatorError, match="does not let the token"):
            bring(tmp_path, serving.url, account)
        done = bring(tmp_path, serving.url, account)
    assert (True, 0, DAYS * ADS) == (done.is_resumed, *done[:2])
    assert (DAYS * 2000, {"": "105", "EUR": "105"}) == done[4:]


def test_the_command_tells_what_is_left_out(
    tmp_path: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Host.row

    def bad_row(self: Host, day: date, ad: int) -> dict[str, Any]:
        return {**row(self, day, ad), "ad_id": ""}

    monkeypatch.setattr(Host, "row", bad_row)
    token = tmp_path / "token.txt"
    token.write_text(TOKEN)
    span = (f"--since={FIRST}", f"--until={FIRST}")
    with host() as serving:
        given = ("ads", "import-graph", f"--url={serving.url}", "--ad-account=act_77", *span)
        done = run(tmp_path, *given, f"--token-file={token}")
    assert "3 left out, with 31.5 EUR and 3,000 impressions." in done.stdout
    assert "--level campaign" in " ".join(done.stderr.split())


def test_what_a_host_says_is_cut_between_words(tmp_path: Path, account: Account) -> None:
    said = "unknown account " * 40
    refused = pytest.raises(DestinationError, match=r" (account|unknown) …\)\.")
    with host(error(400, 100, message=said)) as serving, refused as raised:
        bring(tmp_path, serving.url, account)
    assert "--ad-account" in str(raised.value.hint)


def test_the_command_imports_and_says_what_it_did(tmp_path: Path, account: Account) -> None:
    token = tmp_path / "token.txt"
    token.write_text(TOKEN)
    span = (f"--since={FIRST}", f"--until={LAST}")
    with host() as serving:
        given = ("ads", "import-graph", f"--url={serving.url}", "--ad-account=act_77", *span)
        done = run(tmp_path, *given, f"--token-file={token}")
        assert f"30 rows from {FIRST} to {LAST} imported." in done.stdout
        adsets = run(tmp_path, *given, f"--token-file={token}", "--level=adset", "--json")
        assert 30 == json.loads(adsets.stdout)["rows"]
    asked = serving.asked[-1]
    assert ("adset", False) == (asked["level"], "ad_id" in asked["fields"])
    rows = json.loads(run(tmp_path, "ads", "list", "--level=campaign", "--json").stdout)
    assert [(315, 10)] == [(row["spend"], row["days"]) for row in rows]
