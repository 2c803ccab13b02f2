"""Feeds become products: every form that shops have, and what is wrong with a row or a whole."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doublet.catalog.products import Product
from doublet.errors import SenderError
from doublet.feeds.fetch import fetch
from doublet.feeds.fields import FieldError, Reading, product_of
from doublet.feeds.read import Read, open_feed, read_feed
from doublet.imports.files import Fault
from tests.factories import ACCOUNT

FEEDS = Path(__file__).parent.parent / "data" / "feeds"
READING = Reading(ACCOUNT, "EUR")


def read(path: Path, reading: Reading = READING, **options: Any) -> tuple[list[Product], Read]:
    with read_feed(open_feed(path, **options), reading) as found:
        return list(found.products()), found


def products(path: Path, **options: Any) -> dict[str, Product]:
    made, found = read(path, **options)
    assert not found.bad, found.first
    return {product.product_id: product for product in made}


def either(act: Callable[[], Any], error: type[Exception]) -> Any:
    """What it gives, or the error that it raises."""
    try:
        return act()
    except error as raised:
        return raised


def test_merchant_rss() -> None:
    found = products(FEEDS / "merchant.xml")
    assert ["BH-1001-42", "BH-1001-43", "BH-2000"] == list(found)
    assert found["BH-1001-42"] == Product(
        ACCOUNT,
        "BH-1001-42",
        "BH-1001",
        "Trail shoe & gaiter, 42",
        "Shoes > Running > Trail",
        "Grat",
        "129.9",
        "EUR",
        "in_stock",
        "https://shop.example/p/trail-shoe?size=42",
        "https://shop.example/i/1001.jpg",
    )
    other = found["BH-1001-43"]
    assert ("Trail shoe, 43", "Apparel & Accessories > Shoes") == (other.title, other.category)
    assert ("129.9", "EUR", "out_of_stock") == (other.price, other.currency, other.availability)
    assert "1299" == found["BH-2000"].price


def test_merchant_atom() -> None:
    (lamp,) = products(FEEDS / "atom.xml").values()
    assert ("7001", "Headlamp", "39.95", "USD") == (
        lamp.product_id,
        lamp.title,
        lamp.price,
        lamp.currency,
    )
    assert "https://shop.example/p/headlamp" == lamp.link


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_of_merchant_center(tmp_path: Path, encoding: str) -> None:
    copy = tmp_path / "feed.txt"
    copy.write_bytes((FEEDS / "merchant.tsv").read_text("utf-8").encode(encoding))
    found = products(copy)
    assert ['Jacket "Föhn"', "Cap"] == [product.title for product in found.values()]
    assert "Clothes > Jackets" == found["BH-1"].category
    assert "https://shop.example/i/1.jpg" == found["BH-1"].image_link
    assert ("19", "EUR", "out_of_stock") == (
        found["BH-2"].price,
        found["BH-2"].currency,
        found["BH-2"].availability,
    )


def test_tables_of_meta_with_the_comments_of_its_template() -> None:
    found = products(FEEDS / "meta.csv")
    assert ("1299.5", "g-1") == (found["sku-1"].price, found["sku-1"].item_group_id)
    assert {"Home & Garden > Kitchen"} == {product.category for product in found.values()}


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ("variant", {"808950810": "632910392", "808950811": "632910392", "808950900": "632910393"}),
        ("product", {"632910392": "", "632910393": ""}),
    ],
)
def test_products_json_of_shopify(ids: Any, expected: dict[str, str]) -> None:
    found = products(FEEDS / "products.json", ids=ids, site_url="https://shop.example/")
    assert expected == {product.product_id: product.item_group_id for product in found.values()}
    first, *_, last = found.values()
    assert "https://shop.example/products/trail-shoe" == first.link
    assert ("Cap", "Apparel > Hats", "discontinued") == (
        last.title,
        last.category,
        last.availability,
    )
    if ids == "variant":
        assert ("Trail shoe – 42", "https://cdn.shop.example/42.jpg", "in_stock") == (
            first.title,
            first.image_link,
            first.availability,
        )
        assert "https://cdn.shop.example/1.jpg" == found["808950811"].image_link


def test_variants_without_a_sku_are_told_of() -> None:
    made, found = read(FEEDS / "products.json", ids="sku")
    assert ["TS-42", "CAP"] == [product.product_id for product in made]
    assert {"id": 1} == found.bad
    assert (1, "id") == (found.first[0].line, found.first[0].column)


def test_csv_of_shopify() -> None:
    found = products(FEEDS / "shopify.csv")
    assert ["TS-42", "TS-43", "CAP"] == list(found)
    assert ("trail-shoe", "Trail shoe – 43", "Shoes") == (
        found["TS-43"].item_group_id,
        found["TS-43"].title,
        found["TS-43"].category,
    )
    assert "https://cdn.shop.example/43.jpg" == found["TS-43"].image_link
    assert ("Cap", "discontinued") == (found["CAP"].title, found["CAP"].availability)
    with pytest.raises(SenderError, match=r"products\.json"):
        open_feed(FEEDS / "shopify.csv", ids="variant")


def test_a_packed_feed(tmp_path: Path) -> None:
    packed = tmp_path / "feed.xml.gz"
    packed.write_bytes(gzip.compress((FEEDS / "merchant.xml").read_bytes()))
    assert 3 == len(products(packed))
    packed.write_bytes(packed.read_bytes()[:-40])
    with pytest.raises(SenderError, match="no whole gzip"):
        products(packed)


BOMB = """<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>
<rss><channel><item><id>&b;</id></item></channel></rss>"""
THIEF = """<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<rss><channel><item><title>&a;</title></item></channel></rss>"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "write &#160; or"),
        (THIEF, "document type"),
        ("<rss><channel><item><id>1</id></item>", "no whole XML"),
        (
            "<rss><channel><item><id>1</id><title>A & B</title></item></channel></rss>",
            "written &amp;.",
        ),
        ("<rss><channel><item><title>a&nbsp;b</title></item></channel></rss>", "no whole XML"),
        ("<rss><channel/></rss>", "no products"),
        ("<a>" * 40, "nested"),
        ("<!DOCTYPE html><html></html>", "web page"),
        ("", "empty"),
        ('{"products": [{"id": 1}', "no JSON"),
        ('{"orders": []}', "no products"),
        ('{"products": []}', "holds no products"),
        ("id,title\n", "holds no products"),
    ],
)
def test_what_is_no_whole_feed_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "feed"
    path.write_text(text, "utf-8")
    with pytest.raises(SenderError, match=said) as caught:
        read(path)
    assert caught.value.message.startswith("feed")
    assert caught.value.hint


