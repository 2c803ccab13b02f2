"""Exchange rates: which holds on which day, and what a wrong file is told."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from doublet.errors import SenderError
from doublet.rates import Rate, Rates, keep_rates, kept_rates, load_rates, read_rates

NOV = [date(2026, 11, day) for day in range(1, 31)]


def test_a_rate_holds_until_the_next_and_for_a_month_at_most() -> None:
    rates = Rates("EUR", [Rate(NOV[9], "USD", Decimal(3)), Rate(NOV[1], "USD", Decimal(2))])
    assert [None, 2, 2, 3] == [rates.rate(NOV[n], "USD") for n in (0, 1, 8, 9)]
    assert [3, None] == [rates.rate(date(2026, 12, day), "USD") for day in (11, 12)]
    assert [1, None] == [rates.rate(NOV[0], "EUR"), rates.rate(NOV[9], "JPY")]


def test_rates_are_kept_per_account_and_replaced_by_day(tmp_path: Path) -> None:
    old = read_rates(["day,currency,rate", "2026-11-01,usd,0.90", "", "2026-11-02,JPY,0.006"], "a")
    assert 2 == keep_rates(tmp_path / "rates", "act_1", old)
    new = read_rates(["\ufeffDay,Currency,Rate", "2026-11-01,USD,0.91"], "b")
    assert 2 == keep_rates(tmp_path / "rates", "act_1", new)
    assert [Rate(NOV[0], "USD", Decimal("0.91")), Rate(NOV[1], "JPY", Decimal("0.006"))] == (
        kept_rates(tmp_path / "rates", "act_1")
    )
    assert load_rates(tmp_path / "rates", "act_2", "EUR").rate(NOV[0], "USD") is None


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "the first line"),
        (["currency,day,rate"], "the first line"),
        (["day,currency,rate", "2026-11-01,USD"], "line 2: 2 cells"),
        (["day,currency,rate", "1.11.2026,USD,1"], "line 2, column day"),
        (["day,currency,rate", "2026-11-01,Dollar,1"], "line 2, column currency"),
        (["day,currency,rate", "2026-11-01,USD,-1"], "line 2, column rate"),
        (["day,currency,rate", "2026-11-01,USD,nan"], "line 2, column rate"),
        (["day,currency,rate", '2026-11-01,USD,"0,9"'], "line 2, column rate"),
        (["day,currency,rate", *["2026-11-01,USD,1"] * 2], "two rates of USD"),
    ],
)
def test_a_wrong_file_is_told_where(lines: list[str], words: str) -> None:
    with pytest.raises(SenderError) as raised:
        read_rates(lines, "rates.csv")
    assert words in raised.value.message
    assert raised.value.hint
