"""Which column is what: by name, by content, and never by a personal value shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from doublet.errors import SenderError
from doublet.imports.fields import FIELDS, KNOWN_NAMES, plain_name
from doublet.imports.guess import Guessed, guess, mask
from doublet.imports.mapping import (
    Mapping,
    check_field,
    check_mapping,
    missing,
    read_mapping,
    write_mapping,
)
from doublet.settings import SETTINGS
from tests.factories import sha256

SHOPIFY = (
    "Name,Email,Financial Status,Paid at,Fulfillment Status,Fulfilled at,Accepts Marketing,"
    "Currency,Subtotal,Shipping,Taxes,Total,Discount Code,Discount Amount,Shipping Method,"
    "Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem compare at price,"
    "Lineitem sku,Billing Name,Billing Street,Billing City,Billing Zip,Billing Province,"
    "Billing Country,Billing Phone,Shipping Name,Shipping City,Shipping Zip,Shipping Country,"
    "Notes,Cancelled at,Payment Method,Refunded Amount,Vendor,Outstanding Balance,Id,Phone"
).split(",")
WOO = (
    "order_id,order_number,order_date,paid_date,status,shipping_total,order_total,order_currency,"
    "payment_method,customer_id,customer_email,billing_first_name,billing_last_name,billing_email,"
    "billing_phone,billing_city,billing_postcode,billing_state,billing_country,shipping_city"
).split(",")
WOO_ADVANCED = (
    "Order Number|Order Status|Order Date|First Name (Billing)|Last Name (Billing)|City (Billing)"
    "|Postcode (Billing)|Country Code (Billing)|Email (Billing)|Phone (Billing)|Order Total Amount"
    "|Item #|Item Name|Quantity|Item Cost"
).split("|")


def guessed(columns: list[str], *rows: dict[str, object], given: Mapping | None = None) -> Guessed:
    return guess(columns, rows, given or Mapping({}), "EUR")


def fields(columns: list[str], *rows: dict[str, object]) -> dict[str, str]:
    return guessed(columns, *rows).mapping.columns


def test_wire_names_and_metas_offline_names_are_known() -> None:
    names = [field.name for field in FIELDS]
    assert dict(zip(names, names, strict=True)) == fields(names)
    old = {"email": "em", "phone": "ph", "gen": "ge", "zip": "zp", "extern_id": "external_id"}
    assert old == fields([*old])
    wire = {
        "user_data.em": "em",
        "custom_data.value": "value",
        "custom_data.tier": "custom_data.tier",
    }
    assert wire == fields([*wire])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            SHOPIFY,
            {
                "Id": "order_id",
                "Name": "order_name",
                "Email": "em",
                "Created at": "event_time",
                "Currency": "currency",
                "Total": "value",
                "Lineitem quantity": "contents.quantity",
                "Lineitem price": "contents.item_price",
                "Lineitem sku": "contents.id",
                "Billing City": "ct",
                "Billing Zip": "zp",
                "Billing Province": "st",
                "Billing Country": "country",
                "Phone": "ph",
            },
        ),
        (
            WOO,
            {
                "order_id": "order_id",
                "order_date": "event_time",
                "order_total": "value",
                "order_currency": "currency",
                "customer_id": "external_id",
                "billing_first_name": "fn",
                "billing_last_name": "ln",
                "billing_email": "em",
                "billing_phone": "ph",
                "billing_city": "ct",
                "billing_postcode": "zp",
                "billing_state": "st",
                "billing_country": "country",
            },
        ),
        (
            WOO_ADVANCED,
            {
                "Order Number": "order_id",
                "Order Date": "event_time",
                "First Name (Billing)": "fn",
                "Last Name (Billing)": "ln",
                "City (Billing)": "ct",
                "Postcode (Billing)": "zp",
                "Country Code (Billing)": "country",
                "Email (Billing)": "em",
                "Phone (Billing)": "ph",
                "Order Total Amount": "value",
            },
        ),
    ],
    ids=["shopify", "woocommerce", "woocommerce-advanced"],
)
def test_exports_of_shops_are_known(columns: list[str], expected: dict[str, str]) -> None:
    found = guessed(columns)
    assert expected == found.mapping.columns
    constants = {"event_name": "Purchase", "action_source": "website"}
    assert constants == {k: v for k, v in found.mapping.constants.items() if k != "currency"}
    assert [] == missing(found.mapping)


def test_german_names_are_known() -> None:
    columns = {
        "Bestellnummer": "order_id",
        "Bestelldatum": "event_time",
        "E-Mail": "em",
        "Vorname": "fn",
        "Nachname": "ln",
        "Telefonnummer": "ph",
        "PLZ": "zp",
        "Ort": "ct",
        "Land": "country",
        "Kundennummer": "external_id",
        "Betrag": "value",
        "Währung": "currency",
    }
    assert columns == fields([*columns, "Bemerkung"])


def test_each_name_means_one_field() -> None:
    for field in FIELDS:
        for name in field.names:
            assert field.name == KNOWN_NAMES[plain_name(name)].field, name


def test_one_column_for_a_field_the_likeliest() -> None:
    found = guessed(["Shipping City", "Billing City", "Total", "Order total", "value"])
    why = {each.column: (each.field, each.why) for each in found.columns}
    assert ("ct", "its name") == why["Billing City"]
    assert ("", "ct is 'Billing City' already") == why["Shipping City"]
    assert ("value", "its name") == why["value"]
    assert ("", "value is 'value' already") == why["Total"]


def test_a_name_that_its_cells_contradict_says_nothing() -> None:
    rows: list[dict[str, object]] = [
        {"Date": "Mary", "Total": "all"},
        {"Date": "Joe", "Total": "some"},
    ]
    assert {} == fields(["Date", "Total"], *rows)


def test_content_tells_where_names_do_not() -> None:
    row: dict[str, object] = {
        "A": "mary@private.example",
        "B": "2026-11-01T10:00:00Z",
        "C": "eur",
        "D": "fb.1.1780000000000.7",
        "E": "12.5",
        "F": "physical_store",
    }
    found = fields([*row], row, row)
    assert {
        "A": "em",
        "B": "event_time",
        "C": "currency",
        "D": "fbp",
        "F": "action_source",
    } == found
    assert {"A": "em"} == fields(["A"], {"A": sha256("x")})
    assert {"A": "event_time"} == fields(["A"], {"A": "1793523600"})
    # Two columns of times: nobody knows which.
    assert {} == fields(["A", "B"], {"A": "2026-11-01", "B": "2026-11-02"})


def test_what_is_said_goes_before_what_is_guessed() -> None:
    row: dict[str, object] = {"E-Mail": "a@b.example", "Betrag": "1,50", "X": "2,50"}
    found = guessed([*row], row, given=Mapping({"X": "value"}, {"em": "x"}))
    assert {"X": "value"} == found.mapping.columns
    assert "comma" == found.mapping.decimals
    assert {"em": "x", "currency": "EUR"} == found.mapping.constants
    aside = guess([*row], [row], Mapping({}), "EUR", frozenset(["Betrag"]))
    assert {"E-Mail": "em"} == aside.mapping.columns


def test_the_currency_is_the_accounts_unless_the_cells_name_it() -> None:
    assert {"currency": "EUR"} == guessed(["Total"], {"Total": "5"}).mapping.constants
    assert {} == guessed(["Total"], {"Total": "5 $"}).mapping.constants


def test_no_example_holds_a_personal_value() -> None:
    row: dict[str, object] = {
        "Email": "mary.jones@private.example",
        "Phone": "+49 151 23456789",
        "First Name": "Mary",
        "Zip": "10115",
        "Notes": "call Mary",
        "Order ID": "mary@private.example",
        "Total": "49.90",
        "event_source_url": "https://shop.example/mary",
        "custom_data.tier": "gold for Mary",
    }
    found = guessed([*row], row)
    shown = {each.column: each.example for each in found.columns}
    assert "49.90" == shown.pop("Total")
    text = str(shown).casefold()
    for secret in ("mary", "jones", "private", "151", "23456789", "10115"):
        assert secret not in text.replace(str(list(row)).casefold(), "")
    assert "" == shown["Notes"]
    assert "x@x.x" == mask("Müller@beispiel.example")


# --- the mapping ------------------------------------------------------------------------------


def test_a_mapping_survives_being_kept(tmp_path: Path) -> None:
    mapping = Mapping(
        {'Column "A" \\ é\t': "em", "B": "custom_data.x"},
        {"event_name": "Purchase"},
        "comma",
        "day-first",
        "Europe/Berlin",
    )
    for name in ("m.toml", "m.json"):
        write_mapping(tmp_path / name, mapping)
        assert mapping == read_mapping(tmp_path / name)
    (tmp_path / "m.toml").write_text("[column]\nA = 'em'\n")
    with pytest.raises(SenderError, match="no mapping"):
        read_mapping(tmp_path / "m.toml")


def test_what_cannot_be_meant_is_said() -> None:
    with pytest.raises(SenderError, match="Did you mean order_id"):
        check_field("orderid")
    for mapping, words in (
        (Mapping({"Emial": "em"}), "Did you mean 'Email'"),
        (Mapping({"Email": "value", "Total": "value"}), "both mapped to value"),
        (Mapping({"Email": "em"}, {"em": "x"}), "set for all rows"),
        (Mapping({}, {}, "", "", "Europe/Atlantis"), "no time zone"),
    ):
        with pytest.raises(SenderError, match=words):
            check_mapping(mapping, ["Email", "Total"])
    check_mapping(Mapping({"Email": "em", "Total": "em"}), ["Email", "Total"])
    assert 4 == len(missing(Mapping({})))


def test_no_field_is_called_like_a_setting() -> None:
    # `--set` takes both.
    assert set() == {field.name for field in FIELDS} & {setting.name for setting in SETTINGS}
