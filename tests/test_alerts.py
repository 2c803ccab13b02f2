"""Alerts: what is found unusual, how it is written down, how it is told."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import msgspec
import pytest

from doublet.alerting import Watch, channels_of
from doublet.alerts.book import BACK_FOR, Alert, as_alert, note
from doublet.alerts.tell import Delivered, email, tell, webhook
from doublet.alerts.watch import (
    STEP_S,
    Finding,
    Series,
    Share,
    Steps,
    look,
    look_at_share,
    look_at_volume,
    read_shares,
    read_volumes,
)
from doublet.catalog import Catalog
from doublet.errors import SettingsError
from doublet.settings import Settings
from tests.dashboard import Site
from tests.factories import Pipeline, make_record
from tests.server import free_port

SERIES = Series("volume", "1", "Purchase", "browser")
WEEK = 7 * 86_400 // STEP_S
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
END = int(NOW.timestamp()) // STEP_S


def steady(per_step: int, begin: int, end: int, seed: int = 1) -> dict[int, int]:
    """Counts that vary a little around `per_step`."""
    rng = random.Random(seed)
    return {step: per_step + rng.randrange(-2, 3) for step in range(begin, end)}


# --- what is unusual -------------------------------------------------------------------------


def test_a_steady_series_is_usual_and_one_that_falls_silent_is_not() -> None:
    counts = steady(10, END - 5 * WEEK, END)
    assert look_at_volume(SERIES, Steps(counts), END) is None
    silent = {step: count for step, count in counts.items() if step < END - 6}
    found = look_at_volume(SERIES, Steps(silent | {END: 0}), END)
    assert found is not None
    assert (0, 1800) == (found.seen, found.window_s)
    assert found.is_low
    assert 57 < found.band.expected < 63


def test_twice_as_many_are_too_many_but_a_little_more_is_not() -> None:
    counts = steady(100, END - 5 * WEEK, END)
    doubled = {step: count * (3 if step >= END - 6 else 1) for step, count in counts.items()}
    found = look_at_volume(SERIES, Steps(doubled), END)
    assert found is not None
    assert not found.is_low
    more = {step: count * (1.5 if step >= END - 6 else 1) for step, count in counts.items()}
    assert look_at_volume(SERIES, Steps({s: round(c) for s, c in more.items()}), END) is None


def test_nothing_is_unusual_before_there_are_two_weeks_to_compare() -> None:
    counts = steady(10, END - 2 * WEEK, END - 12) | {END: 0}
    assert look_at_volume(SERIES, Steps(counts), END) is None


def test_a_growing_shop_is_compared_with_its_own_level() -> None:
    counts = {step: round(20 * 1.4 ** ((step - END) / WEEK)) for step in range(END - 5 * WEEK, END)}
    assert look_at_volume(SERIES, Steps(counts), END) is None


def test_a_share_that_breaks_is_found() -> None:
    cases = steady(10, END - 5 * WEEK, END)
    usual = {step: round(count * 0.8) for step, count in cases.items()}
    assert look_at_share(SERIES, Share(Steps(usual), Steps(cases)), END) is None
    broken = {step: 0 if step >= END - 72 else hits for step, hits in usual.items()}
    found = look_at_share(SERIES, Share(Steps(broken), Steps(cases)), END)
    assert found is not None
    assert 0.0 == found.seen
    assert 0.7 < found.band.expected < 0.9


# --- from the models -------------------------------------------------------------------------


def fill(pipeline: Pipeline, since: datetime, until: datetime, silent_since: datetime) -> None:
    """A sale every three minutes, both sides; the browser falls silent."""
    records = []
    moment, number = since, 0
    while moment < until:
        at = round(moment.timestamp() * 1e6)
        fields: dict[str, Any] = {"event_id": f"order.{number}"}
        if moment < silent_since:
            records.append(make_record(at, "browser", **fields))
        records.append(make_record(at + 1, "server", **fields))
        moment += timedelta(minutes=3)
        number += 1
    pipeline.append(records)
    pipeline.refresh()


@pytest.mark.slow
def test_a_browser_that_falls_silent_is_found_in_the_models(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    silent = NOW - timedelta(hours=2, minutes=30)
    fill(pipeline, NOW - timedelta(days=30), NOW, silent)
    engine = pipeline.engine
    assert [] == look(read_volumes(engine, silent), read_shares(engine, silent), silent)
    found = look(read_volumes(engine, NOW), read_shares(engine, NOW), NOW)
    assert {("volume", "browser"), ("deduplication", "server")} == {
        (f.series.measure, f.series.source) for f in found
    }
    pipeline.close()


# --- written down and told -------------------------------------------------------------------


class Book:
    """A catalog with one pixel, and what is unusual in it."""

    def __init__(self, folder: Path) -> None:
        self.catalog = Catalog(f"sqlite:///{folder / 'catalog.sqlite'}")
        self.catalog.migrate()
        account = self.catalog.create_account("Shop")
        self.pixel, self.token = self.catalog.create_pixel(account.account_id, "Site")
        self.owners = {self.pixel.pixel_id: account.account_id}

    def note(self, now: datetime, *names: str) -> None:
        """A look at `now` in which these events had fallen silent."""
        counts = steady(10, END - 5 * WEEK, END - 6) | {END: 0}
        found = []
        for name in names:
            series = Series("volume", self.pixel.pixel_id, name, "browser")
            finding = look_at_volume(series, Steps(counts), END)
            assert isinstance(finding, Finding)
            found.append(finding)
        note(self.catalog, found, self.owners, now)

    @property
    def alerts(self) -> list[Alert]:
        """All alerts, newest first."""
        return [as_alert(row) for row in self.catalog.alerts()]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path)
    yield made
    made.catalog.close()


def test_an_alert_stays_one_while_it_lasts_and_closes_when_all_is_usual_again(book: Book) -> None:
    for minutes in (0, 5, 10):
        book.note(NOW + timedelta(minutes=minutes), "Purchase")
    (alert,) = book.alerts
    assert (NOW, None) == (alert.opened_at, alert.closed_at)
    assert "Purchase from the browser: 0 in 0.5 h, usually about 57" in alert.sentence
    back = NOW + timedelta(minutes=15)
    book.note(back)
    assert book.alerts[0].closed_at is None
    book.note(back + BACK_FOR)
    assert back + BACK_FOR == book.alerts[0].closed_at
    book.note(back + 2 * BACK_FOR, "Purchase")
    assert 2 == len(book.alerts)


def test_a_pixel_that_nobody_owns_raises_nothing(book: Book) -> None:
    book.owners = {}
    book.note(NOW, "Purchase")
    assert [] == book.alerts


@contextmanager
def receiving(status: int = 200) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A web server that keeps what is posted to it."""
    got: list[tuple[dict[str, str], bytes]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/alerts", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_webhook_is_signed_and_told_once_when_it_opens_and_when_it_closes(
    book: Book, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    book.note(NOW, "Purchase")
    with receiving() as (url, got):
        channels = [webhook(url, secret)]
        assert (1, 0) == (tell(book.catalog, channels), tell(book.catalog, channels))
        book.note(NOW + BACK_FOR)
        assert (1, 0) == (tell(book.catalog, channels), tell(book.catalog, channels))
    headers, body = got[0]
    expected = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert f"sha256={expected}" == headers["x-doublet-signature"]
    assert ["opened", "closed"] == [json.loads(body)["state"] for _, body in got]
    assert book.pixel.pixel_id == json.loads(body)["pixel_id"]


def test_what_cannot_be_delivered_is_tried_again(book: Book) -> None:
    book.note(NOW, "Purchase")
    with receiving(500) as (url, got):
        assert 0 == tell(book.catalog, [webhook(url, None)])
    assert 1 == len(got)
    with receiving() as (url, got):
        assert 1 == tell(book.catalog, [webhook(url, None)])
    assert 1 == len(got)


def test_a_channel_that_is_away_repeats_nothing_to_the_others(book: Book) -> None:
    away = email(f"smtp://127.0.0.1:{free_port()}", "d@shop", "ops@shop")
    delivered: Delivered = set()
    book.note(NOW, "Purchase", "Lead")
    with receiving() as (url, got):
        channels = [away, webhook(url, None)]
        assert (0, 0) == tuple(tell(book.catalog, channels, delivered) for _ in range(2))
        assert 2 == len(got)
        assert 2 == tell(book.catalog, channels[1:], delivered)
    assert 2 == len(got)
    assert set() == delivered


def test_a_message_that_is_refused_holds_up_no_other(book: Book) -> None:
    book.note(NOW, "Purchase", "Lead")
    with receiving(400) as (url, got):
        assert 0 == tell(book.catalog, [webhook(url, None)])
    assert 2 == len(got)


class Mailbox(socketserver.StreamRequestHandler):
    """Enough of a mail server (RFC 5321) to take messages."""

    got: ClassVar[list[str]] = []

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline().strip().upper():
            if line == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                text = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    text += part
                self.got.append(text.decode())
            self.wfile.write(b"221 bye\r\n" if line == b"QUIT" else b"250 fine\r\n")
            if line == b"QUIT":
                return


def test_an_e_mail_says_what_is_unusual_and_no_name_becomes_a_header(book: Book) -> None:
    Mailbox.got = []
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        book.note(NOW, "Sale\r\nBcc: all@example.com")
        channel = email(
            f"smtp://127.0.0.1:{server.server_address[1]}", "d@shop", "ops@shop, b@shop"
        )
        assert 1 == tell(book.catalog, [channel])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    (mail,) = Mailbox.got
    head, _, text = mail.partition("\r\n\r\n")
    assert "To: ops@shop, b@shop" in head
    assert "\r\nBcc:" not in head
    assert "usually about 57" in text.replace("=\r\n", "")


def test_settings_that_name_no_mail_server_or_secret_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no address of a mail server"):
        email("mail.example", "a@b", "c@d")
    for url in ("chat.example/hook", "ftp://chat.example", "http://[::1", "https://a:port/"):
        with pytest.raises(SettingsError, match="alert_webhook_url is no address"):
            webhook(url, None)
    for half in ({"alert_smtp_url": "smtp://mail.example"}, {"alert_email_to": "ops@shop"}):
        with pytest.raises(SettingsError, match="only one is set"):
            channels_of(msgspec.structs.replace(Settings(data=tmp_path), **half))
    with pytest.raises(SettingsError, match="cannot be read"):
        webhook("http://127.0.0.1/", tmp_path / "missing")


@pytest.mark.slow
def test_the_watch_looks_tells_and_the_page_shows_it(tmp_path: Path) -> None:
    site = Site(tmp_path)
    try:
        pixel_id = site.ours.pixel_id
        assert "Nothing unusual" in site.get("/alerts", site.ours).text
        counts = steady(10, END - 5 * WEEK, END - 6) | {END: 0}
        with site.pipeline.engine.transaction() as tx:
            # The watch reads nothing of a copy but these columns.
            tx.run(
                "insert into copies (pixel_id, event_name, source, received_at, event_time) "
                "select $pixel, 'Purchase', 'browser', to_timestamp(step * 300 + 1), step * 300 "
                "from (select unnest($steps) as step, unnest($counts) as copies), range(copies)",
                {"pixel": pixel_id, "steps": list(counts), "counts": list(counts.values())},
            )
        with receiving() as (url, got):
            settings = Settings(
                data=tmp_path,
                catalog=site.catalog.url,
                alert_webhook_url=url,
            )
            watch = Watch(site.pipeline.engine, settings)
            watch.look(NOW)
        assert 1 == len(got)
        (alert,) = site.get("/alerts.json", site.ours).json()
        assert ("volume", "Purchase", None) == (
            alert["measure"],
            alert["event_name"],
            alert["closed_at"],
        )
        assert alert["sentence"] in site.get("/alerts", site.ours).text
        assert [] == site.get("/alerts.json", site.theirs).json()
        assert 401 == httpx.get(f"{site.url}/alerts.json").status_code
    finally:
        site.close()
