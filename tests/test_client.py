"""The client against a real server, in real frameworks, across processes and their ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from doublet.client import (
    ASGIMiddleware,
    Client,
    Event,
    GivenUp,
    Reader,
    WSGIMiddleware,
    hash_user_data,
    purchase,
)
from doublet.client.queue import Queue
from doublet.client.visitor import current_visitor
from doublet.destinations.answers import judge
from doublet.destinations.contract import Response, Verdict
from doublet.errors import ClosedError, OperatorError, SettingsError
from tests.factories import sha256
from tests.server import RunningServer, free_port, served

CLICK_ID = "IwAR2F4-dbP0l7Mn1IawQQGCINEz7PYXQvwjNwB_qa2ofrHyiLjcbCRxTDMgk"
FBP = "fb.1.1596403881668.1116446470"
EMAIL = {"em": "Ada@Example.com"}
HEADERS = {
    "user-agent": "Test/1.0",
    "referer": "https://news.example/",
    "cookie": f"odd=[; _fbp={FBP}",
    "x-forwarded-for": "198.51.100.9, 203.0.113.7",
    "x-forwarded-proto": "https",
    "host": "shop.example",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("server"), workers=1) as running:
        yield running


class Far:
    """A server that answers as told, and remembers what it was sent."""

    def __init__(self, *answers: tuple[int, dict[str, str], bytes]) -> None:
        self.answers = list(answers)
        self.batches: list[list[dict[str, Any]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", scope["type"] == "http"
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.batches.append(json.loads(body)["data"])
        status, headers, answer = self.answers.pop(0) if self.answers else (200, {}, b"{}")
        raw = [(k.encode(), v.encode()) for k, v in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": answer})


def make_client(url: str, **options: Any) -> Client:
    return Client("123456789012345", "dbl_x", base_url=url, **{"interval_s": 0.05, **options})


def test_a_tracked_event_is_on_the_report(server: RunningServer) -> None:
    client = Client(server.pixel_id, server.access_token, base_url=server.url)
    client.track(purchase(49.9, "EUR", order_id="7"), user_data={"em": "Ada@Example.com"})
    assert client.flush()
    client.close()
    row = server.wait_until(lambda: server.overview().get("Purchase"))
    assert row
    assert (1, {"EUR": 49.9}) == (row["server"], row["value"])


def test_one_bad_event_does_not_hold_back_the_others(server: RunningServer) -> None:
    lost: list[GivenUp] = []
    client = Client(
        server.pixel_id, server.access_token, base_url=server.url, on_given_up=lost.append
    )
    for number in range(20):
        client.track("Lead", user_data={"external_id": str(number)}, event_id=f"l{number}")
    client.track("Purchase", user_data=EMAIL, event_id="bad")
    assert client.flush()
    client.close()
    server.wait_until(lambda: server.overview().get("Lead", {}).get("events") == 20)
    assert ["bad"] == [each.event["event_id"] for each in lost]
    assert "custom_data.value" in lost[0].message


def test_retry_after_is_honoured_and_the_event_keeps_its_id() -> None:
    far = Far((429, {"retry-after": "1"}, b"{}"))
    with served(far) as url:
        client = make_client(url)
        event_id = client.track("Lead", user_data=EMAIL)
        assert not client.flush(timeout_s=0.5)
        assert 1 == len(far.batches)
        assert client.flush()
        client.close()
    assert [event_id, event_id] == [batch[0]["event_id"] for batch in far.batches]


def test_personal_data_is_hashed_before_it_leaves() -> None:
    far = Far()
    with served(far) as url:
        client = make_client(url, token_in="query")
        client.track("Lead", user_data={"em": " Ada@Example.com", "fn": "", "fbp": FBP})
        assert client.flush()
        client.close()
    assert {"em": [sha256("ada@example.com")], "fbp": FBP} == far.batches[0][0]["user_data"]


def test_a_token_as_read_from_a_file_works(server: RunningServer) -> None:
    client = Client(f"{server.pixel_id}\n", f"{server.access_token}\n", base_url=server.url)
    client.track("Contact", user_data=EMAIL)
    assert client.flush()
    client.close()


@pytest.mark.parametrize(
    ("pixel_id", "token", "said"),
    [
        ("", "dbl_x", "pixel_id"),
        ("act_1", "dbl_x", "pixel_id"),
        ("1", " ", "access_token"),
        ("1", "two words", "access_token"),
        ("1", "dbl_é", "access_token"),
    ],
)
def test_what_can_be_no_pixel_or_token_is_refused_at_once(
    pixel_id: str, token: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        Client(pixel_id, token, base_url="http://localhost")


def test_raw_personal_data_is_never_spooled(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        make_client("http://localhost", hash_personal=False, spool=tmp_path)


def test_personal_data_in_the_wrong_place_is_neither_spooled_nor_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    far = Far((503, {"retry-after": "1"}, b"{}"))
    event = Event(
        event_name="Lead",
        event_id="jo@example.com",
        event_source_url="https://shop.example/?email=jo%40example.com&fbclid=IwAR2",
        custom_data={"phone": "+44 20 7946 0000", "note": ("jo@example.com",)},
    )
    with served(far) as url:
        client = make_client(url, spool=tmp_path)
        assert sha256("jo@example.com") == client.track(
            event, user_data={"email": "jo@example.com", "first_name": "Jo Doe", "fbp": FBP}
        )
        client.track("Lead", custom_data={"order_id": "jo@example.com/1"})
        client.track(event, user_data={"email": "jo@example.com", "fbp": FBP})
        assert not client.flush(timeout_s=0.1)
        kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert client.flush()
        client.close()
    assert b"IwAR2" in kept
    assert not [word for word in (b"jo@", b"jo%40", b"7946", b"Jo Doe") if word in kept]
    sent = far.batches[-1][0]
    assert {"fbp": FBP} == sent["user_data"]
    assert sha256("jo@example.com/1") == far.batches[-1][1]["custom_data"]["order_id"]
    assert {"phone": "_removed_", "note": ["_removed_"]} == sent["custom_data"]
    assert "https://shop.example/?email=_removed_&fbclid=IwAR2" == sent["event_source_url"]
    assert 1 == caplog.text.count("`email` is unknown")


def test_other_names_of_store_events_are_hashed() -> None:
    far = Far()
    with served(far) as url:
        client = make_client(url)
        store = Event(event_name="Lead", action_source="physical_store")
        client.track(store, user_data={"email": "Ada@Example.com", "zip": "12345"})
        assert client.flush()
        client.close()
    hashed = {"em": [sha256("ada@example.com")], "zp": [sha256("12345")]}
    assert hashed == far.batches[0][0]["user_data"]


def test_half_a_surrogate_pair_from_a_visitor_is_no_error() -> None:
    far = Far()
    with served(far) as url:
        client = make_client(url)
        client.track("Search", user_data=EMAIL, custom_data={"search_string": "tea \ud83d"})
        assert client.flush()
        client.close()
    assert "tea ?" == far.batches[0][0]["custom_data"]["search_string"]


def test_events_of_a_killed_process_are_sent_by_another(tmp_path: Path) -> None:
    port = free_port()
    code = (
        "import os, signal, sys; from doublet.client import Client;"
        "c = Client('123456789012345', 't', base_url=sys.argv[1], spool=sys.argv[2]);"
        "print(*[c.track('Lead', user_data={'em': 'a@example.com'}) for _ in range(50)], flush=1);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    url = f"http://127.0.0.1:{port}"
    done = subprocess.run(
        [sys.executable, "-c", code, url, str(tmp_path)], capture_output=True, text=True
    )
    assert -signal.SIGKILL == done.returncode, done.stderr
    far = Far()
    with served(far, port):
        client = make_client(url, spool=tmp_path)
        assert client.flush()
        client.close()
    assert done.stdout.split() == [e["event_id"] for batch in far.batches for e in batch]


def test_a_spool_has_one_sender_at_a_time(tmp_path: Path) -> None:
    one, other = Queue(tmp_path, "a", 10), Queue(tmp_path, "a", 10)
    with one.sole_sender() as first, other.sole_sender() as second:
        assert (True, False) == (first, second)
    with other.sole_sender() as free:
        assert free
    one.close()
    other.close()


def test_a_full_queue_drops_the_oldest() -> None:
    queue = Queue(None, "a", 2)
    dropped = [queue.put(event) for event in (b"a", b"b", b"c")]
    assert ([[], [], [b"a"]], 2) == (dropped, len(queue))
    queue.close()


@pytest.mark.parametrize("spooled", [False, True])
def test_a_forked_child_sends_its_own_events_once(tmp_path: Path, spooled: bool) -> None:
    code = (
        "import os, sys; from doublet.client import Client;"
        "c = Client('123456789012345', 't', base_url=sys.argv[1], spool=sys.argv[2] or None);"
        "c.track('Lead', user_data={'em': 'a@example.com'}, event_id='parent');"
        "pid = os.fork();\n"
        "if pid == 0: c.track('Lead', user_data={'em': 'a@example.com'}, event_id='child')\n"
        "else: os.waitpid(pid, 0)"
    )
    far = Far()
    with served(far) as url:
        command = [sys.executable, "-W", "ignore", "-c", code, url, str(tmp_path) * spooled]
        subprocess.run(command, check=True, timeout=60)
    sent = sorted(event["event_id"] for batch in far.batches for event in batch)
    assert ["child", "parent"] == sent


@pytest.mark.parametrize(
    ("status", "error", "verdict"),
    [
        (200, {}, Verdict.DONE),
        (202, {}, Verdict.DONE),
        (503, {"code": 2}, Verdict.LATER),
        (400, {"code": 4}, Verdict.LATER),
        (401, {"code": 190}, Verdict.BLOCKED),
        (500, {"code": 190}, Verdict.BLOCKED),
        (400, {"code": 100, "error_subcode": 33}, Verdict.BLOCKED),
        (400, {"code": 100, "error_subcode": 2804003}, Verdict.DIVIDE),
        (413, {}, Verdict.DIVIDE),
        (302, {}, Verdict.BLOCKED),
    ],
)
def test_an_answer_says_what_becomes_of_the_events(
    status: int, error: dict[str, Any], verdict: Verdict
) -> None:
    body = msgspec.json.encode({"error": error})
    assert verdict is judge(Response(status, {}, body)).verdict


def test_a_click_seen_before_keeps_its_time() -> None:
    reader = Reader(cookie_domain="shop.example", now=lambda: 1.0)
    environ = {"QUERY_STRING": f"fbclid={CLICK_ID}", "HTTP_HOST": "shop.example"}
    new = reader.from_wsgi(environ)
    assert (f"fb.1.1000.{CLICK_ID}", {"_fbp", "_fbc"}) == (new.fbc, set(new.new_cookies))
    seen = reader.from_wsgi({**environ, "HTTP_COOKIE": f"_fbp={FBP}; _fbc=fb.1.5.{CLICK_ID}.AQ"})
    assert (f"fb.1.5.{CLICK_ID}", FBP, {}) == (seen.fbc, seen.fbp, seen.new_cookies)


@pytest.mark.parametrize("click_id", ["IwAR1%FF", "IwAR1%C3%A9", "a%0D%0AX:%20y", "%00"])
def test_a_click_id_that_fits_no_cookie_does_not_break_the_page(click_id: str) -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    with served(ASGIMiddleware(page, cookie_domain="shop.example")) as url:
        answer = httpx.get(f"{url}/?fbclid={click_id}")
    assert (200, "fine") == (answer.status_code, answer.text)
    assert ["_fbp"] == [each.partition("=")[0] for each in answer.headers.get_list("set-cookie")]


def flask_app(client: Client) -> Any:
    from flask import Flask

    app = Flask("shop")

    @app.get("/thanks")
    def thanks() -> str:
        return client.track(purchase(1, "EUR"))

    app.wsgi_app = WSGIMiddleware(app.wsgi_app, trusted_proxies=["127.0.0.0/8"])  # type: ignore[method-assign]
    return app


def django_app(client: Client) -> Any:
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, HttpResponse
    from django.urls import path

    def thanks(request: HttpRequest) -> HttpResponse:
        return HttpResponse(client.track(purchase(1, "EUR")))

    urls = type("Urls", (), {"urlpatterns": [path("thanks", thanks)]})
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=urls)
    return WSGIMiddleware(get_wsgi_application(), trusted_proxies=["127.0.0.0/8"])


def fastapi_app(client: Client) -> Any:
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/thanks")
    def thanks() -> str:
        return client.track(purchase(1, "EUR"))

    app.add_middleware(
        ASGIMiddleware, trusted_proxies=["127.0.0.0/8"], cookie_domain="shop.example"
    )
    return app


def fetch(app: Any, path: str) -> None:
    """One request, by httpx's own WSGI transport or over a real socket for ASGI."""
    if hasattr(app, "add_middleware"):
        with served(app) as url:
            answer = httpx.get(f"{url}{path}", headers=HEADERS)
        assert "_fbc=fb.1." in answer.headers["set-cookie"]
    else:
        transport = httpx.WSGITransport(app=app, remote_addr="127.0.0.1")
        with httpx.Client(transport=transport) as http:
            answer = http.get(f"http://shop.example{path}", headers=HEADERS)
    assert 200 == answer.status_code, answer.text