def test_a_feed_of_another_encoding_says_so(tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    path.write_bytes("id;title\n1;Mütze\n".encode("cp1252"))
    with pytest.raises(SenderError, match="--encoding cp1252"):
        read(path)
    assert "Mütze" == products(path, encoding="cp1252")["1"].title


@pytest.mark.parametrize(
    ("cells", "column", "reason"),
    [
        ({"title": "No id"}, "id", "id"),
        ({"id": "x" * 101}, "id", "id"),
        ({"id": "a\u2028b"}, "id", "id"),
        ({"id": "1", "price": "cheap"}, "price", "value"),
        ({"id": "1", "price": "-3 EUR"}, "price", "value"),
        ({"id": "1", "price": "1e99"}, "price", "value"),
        ({"id": "1", "price": "5 XYZ"}, "price", "value"),
        ({"id": "1", "price": "1.299 EUR"}, "price", "ambiguous_value"),
        ({"id": "1", "price": "5", "currency": "euros"}, "currency", "currency"),
    ],
)
def test_a_bad_field_is_named_with_its_fix(cells: dict[str, str], column: str, reason: str) -> None:
    with pytest.raises(FieldError) as caught:
        product_of(cells, READING)
    assert (column, reason) == (caught.value.column, caught.value.reason)
    assert not any(len(value) > 3 and value in str(caught.value) for value in cells.values())


def test_what_a_price_may_be() -> None:
    def price(text: str, **more: Any) -> tuple[str, str]:
        product = product_of({"id": "1", "price": text}, READING._replace(**more))
        return product.price, product.currency

    assert ("49.9", "EUR") == price("49.90")
    assert ("49.9", "USD") == price("$49.90", currency="USD")
    assert ("1299", "EUR") == price("1.299 EUR", decimals="comma")
    assert ("0", "EUR") == price("0.00 EUR")
    assert ("", "") == price("")


def test_the_first_of_one_id_counts(tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    path.write_text("id,title\n1,first\n2,other\n1,second\n", "utf-8")
    made, found = read(path)
    assert ["first", "other"] == [product.title for product in made]
    assert [(4, "repeated")] == [(fault.line, fault.reason) for fault in found.first]


CELL = st.text(max_size=12) | st.sampled_from(["1", "2", "9.90 EUR", "A > B", "x" * 200])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["id", "title", "price", "product_type", "link", "availability"]),
            CELL,
            max_size=4,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_malformed_rows_never_end_the_reading(rows: list[dict[str, str]]) -> None:
    for row in rows:
        made = either(lambda row=row: product_of(row, READING), FieldError)  # type: ignore[misc]
        if isinstance(made, FieldError):
            assert made.column
            assert made.reason
            assert str(made).endswith(".")
            continue
        assert made.product_id
        assert not re.search(r"[\x00-\x1f\ud800-\udfff]", f"{made.product_id}{made.category}")
        assert len(made.title) <= 500
        assert not made.price or made.currency
        assert not made.link or made.link.lower().startswith("http")


@given(st.binary(max_size=300), st.sampled_from(["xml", "csv", "shopify-json", "shopify-csv"]))
def test_any_bytes_are_read_or_refused(tmp_path_factory: Any, body: bytes, form: Any) -> None:
    path = tmp_path_factory.mktemp("any") / "feed"
    path.write_bytes(body)
    done = either(lambda: read(path, named=form), SenderError)
    if isinstance(done, SenderError):
        assert done.hint
        return
    made, found = done
    assert len(made) == len(found.named)
    assert all(isinstance(fault, Fault) for fault in found.first)


# --- from an address -------------------------------------------------------------------------


@contextmanager
def shop() -> Iterator[str]:
    pages = json.loads((FEEDS / "products.json").read_text("utf-8"))["products"]

    class Shop(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            status, body = 200, b""
            if path == "/products.json":
                at = int(query["page"][0]) - 1
                body = json.dumps({"products": pages[at : at + 1]}).encode()
            elif path == "/always/products.json":
                body = json.dumps({"products": pages[:1]}).encode()
            elif path == "/feed.xml":
                body = (FEEDS / "merchant.xml").read_bytes()
            else:
                status = 404
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_feeds_from_an_address(tmp_path: Path) -> None:
    target = tmp_path / "feed"
    with shop() as url:
        fetch(f"{url}/feed.xml?token=secret", target)
        assert 3 == len(products(target))
        fetch(f"{url}/products.json", target)
        assert 3 == len(products(target))
        fetch(f"{url}/always/products.json", target)
        assert 2 == len(products(target))
        with pytest.raises(SenderError, match="404") as caught:
            fetch(f"{url}/nothing.xml?token=secret", target)
    assert "secret" not in str(caught.value)
    with pytest.raises(SenderError, match="ConnectError"):
        fetch(url, target)
