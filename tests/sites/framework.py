"""Sites in Python frameworks: a shop's own code, with a recipe's pieces in it, as one program."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.server import free_port
from tests.sites.site import Given, needed, running

NODE_MODULES = Path(sys.prefix) / "node" / "node_modules"
NEXT_SITE = Path(__file__).parent / "next_site.mjs"

OWN = """
from types import SimpleNamespace


def place_order(form):
    line = SimpleNamespace(product_id="teacup", quantity=2, price=24.95)
    email = "Jane.Doe@Example.com"
    return SimpleNamespace(id=1001, total="49.90", lines=[line], email=email)


def save_contact(form):
    assert form["email"]
"""

FLASK = """
from flask import Flask, render_template

app = Flask(__name__)
app.secret_key = "secret"


@app.get("/")
def home():
    return render_template("home.html")
"""

SERVE_WSGI = """
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server


class Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


make_server("127.0.0.1", PORT, APPLICATION, Threads).serve_forever()
"""

DJANGO = """
import sys

from django.conf import settings

settings.configure(
    SECRET_KEY="secret",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    TEMPLATES=[
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": ["templates"]}
    ],
)
"""

DJANGO_URLS = """
from django.shortcuts import render
from django.urls import path

urlpatterns = [
    path("", lambda request: render(request, "home.html")),
    path("TAKES", TAKES),
    path("thanks", thanks),
]
"""

FASTAPI = """
from fastapi import FastAPI, Request
from fastapi.templating import Jinja2Templates

app = FastAPI()
templates = Jinja2Templates("templates")


@app.get("/")
async def home(request: Request):
    return templates.TemplateResponse(request, "home.html")
"""

SERVE_ASGI = """
import asyncio

from granian.constants import Interfaces
from granian.server.embed import Server

asyncio.run(Server(app, port=PORT, interface=Interfaces.ASGI).serve())
"""

FORMS = {
    "purchases": '<form method="post" action="/order"><button>Buy</button></form>',
    "leads": '<form method="post" action="/contact"><input type="email" name="email" '
    'value="Jane.Doe@Example.com"><button>Send</button></form>',
}


class FrameworkSite:
    """A site of two pages."""

    def __init__(self, url: str) -> None:
        self.url = url

    def buy(self, page: Page) -> str:
        """Order the one thing there is."""
        page.goto(self.url)
        page.click("button")
        page.wait_for_url("**/thanks*")
        return "1001"

    def submit(self, page: Page) -> str:
        """Send the form; the id is the server's, and in the page that thanks."""
        page.goto(self.url)
        page.fill("[name=email]", "Jane.Doe@Example.com")
        with page.expect_request(lambda request: "ev=Lead" in (request.post_data or "")) as told:
            page.click("button")
        fields = dict(pair.split("=", 1) for pair in (told.value.post_data or "").split("&"))
        return fields["eid"]

    def order(self) -> dict[str, Any]:
        """No webhook tells of it."""
        raise NotImplementedError


def _program(platform: str, given: Given, port: int) -> str:
    pieces = given.pieces
    app, views = pieces["app"].text, pieces["views"].text
    if platform == "flask":
        parts = [FLASK, app, views, SERVE_WSGI.replace("APPLICATION", "app")]
    elif platform == "django":
        takes = "order" if given.goal == "purchases" else "contact"
        urls = DJANGO_URLS.replace("TAKES", takes)
        parts = [DJANGO, app, views, urls, SERVE_WSGI.replace("APPLICATION", "application")]
    else:
        parts = [FASTAPI, app, views, SERVE_ASGI]
    return "\n".join([OWN, *parts]).replace("PORT", str(port))


@contextmanager
def _framework_site(platform: str, given: Given) -> Iterator[FrameworkSite]:
    port = free_port()
    templates = given.folder / "templates"
    base = f"<!doctype html><html><head>{given.head}</head><body>"
    (templates / "home.html").write_text(base + FORMS[given.goal], "utf-8")
    thanks = f'{base}<h1>Thanks</h1>{{% include "doublet_event.html" %}}'
    (templates / "thanks.html").write_text(thanks, "utf-8")
    (given.folder / "site_program.py").write_text(_program(platform, given, port), "utf-8")
    environ = {"DOUBLET_ACCESS_TOKEN": given.access_token, "SESSION_SECRET": "secret"}
    with running([sys.executable, "site_program.py"], port, given.folder, environ):
        yield FrameworkSite(f"http://127.0.0.1:{port}")


@contextmanager
def nextjs_site(given: Given) -> Iterator[FrameworkSite]:
    """A site in Next.js, whose App Router a small program plays."""
    node = needed("node", "npm")
    if not (NODE_MODULES / "esbuild").is_dir() and os.environ.get("CI") != "true":
        pytest.skip("esbuild and React are not installed: `make node` says why")
    port = free_port()
    layout = given.folder / "app" / "layout.jsx"
    layout.parent.mkdir(exist_ok=True)
    layout.write_text(given.pieces["layout"].text, "utf-8")
    command = [node, str(NEXT_SITE), str(given.folder.resolve()), str(port), str(NODE_MODULES)]
    environ = {"DOUBLET_ACCESS_TOKEN": given.access_token, "GOAL": given.goal}
    with running(command, port, given.folder, environ):
        yield FrameworkSite(f"http://127.0.0.1:{port}")


def flask_site(given: Given) -> Any:
    """A site in Flask."""
    return _framework_site("flask", given)


def django_site(given: Given) -> Any:
    """A site in Django."""
    return _framework_site("django", given)


def fastapi_site(given: Given) -> Any:
    """A site in FastAPI."""
    return _framework_site("fastapi", given)