@pytest.mark.parametrize("make_app", [flask_app, django_app, fastapi_app])
def test_a_framework_needs_only_the_middleware(make_app: Any) -> None:
    far = Far()
    path = f"/thanks?a=1&fbclid={CLICK_ID}"
    with served(far) as url:
        client = make_client(url)
        fetch(make_app(client), path)
        assert client.flush()
        client.close()
    (event,) = far.batches[0]
    fbc = event["user_data"].pop("fbc")
    assert fbc.endswith(f".{CLICK_ID}")
    assert {
        "fbp": FBP,
        "client_ip_address": "203.0.113.7",
        "client_user_agent": "Test/1.0",
    } == event["user_data"]
    assert f"https://shop.example{path}" == event["event_source_url"]
    assert "https://news.example/" == event["referrer_url"]


def test_a_thread_forgets_the_visitor_when_the_answer_is_sent() -> None:
    during: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        visitor = current_visitor.get()
        during.append(visitor and visitor.client_user_agent)
        yield b"ok"
        during.append(current_visitor.get() is visitor)

    with httpx.Client(transport=httpx.WSGITransport(app=WSGIMiddleware(app))) as http:
        assert "ok" == http.get("http://shop.example/", headers=HEADERS).text
    assert ["Test/1.0", True] == during
    assert current_visitor.get() is None


