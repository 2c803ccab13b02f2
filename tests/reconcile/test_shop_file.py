"""Exports of shops: each shape read, what is ambiguous asked for, what is wrong named by line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from doublet.catalog import Account
from doublet.errors import SenderError
from doublet.reconcile.columns import map_columns
from doublet.reconcile.shop_file import Manner
from doublet.reconciling import Export, stage_export
from doublet.shops.orders import ShopOrder
from tests.factories import sha256

SHOP = Account("act_100000000000001", "Shop", "Europe/Berlin", "EUR")

SHOPIFY = """\
Name,Email,Financial Status,Paid at,Fulfillment Status,Fulfilled at,Accepts Marketing,Currency,\
Subtotal,Shipping,Taxes,Total,Discount Code,Discount Amount,Shipping Method,Created at,\
Lineitem quantity,Lineitem name,Lineitem price,Billing Name,Cancelled at,Payment Method,\
Refunded Amount,Vendor,Outstanding Balance,Id,Tags,Source
#1001,Mary@Example.com,partially_refunded,2026-11-01 10:00:05 +0100,fulfilled,,no,EUR,\
80.00,5.00,15.20,100.20,SPRING,4.50,Post,2026-11-01 10:00:00 +0100,\
1,Mug,12.50,Mary Major,,Shopify Payments,\
30.00,Corner Shop,0.00,5550001,,web
#1001,Mary@Example.com,,,,,,,,,,,,,,,2,"Plate, large",15.50,,,,,Corner Shop,,,,
#1002,joe@example.com,paid,2026-11-01 11:00:05 +0100,,,no,EUR,\
40.00,0.00,0.00,40.00,,0.00,,2026-11-01 11:00:00 +0100,\
1,Bowl,40.00,Joe Minor,2026-11-02 09:00:00 +0100,manual,\
40.00,Corner Shop,0.00,5550002,,web
"""

WOOCOMMERCE = """\
order_id,order_number,order_date,paid_date,status,shipping_total,tax_total,discount_total,\
order_total,refunded_total,order_currency,billing_email
71,2001,2026-11-01 10:00:00,2026-11-01 10:01:00,wc-processing,5,16,0,100,0,USD,mary@example.com
72,2002,2026-11-01 11:00:00,,failed,0,0,0,10.5,,USD,
"""

BIGCOMMERCE = """\
Order ID,Customer Name,Customer Email,Order Date,Order Status,Shipping Cost (inc tax),Tax Total,\
Order Total (inc tax),Order Currency Code,Refund Amount
250,Mary Major,mary@example.com,11/25/2026,Awaiting Fulfillment,5.00,16.00,"1,100.00",USD,0.00
251,Joe Minor,joe@example.com,11/03/2026,Cancelled,0.00,0.00,10.00,USD,0.00
"""

GERMAN = """\
Bestellnummer;Bestelldatum;Gesamtsumme;MwSt;Versandkosten;Währung;Status
4711;01.11.2026 10:00;1.234,50 €;197,10;4,90;EUR;completed
4712;02.11.2026 10:00;99 €;15,80;0;EUR;wartet
"""


def read(
    folder: Path,
    text: str,
    manner: Manner | None = None,
    given: Mapping[str, str] = {},
) -> tuple[Export, list[ShopOrder]]:
    """What an export says."""
    path, staged = folder / "export.csv", folder / "staged"
    path.write_bytes(text.encode())
    export = stage_export(staged, path, SHOP, given, manner or Manner())
    lines = staged.read_bytes().splitlines()
    return export, [msgspec.json.decode(line, type=ShopOrder) for line in lines]


def us(*moment: int, zone: str = "Europe/Berlin") -> int:
    """µs since 1970."""
    return int(datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000  # type: ignore[misc,arg-type]


def test_shopifys_export(tmp_path: Path) -> None:
    export, orders = read(tmp_path, "\ufeff" + SHOPIFY)
    assert [
        ShopOrder(
            "5550001",
            us(2026, 11, 1, 10),
            "100.2",
            *("EUR", "#1001", "sale", False, "30", "15.2", "5", "4.5"),
            em=sha256("mary@example.com"),
        ),
        ShopOrder(
            "5550002",
            us(2026, 11, 1, 11),
            "40",
            *("EUR", "#1002", "cancelled", False, "40", "0", "0", "0"),
            em=sha256("joe@example.com"),
        ),
    ] == orders
    assert None is export.currency
    staged = (tmp_path / "staged").read_text()
    assert not any(word in staged for word in ("Mary", "Joe", "example.com"))


def test_an_export_of_woocommerce(tmp_path: Path) -> None:
    _, orders = read(tmp_path, WOOCOMMERCE)
    assert [("71", "2001", "sale", "100", "0"), ("72", "2002", "failed", "10.5", "0")] == [
        (order.order_id, order.name, order.state, order.total, order.refunded) for order in orders
    ]
    assert us(2026, 11, 1, 10) == orders[0].created_at


def test_an_export_of_bigcommerce(tmp_path: Path) -> None:
    """One day tells which of the two numbers is the month."""
    _, orders = read(tmp_path, BIGCOMMERCE)
    assert [("250", "1100", "sale"), ("251", "10", "cancelled")] == [
        (order.order_id, order.total, order.state) for order in orders
    ]
    assert [us(2026, 11, 25), us(2026, 11, 3)] == [order.created_at for order in orders]
    assert "" == orders[0].name


def test_a_german_export(tmp_path: Path) -> None:
    export, orders = read(tmp_path, GERMAN)
    assert [("1234.5", "197.1", "4.9"), ("99", "15.8", "0")] == [
        (order.total, order.tax, order.shipping) for order in orders
    ]
    assert us(2026, 11, 1, 10) == orders[0].created_at
    assert ["sale", ""] == [order.state for order in orders]
    assert {"wartet": 1} == export.unknown_states
    assert None is orders[0].refunded


def test_a_customers_name_is_not_taken_for_the_orders(tmp_path: Path) -> None:
    text = "Order,Name,Date,Total\n1,Mary Major,2026-11-01,5\n"
    export, (order,) = read(tmp_path, text)
    assert ("", "EUR", "EUR") == (order.name, order.currency, export.currency)
    assert "Mary" not in (tmp_path / "staged").read_text()


def test_an_order_id_with_an_address_in_it_is_hashed_as_that_of_an_event(tmp_path: Path) -> None:
    _, (order,) = read(tmp_path, "Order,Date,Total\nmary@example.com-1,2026-11-01,5\n")
    assert sha256("mary@example.com-1") == order.order_id


def test_columns_are_put_right_by_whoever_asks(tmp_path: Path) -> None:
    text = "Number,When,Gross,Paid,Total\n1,2026-11-01,119,100,7\n"
    given = {"created_at": "when", "total": "Gross", "refunded": "", "tax": "Paid"}
    export, (order,) = read(tmp_path, text, given=given)
    assert ("119", "100", None) == (order.total, order.tax, order.refunded)
    assert {"created_at": True, "order_id": False} == {
        mapped.field: mapped.is_given
        for mapped in export.mapped
        if mapped.field in ("order_id", "created_at")
    }


@pytest.mark.parametrize(
    ("columns", "given", "message"),
    [
        (["Number", "Total"], {}, "No column is taken for created_at. There are: Number, Total."),
        (["Number", "Date", "Sum"], {"total": "Sums"}, "There is no column 'Sums'. Do you mean"),
        (["Number", "Date", "Total"], {"totals": "Total"}, "There is no field 'totals'."),
        (["Number", "Date", "X", "X"], {"total": "X"}, "2 columns are called 'X'."),
    ],
)
def test_what_cannot_be_mapped_says_what_to_do(
    columns: list[str], given: dict[str, str], message: str
) -> None:
    with pytest.raises(SenderError) as raised:
        map_columns(columns, given)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("total", "made", "message"),
    [
        ("1.234", "2026-11-01", "column Total: '1.234' may be read in two ways; say --decimal"),
        ("1,23,4", "2026-11-01", "column Total: '1,23,4' is no amount"),
        ("free", "2026-11-01", "column Total: 'free' is no amount."),
        ("", "2026-11-01", "column Total: it is empty"),
        ("999999999999999", "2026-11-01", "column Total: An amount is no sensible number."),
        ("5.00", "03/04/2026", "column Date: '03/04/2026' is no time; write"),
        ("5.00", "yesterday", "column Date: 'yesterday' is no time; write"),
        ("5.00", "0001-01-01", "column Date"),
    ],
)
def test_what_is_wrong_or_ambiguous_is_named_by_line(
    tmp_path: Path, total: str, made: str, message: str
) -> None:
    text = f'Order,Date,Total\n1,2026-11-01,5\n"2\nb","{made}","{total}"\n'
    with pytest.raises(SenderError) as raised:
        read(tmp_path, text)
    assert "1 of 2 lines of export.csv are wrong:" in raised.value.message
    assert f"line 4, {message}" in raised.value.message


def test_what_is_ambiguous_can_be_told(tmp_path: Path) -> None:
    text = "Order,Date,Total\n1,03/04/2026,1.234\n"
    _, (order,) = read(tmp_path, text, Manner("comma", None, "%d/%m/%Y"))
    assert ("1234", us(2026, 4, 3)) == (order.total, order.created_at)
    _, (order,) = read(tmp_path, text, Manner("point", None, "%m/%d/%Y"))
    assert ("1.234", us(2026, 3, 4)) == (order.total, order.created_at)


@pytest.mark.parametrize(
    ("made", "moment"),
    [
        ("2026-11-01T10:00:00Z", us(2026, 11, 1, 10, zone="UTC")),
        ("2026-11-01 10:00:00 UTC", us(2026, 11, 1, 10, zone="UTC")),
        ("2026-11-01 10:00:00 -0500", us(2026, 11, 1, 15, zone="UTC")),
        ("2026-11-01 10:00", us(2026, 11, 1, 10)),
        ("1793527200", us(2026, 11, 1, 10, zone="UTC")),
        ("1793527200000", us(2026, 11, 1, 10, zone="UTC")),
        ("Sun, 01 Nov 2026 10:00:00 +0000", us(2026, 11, 1, 10, zone="UTC")),
        ("25.10.2026 9:30", us(2026, 10, 25, 9, 30)),
        ("10/25/2026 9:30 PM", us(2026, 10, 25, 21, 30)),
    ],
)
def test_times_are_read_as_exports_write_them(tmp_path: Path, made: str, moment: int) -> None:
    _, (order,) = read(tmp_path, f'Order,Date,Total\n1,"{made}",5\n')
    assert moment == order.created_at, datetime.fromtimestamp(order.created_at / 1e6, UTC)


def test_a_line_with_too_few_cells_and_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SenderError, match="line 3: 2 cells, but 3 columns"):
        read(tmp_path, "Order,Date,Total\n1,2026-11-01,5\n2,2026-11-01\n")
    (tmp_path / "latin.csv").write_bytes("Order,Date,Total,Zürich\n".encode("latin-1"))
    with pytest.raises(SenderError, match="is not UTF-8"):
        stage_export(tmp_path / "staged", tmp_path / "latin.csv", SHOP, {}, Manner())
