"""Rows of customer lists: which key is which, hashed or plain, and what is said of bad ones."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doublet.audiences.list_rows import KEYS, BadRow, RowReader, SchemaError
from doublet.audiences.lists import (
    PayloadError,
    SessionError,
    read_payload,
    read_rows,
    read_session,
)
from doublet.catalog import ListEntry
from doublet.normalize import HASHED_KEYS, hash_user_value, sha256_hex

EMAIL = sha256_hex("anna@example.com")
PHONE = sha256_hex("491701234567")

PLAIN: dict[str, str] = {
    "EMAIL": "anna@example.com",
    "PHONE": "+49 170 1234567",
    "EXTERN_ID": "Customer-7",
    "MADID": "38400000-8cf0-11bd-b23e-10b96e40000d",
    "PAGEUID": "4242424242",
    "APPUID": "app-user-9",
    "UID": "1000000000001",
    "FN": "Anna",
    "LN": "Musterfrau",
    "FI": "A",
    "F5FIRST": "Annab",
    "F5LAST": "Muste",
    "GEN": "F",
    "DOB": "1990-02-17",
    "DOBY": "1990",
    "DOBM": "2",
    "DOBD": "17",
    "CT": "Köln",
    "ST": "CA",
    "ZIP": "50667",
    "COUNTRY": "DE",
}


def read(schema: list[str], *row: Any) -> ListEntry:
    found = RowReader(schema).read(list(row))
    assert isinstance(found, ListEntry), found
    return found


def refused(schema: list[str], *row: Any) -> BadRow:
    found = RowReader(schema).read(list(row))
    assert isinstance(found, BadRow), found
    return found


@pytest.mark.parametrize("column", KEYS)
def test_each_key_is_the_same_row_plain_and_hashed(column: str) -> None:
    plain = read([column], PLAIN[column])
    strong = {"em", "ph", "external_id", "madid", "page_scoped_user_id", "app_user_id"}
    assert (KEYS[column] in strong | {"fb_login_id"}) == bool(plain.identifiers)
    if KEYS[column] in HASHED_KEYS:
        if len(PLAIN[column]) > 3:
            assert PLAIN[column] not in repr(plain)
        digest = hash_user_value(KEYS[column], PLAIN[column])
        assert digest is not None
        hashed = read([column], digest)
        assert plain.row_key == hashed.row_key
        assert set(hashed.identifiers) <= set(plain.identifiers)


def test_what_names_a_person_is_what_events_carry() -> None:
    entry = read(["EMAIL", "PHONE", "FN"], " Anna@Example.com ", "0049 170 1234567", "Anna")
    assert {f"em={EMAIL}", f"ph={PHONE}"} <= set(entry.identifiers)
    assert read(["EMAIL"], EMAIL.upper()) == read(["EMAIL_SHA256"], EMAIL)
    assert (f"em={EMAIL}",) == read(["EMAIL"], EMAIL).identifiers


def test_rows_with_the_same_person_and_another_name_are_two_rows() -> None:
    one, other = (read(["EMAIL", "FN"], EMAIL, name) for name in ("Anna", "Ben"))
    assert one.row_key != other.row_key
    assert one.identifiers == other.identifiers
    assert one.row_key == read(["FN", "EMAIL"], "anna", EMAIL).row_key


def test_several_addresses_of_one_person_are_one_row() -> None:
    other = sha256_hex("anna@work.example")
    entry = read(["EMAIL", "EMAIL"], EMAIL, other)
    assert {f"em={EMAIL}", f"em={other}"} == set(entry.identifiers)
    assert (f"em={other}",) == read(["EMAIL", "EMAIL"], "", other).identifiers
    third = sha256_hex("anna@club.example")
    entry = read(["EMAIL", "EMAIL", "EMAIL"], EMAIL, other, third)
    assert sorted(f"em={each}" for each in (EMAIL, other, third)) == list(entry.identifiers)


def test_a_device_is_found_however_its_id_is_written() -> None:
    madid = PLAIN["MADID"]
    found = [read(["MADID"], each) for each in (madid, madid.upper())]
    assert found[0] == found[1]
    assert {f"madid={madid}", f"madid={madid.upper()}"} == set(found[0].identifiers)
    nobody = refused(["MADID"], "00000000-0000-0000-0000-000000000000")
    assert ("MADID", "not usable") == (nobody.column, nobody.why)


def test_a_phone_number_without_country_code_is_of_the_country_of_its_row_or_of_the_account() -> (
    None
):
    expected = (f"ph={PHONE}",)
    assert set(expected) <= set(read(["PHONE", "COUNTRY"], "0170 1234567", "DE").identifiers)
    found = RowReader(["PHONE"], "DE").read(["0170 1234567"])
    assert isinstance(found, ListEntry)
    assert set(expected) <= set(found.identifiers)


@pytest.mark.parametrize(
    ("value", "expected"), [(44.5, 44.5), ("140", 140.0), (0, 0.0), ("", None), (None, None)]
)
def test_a_row_may_bear_a_value(value: Any, expected: float | None) -> None:
    entry = read(["EMAIL", "LOOKALIKE_VALUE"], EMAIL, value)
    assert expected == entry.value
    assert read(["EMAIL"], EMAIL).row_key == entry.row_key


@pytest.mark.parametrize("value", [-1, "much", "nan", "inf", True, [1], 10**400])
def test_a_value_that_is_no_number_is_refused(value: Any) -> None:
    assert "LOOKALIKE_VALUE" == refused(["EMAIL", "LOOKALIKE_VALUE"], EMAIL, value).column


@pytest.mark.parametrize(
    ("options", "expected"), [(["LDU"], True), ("LDU", True), ([], False), ("", False)]
)
def test_limited_data_use_is_per_row(options: Any, expected: bool) -> None:
    schema = [
        *("EMAIL", "DATA_PROCESSING_OPTIONS"),
        *("DATA_PROCESSING_OPTIONS_COUNTRY", "DATA_PROCESSING_OPTIONS_STATE"),
    ]
    entry = read(schema, EMAIL, options, 1, 1000)
    assert expected is entry.is_limited
    assert read(["EMAIL"], EMAIL).row_key == entry.row_key


def test_one_bad_value_does_not_spoil_a_row_that_has_others() -> None:
    entry = read(["EMAIL", "PHONE"], "nobody", PHONE)
    assert (f"ph={PHONE}",) == entry.identifiers


@pytest.mark.parametrize(
    ("schema", "row", "expected"),
    [
        (["EMAIL"], ["anna at example"], "EMAIL 'aaaa aa aaaaaaa': not usable"),
        (["PHONE"], ["12"], "PHONE '00': not usable"),
        (["EMAIL"], [sha256_hex("")], "EMAIL 'e3b0c442…': a placeholder, which fits everybody"),
        (["EMAIL"], [sha256_hex("null")], "EMAIL '74234e98…': a placeholder, which fits everybody"),
        (["EMAIL", "FN"], ["", None], "no value at all"),
        (["EMAIL", "FN"], [EMAIL], "1 values, where schema has 2 columns"),
        (["EMAIL"], [{"a": 1}], "EMAIL \"{'a': 0}\": not usable"),
        (["EMAIL"], [["x", ["y"]]], "EMAIL 'a': not usable"),
        (["PAGEUID"], ["4\nem=x"], "PAGEUID '0\\naa=a': not usable"),
    ],
)
def test_a_bad_row_is_described_and_not_repeated(
    schema: list[str], row: list[Any], expected: str
) -> None:
    assert expected == str(refused(schema, *row))


@pytest.mark.parametrize(
    ("schema", "what"),
    [
        (["EMAIL", "SHOE_SIZE"], "unknown column SHOE_SIZE"),
        (["EMAIL", "anna@example.com"], "unknown column\\."),
        (["EMAIL_MD5"], "MD5"),
        (["FN", "FN"], "FN twice"),
        (["LOOKALIKE_VALUE"], "no key"),
        ([], "no key"),
    ],
)
def test_a_schema_that_cannot_be_is_refused(schema: list[str], what: str) -> None:
    with pytest.raises(SchemaError, match=what):
        RowReader(schema)


@given(
    st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=6, unique=True),
    st.lists(
        st.none()
        | st.text(max_size=30)
        | st.integers()
        | st.floats()
        | st.booleans()
        | st.lists(st.text(max_size=5), max_size=3)
        | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
        max_size=7,
    ),
)
def test_no_row_stops_a_request(schema: list[str], row: list[Any]) -> None:
    found = RowReader(schema).read(row)
    if isinstance(found, ListEntry):
        assert all("=" in each and "\n" not in each for each in found.identifiers)
        assert -(1 << 63) <= found.row_key < 1 << 63


# --- payload ---------------------------------------------------------------------------------


def test_a_payload_of_one_key_may_be_a_list_of_values_or_of_rows() -> None:
    flat = read_payload(json.dumps({"schema": "EMAIL_SHA256", "data": [EMAIL]}))
    nested = read_payload(json.dumps({"schema": ["EMAIL"], "data": [[EMAIL]], "is_raw": True}))
    assert flat == nested
    assert (1, 1, 0) == (len(flat.entries), flat.received, flat.invalid.total())
    assert flat.digest == nested.digest


def test_bad_rows_are_counted_by_reason_and_the_first_hundred_shown() -> None:
    data = [[EMAIL, "Anna"], *([["anna at home", ""]] * 150), ["a"]]
    rows = read_payload(json.dumps({"schema": ["EMAIL", "FN"], "data": data}))
    assert (152, 1, 100) == (rows.received, len(rows.entries), len(rows.samples))
    assert {"EMAIL: not usable": 150, "1 values, where schema has 2 columns": 1} == rows.invalid
    assert "Row 2: EMAIL 'aaaa aa aaaa': not usable" == rows.samples[0]
    assert "anna" not in json.dumps(rows.samples)


def test_rows_are_numbered_from_where_they_are_in_the_whole() -> None:
    rows = read_rows(RowReader(["EMAIL"]), [["x"], [EMAIL]], first=501)
    assert (2, ["Row 501: EMAIL 'a': not usable"]) == (rows.received, rows.samples)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no JSON object"),
        ("[]", "no JSON object"),
        ('{"schema": "EMAIL"}', "no JSON object"),
        ('{"schema": 3, "data": []}', "no JSON object"),
        ('{"schema": "EMAIL", "data": {}}', "no JSON object"),
        ('{"schema": "EMAIL", "data": [' + ",".join(["1"] * 10_001) + "]}", "10001 rows"),
        ("[" * 100_000, "no JSON object"),
    ],
    ids=lambda text: text[:20],
)
def test_a_payload_that_is_none_is_refused(text: str, what: str) -> None:
    with pytest.raises(PayloadError, match=what):
        read_payload(text)


def test_half_a_character_spoils_no_payload() -> None:
    rows = read_payload(f'{{"schema": ["EMAIL", "FN"], "data": [["{EMAIL}", "A\\ud83d"]]}}')
    assert 1 == len(rows.entries)


def test_ten_thousand_plain_rows_are_read_in_time() -> None:
    data = [
        [f"user{n}@example.com", f"+49170{n:07}", "Anna", "Muster", "Köln", "DE"]
        for n in range(10_000)
    ]
    text = json.dumps({"schema": ["EMAIL", "PHONE", "FN", "LN", "CT", "COUNTRY"], "data": data})
    begun = time.perf_counter()
    assert 10_000 == len(read_payload(text).entries)
    assert time.perf_counter() - begun < 20


# --- session ---------------------------------------------------------------------------------


def test_a_session_is_read_as_its_senders_write_it() -> None:
    assert read_session("") is None
    assert ("9223372036854775807", 1, False) == read_session(
        '{"session_id": 9223372036854775807, "batch_seq": 1, "estimated_num_total": 5}'
    )
    assert ("17", 3, True) == read_session(
        '{"session_id": "17", "batch_seq": "3", "last_batch_flag": "true"}'
    )


@pytest.mark.parametrize(
    "text",
    [
        *("1", "{}", '{"session_id": "x"}', '{"session_id": 9223372036854775808}'),
        *('{"session_id": 1, "batch_seq": 0}', '{"session_id": 1, "batch_seq": "one"}'),
    ],
)
def test_a_session_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SessionError, match="session_id and batch_seq"):
        read_session(text)