def test_clients_of_two_pixels_share_a_spool(tmp_path: Path) -> None:
    one, other = Far(), Far()
    with served(one) as url, served(other) as other_url:
        first, second = (
            Client(pixel_id, "dbl_x", base_url=each, interval_s=0.05, spool=tmp_path)
            for pixel_id, each in (("1", url), ("2", other_url))
        )
        first.track("Lead", event_id="of-one")
        second.track("Lead", event_id="of-other")
        assert first.flush()
        assert second.flush()
        first.close()
        second.close()
    sent = [[e["event_id"] for batch in far.batches for e in batch] for far in (one, other)]
    assert [["of-one"], ["of-other"]] == sent


def test_a_closed_client_says_so() -> None:
    client = make_client(f"http://127.0.0.1:{free_port()}")
    client.close()
    with pytest.raises(ClosedError, match="is closed"):
        client.track("Lead", user_data=EMAIL)


def test_a_phone_number_without_country_code_is_read_by_its_country() -> None:
    full = [sha256("491701234567")]
    assert full == hash_user_data({"ph": "0170 1234567", "country": "de"})["ph"]
    assert full == hash_user_data({"ph": "0170 1234567"}, "DE")["ph"]
    assert full == hash_user_data({"ph": "+49 170 1234567", "country": ["fr"]}, "US")["ph"]
    far = Far()
    with served(far) as url:
        client = make_client(url, phone_country="de")
        client.track("Lead", user_data={"ph": "0170 1234567"})
        assert client.flush()
        client.close()
    assert full == far.batches[0][0]["user_data"]["ph"]
    with pytest.raises(OperatorError, match="Unknown country"):
        make_client("http://localhost", phone_country="XX")


def test_hashing_twice_changes_nothing() -> None:
    once = hash_user_data({"em": "ada@example.com", "ph": ["+44 20 7946 0000"]})
    assert once == hash_user_data(once)


def test_closing_while_the_server_is_away_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    lost: list[GivenUp] = []
    client = make_client(
        f"http://127.0.0.1:{free_port()}", close_timeout_s=0, on_given_up=lost.append
    )
    for _ in range(100):
        client.track("Lead", user_data=EMAIL)
    client.close()
    assert 100 == len(lost)
    assert [] == [record for record in caplog.records if record.exc_info]
