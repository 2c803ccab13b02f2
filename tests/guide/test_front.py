"""The web servers' settings that the guide writes, in nginx and Caddy: they pass on what visitors,
servers and shops ask for, tell who asks, and keep the rest."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterator

import pytest

from doublet.catalog import Account, Setup
from doublet.guide.steps import Step, steps
from tests.collector import Collector
from tests.web_server import HOST, front

SITE = f"https://{HOST}/"


def _setup(place: str, pixel_id: str = "1234567890123456", site_url: str = SITE) -> Setup:
    return Setup(
        *("set_1", "act_1", pixel_id, "", "html", "purchases", place, site_url, "", "", {}),
        None,
        0,
    )


def _reach(place: str, public_url: str = "http://127.0.0.1:8700", site_url: str = SITE) -> Step:
    account = Account("act_1", "Shop", "UTC", "EUR")
    return steps(_setup(place, site_url=site_url), account, None, public_url)[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    settings = {piece.key: piece.text for piece in _reach("proxy").pieces}["settings"]
    trusted = tomllib.loads(settings)["trusted_proxies"]
    running = Collector(tmp_path_factory.mktemp("front"), f"trusted_proxies={trusted}")
    yield running
    running.close()


def test_the_settings_name_where_doublet_answers_from_now_on() -> None:
    for place, address in (("own", f"https://t.{HOST}"), ("proxy", f"https://{HOST}/assets")):
        step = _reach(place)
        settings = next(piece.text for piece in step.pieces if piece.key == "settings")
        assert address == tomllib.loads(settings)["public_url"]
        assert "which the site's visitors cannot use" in step.text[0]
        # Once they are in force there is nothing left to do.
        assert f"Doublet answers at {address}: nothing to do" in _reach(place, address).text[0]
    assert (
        "server_name t.shop.example"
        in _reach("own", site_url=f"https://www.{HOST}/").pieces[1].text
    )
    assert () == _reach("local").pieces


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nginx", "caddy"])
@pytest.mark.parametrize("place", ["own", "proxy"])
def test_the_road_is_open_and_tells_who_comes(server: Collector, kind: str, place: str) -> None:
    text = next(piece.text for piece in _reach(place).pieces if piece.key == kind)
    if place == "own":
        text, folder = text.replace(f"t.{HOST}", HOST), ""
    else:
        folder = "/assets"
        block = {
            "nginx": f"server {{ listen 443 ssl; server_name {HOST}; root /srv/shop;\n{text}}}\n",
            "caddy": f"{HOST} {{\n{text}\nhandle {{\nroot * /srv/shop\nfile_server\n}}\n}}\n",
        }
        text = block[kind]
    pixel_id = server.pixel.pixel_id
    setup = server.catalog.setups.create(server.account, pixel_id, "html", "purchases", place, SITE)
    with front(kind, server.port, text) as before:
        answer = before.request("GET", f"{folder}/px.js", {})
        assert "text/javascript; charset=utf-8" == answer.headers["content-type"]
        hit = {
            "id": pixel_id,
            "ev": "PageView",
            "eid": "1",
            "ts": f"{time.time_ns() // 1_000_000}",
            "ec": "0",
            "fbp": "fb.1.1795656435000.1",
            "test_event_code": setup.test_code,
        }
        answer = before.request("POST", f"{folder}/px", {"origin": f"https://{HOST}"}, hit)
        assert 200 == answer.status_code
        seen = (
            "address=127.0.0.9; peer=127.0.0.1; forwarded=believed; scheme=https; host=shop.example"
        )
        assert seen == answer.headers["x-doublet-seen"]
        assert "_fbp=" in answer.headers["set-cookie"]
        path = f"{folder}/v25.0/{pixel_id}/events"
        refused = before.request("POST", path, {}, {"data": "[]"})
        assert "token_invalid" == refused.headers["x-doublet-refused"]
        shop = before.request("POST", f"{folder}/v1/shops/shp_1/webhooks", {}, {})
        assert "not_found" == shop.headers["x-doublet-refused"]
        # Nobody works behind this collector, who would answer it.
        page = before.request("GET", f"{folder}/overview", {})
        assert (503 if place == "own" else 404) == page.status_code
