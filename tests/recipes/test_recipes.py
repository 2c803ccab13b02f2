"""What every recipe has, and the command that prints them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from doublet.errors import OperatorError
from doublet.recipes import PLATFORMS, Goal, Site, recipe
from tests.sites import SITES

SITE = Site("1234567890123456", "https://t.shop.example/", "CHF", "shp_123456789012")
ALL: list[tuple[str, Goal]] = [(p.key, goal) for p in PLATFORMS for goal in p.goals]
ON_A_SERVER = {"php", "python"}


@pytest.mark.parametrize(("platform", "goal"), ALL)
def test_a_recipe_is_whole(platform: str, goal: Goal) -> None:
    pieces = recipe(platform, goal, SITE)
    keys = [piece.key for piece in pieces]
    assert sorted(set(keys)) == sorted(keys)
    everything = "\n".join("\n".join(piece) for piece in pieces)
    assert [] == re.findall(r"@[A-Z_]+(?: \S+)?@", everything)
    assert "1234567890123456" in everything
    assert "https://t.shop.example" in everything
    assert "https://t.shop.example//" not in everything
    for piece in pieces:
        is_on_a_server = piece.language in ON_A_SERVER or piece.filename.startswith("lib/")
        assert is_on_a_server or "ACCESS_TOKEN" not in piece.text, piece.key


def test_each_recipe_has_a_site_to_try_it_on() -> None:
    assert set(ALL) == set(SITES)


def test_webhooks_are_those_of_the_shops_that_can_be_connected() -> None:
    assert ["shopify", "woocommerce", "bigcommerce"] == [p.key for p in PLATFORMS if p.has_webhooks]
    script = recipe("bigcommerce", "purchases", SITE)[0].text
    assert 'const SHOP_ID = "shp_123456789012";' in script
    alone = recipe("bigcommerce", "purchases", SITE._replace(shop_id=""))[0].text
    assert 'const SHOP_ID = "";' in alone


def test_no_template_language_takes_a_piece_for_its_own() -> None:
    for platform, goal in ALL:
        for piece in recipe(platform, goal, SITE):
            if piece.language == "liquid" or piece.key in ("snippet", "script", "forms"):
                text = piece.text.replace('"{{checkout.order.id}}"', "")
                assert not re.search(r"\{\{|\}\}|\{%", text), (platform, piece.key)


@pytest.mark.parametrize(
    ("platform", "goal", "changed", "said"),
    [
        ("shopfy", "purchases", {}, "shopify"),
        ("wordpress", "purchases", {}, "leads"),
        ("html", "purchases", {"pixel_id": "1234'"}, "pixel_id"),
        ("html", "purchases", {"public_url": 'https://x.example/"><script>'}, "public_url"),
        ("html", "purchases", {"public_url": "javascript:alert(1)"}, "https://"),
        ("html", "purchases", {"currency": "euro"}, "EUR"),
        ("bigcommerce", "purchases", {"shop_id": "shop"}, "doublet shop list"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(
    platform: str, goal: Any, changed: dict[str, str], said: str
) -> None:
    with pytest.raises(OperatorError) as caught:
        recipe(platform, goal, SITE._replace(**changed))
    assert said in str(caught.value)
    assert caught.value.hint


def test_the_command_prints_and_writes(tmp_path: Path) -> None:
    def run(*arguments: str, expected: int = 0) -> str:
        data = f"--data={tmp_path / 'data'}"
        command = [sys.executable, "-m", "doublet", *arguments, data]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert expected == done.returncode, done.stderr
        return done.stdout if expected == 0 else done.stderr

    pixel = json.loads(run("pixel", "create", "Corner Shop", "--json"))["id"]
    listed = json.loads(run("recipe", "--json"))
    assert [platform.key for platform in PLATFORMS] == [row["platform"] for row in listed]
    pieces = json.loads(run("recipe", "shopify", "--goal", "leads", "--json"))
    assert ["pixel", "forms"] == [piece["key"] for piece in pieces]
    # The account's currency.
    assert 'const CURRENCY = "USD";' in pieces[1]["text"]
    assert f'fbq("init", "{pixel}");' in run("recipe", "html", "--pixel", pixel)
    out = tmp_path / "out"
    said = run("recipe", "flask", "--goal", "leads", "--out", str(out))
    assert str(out / "templates" / "doublet_event.html") in said
    assert (out / "doublet_events.py").read_text("utf-8").startswith('"""What this site tells')
    assert "flask" in run("recipe", "flasc", expected=3)
    assert "--pixel" in run("recipe", "html", "--pixel", "1", expected=3)
