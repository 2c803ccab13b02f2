"""What `lookalikes.py` measures on: real purchases, a stream of an online shop, the market."""

from __future__ import annotations

import csv
import gzip
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from doublet.demo.market.lives import lives
from doublet.demo.market.parameters import Market, read_market
from doublet.demo.market.story import appeal
from doublet.demo.market.truth import event_rows
from doublet.engine.duckdb import DuckDBEngine

ACCOUNT = "act_100000000000001"
DAY_S = 86_400
COLUMNS = (
    "account_id varchar, pixel_id varchar, event_key bigint, anchor_at timestamptz, "
    "profile_key bigint, person_id bigint, event_name varchar, event_time bigint, "
    "action_source varchar, event_source_url varchar, domain varchar, path varchar, "
    "device_type varchar, value decimal(18,4), currency varchar, order_id varchar, "
    "content_ids varchar[], content_type varchar, content_category varchar, content_name varchar, "
    "num_items double, quantity double, country varchar, custom_data varchar"
)
"""Of the warehouse's table `behaviours`."""
_FILL = """
insert into behaviours
select $account, '1', row_number() over (), to_timestamp(event_time), person_id, person_id,
  event_name, event_time, 'website', null, 'shop.example', path, device_type, value, 'USD', null,
  string_split(content_ids, '|'), null, content_category, null, quantity, quantity, null, '{}'
from read_csv($file, header = false, delim = '\t', quote = '', escape = '', nullstr = '',
  columns = {
  'person_id': 'bigint', 'event_name': 'varchar', 'event_time': 'bigint', 'path': 'varchar',
  'device_type': 'varchar', 'value': 'decimal(18,4)', 'content_ids': 'varchar',
  'content_category': 'varchar', 'quantity': 'double'})
"""

Row = tuple[Any, ...]
"""person, event name, time, path, device, value, content ids, category, quantity"""


class Shop(NamedTuple):
    """Behaviours, and the moments at which a lookalike is made of them; `bought` tells who was in
    the seed at a moment: those who bought in the `retention_days` before it; `truth`, where it is
    known, how often each person buys."""

    name: str
    engine: DuckDBEngine
    moments: tuple[int, ...]
    future_days: int
    retention_days: int
    truth: dict[int, float] | None = None

    def seed_at(self, at_s: int) -> Collection[int]:
        """Who had bought lately."""
        found: Any = self.engine.columns(
            "select distinct person_id from behaviours where event_name = 'Purchase' "
            "and event_time > $since and event_time <= $until order by person_id",
            {"since": at_s - self.retention_days * DAY_S, "until": at_s},
        )["person_id"]
        return list(map(int, found))


def filled(folder: Path, rows: Iterable[Row]) -> DuckDBEngine:
    """An engine whose `behaviours` are these rows."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "rows.tsv"
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n")
        writer.writerows(("" if cell is None else cell for cell in row) for row in rows)
    engine = DuckDBEngine(folder / "warehouse.duckdb", folder / "scratch")
    with engine.transaction() as tx:
        tx.run(f"create table behaviours ({COLUMNS})")
        tx.run(_FILL, {"account": ACCOUNT, "file": str(file)})
    file.unlink()
    return engine


# --- the market ----------------------------------------------------------------------------------

MARKET_DAYS, MARKET_FUTURE_DAYS = 84, 28
_BEGINS_AT_S = 1_770_000_000


def market(folder: Path, seed: int, persons: int, **changes: float) -> Shop:
    """The simulated market as far as its events arrived, with each person known as one: what
    identification costs is measured elsewhere (`persons.py`)."""
    parameters = msgspec.structs.replace(read_market(), **changes)
    days = MARKET_DAYS + MARKET_FUTURE_DAYS
    told = lives(parameters, seed, range(persons), _BEGINS_AT_S * 1_000_000, float(days))
    truth: dict[int, float] = {}
    engine = filled(folder, _market_rows(told, parameters, truth))
    until = _BEGINS_AT_S + MARKET_DAYS * DAY_S
    named = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in changes.items())
    return Shop(f"market, {named}", engine, (until,), MARKET_FUTURE_DAYS, 180, truth)


_PATHS = {"AddToCart": "/cart", "InitiateCheckout": "/checkout", "Purchase": "/thank-you"}


def _market_rows(told: Iterable[Any], parameters: Market, truth: dict[int, float]) -> Iterator[Row]:
    for life in told:
        person = life.person
        share = parameters.purchase_share * person.propensity * appeal(parameters, person)
        truth[person.number * 7919 + 1] = person.activity * min(share, 1.0)
        for event, row in zip(life.story.events, event_rows(life), strict=True):
            if not row.has_arrived:
                continue
            agent = life.person.browsers[row.browser].agent
            slugs = [line.product.slug for line in event.lines]
            path = _PATHS.get(row.event_name, f"/products/{slugs[0]}" if slugs else "/")
            yield (
                *(life.person.number * 7919 + 1, row.event_name, row.event_time, path),
                "mobile_android_phone" if "Mobile" in agent else "desktop",
                *(row.value, "|".join(slugs) or None, None),
                sum(line.quantity for line in event.lines) or None,
            )


# --- from wheels on PyPI -------------------------------------------------------------------------


def wheel(name: str, given: Path | None) -> zipfile.ZipFile:
    """A wheel: the file that was given, or the one that pip downloads."""
    if given is not None:
        return zipfile.ZipFile(given)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--dest", folder, name]
        subprocess.run(command, check=True)
        (path,) = Path(folder).glob("*.whl")
        return zipfile.ZipFile(io.BytesIO(path.read_bytes()))


def _cdnow_rows(lines: Iterable[str]) -> Iterator[Row]:
    for n, line in enumerate(lines):
        fields = line.split()
        if len(fields) != 4 or not fields[0].isdigit():
            continue
        day = datetime.strptime(fields[1], "%Y%m%d").replace(tzinfo=UTC)
        at = int(day.timestamp()) + n % DAY_S
        yield (int(fields[0]) * 7919 + 1, "Purchase", at, None, None, fields[3], None, None,
               float(fields[2]))  # fmt: skip


def cdnow(folder: Path, given: Path | None) -> Shop:
    """All purchases of the customers whom the music shop CDNOW won in the first quarter of 1997
    (Fader and Hardie), from `lifetimes`. The seed: who has bought in the last 90 days; to be found:
    who comes back within 30 days. There are purchases and nothing else."""
    with wheel("lifetimes", given) as archive:
        text = archive.read("lifetimes/datasets/CDNOW_master.txt").decode()
    engine = filled(folder, _cdnow_rows(text.splitlines()))
    days = ("1997-07-15", "1997-09-01", "1997-10-15", "1997-12-01", "1998-01-15", "1998-03-01")
    return Shop("CDNOW", engine, tuple(map(_moment, days)), 30, 90)


_ECOM_NAMES = {
    "home": "PageView",
    "catalog": "ViewCategory",
    "search": "Search",
    "product_view": "ViewContent",
    "wishlist_add": "AddToWishlist",
    "add_to_cart": "AddToCart",
    "shipping_details": "InitiateCheckout",
    "payment_details": "AddPaymentInfo",
    "purchase": "Purchase",
}


def _ecom_rows(lines: Iterable[str]) -> Iterator[Row]:
    for row in csv.DictReader(lines):
        name, person = row["event"], int(row["user_id"].removeprefix("user_"))
        at = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC)
        device = {"mobile": "mobile_android_phone", "tablet": "mobile_tablet"}
        yield (
            *(person * 7919 + 1, _ECOM_NAMES.get(name, name), int(at.timestamp()), f"/{name}"),
            *(device.get(row["platform"], "desktop"), None, None, None, None),
        )


def ecom(folder: Path, given: Path | None) -> Shop:
    """The stream of 600 visitors of an online shop in `retentioneering`, which its authors have
    made up. The seed: all who have bought; to be found: who buys first in the next 45 days."""
    with wheel("retentioneering", given) as archive:
        packed = archive.read("retentioneering/datasets/ecom.csv.gz")
    engine = filled(folder, _ecom_rows(gzip.decompress(packed).decode().splitlines()))
    return Shop(
        "e-commerce stream", engine, tuple(map(_moment, ("2024-05-01", "2024-05-15"))), 45, 180
    )


def _moment(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


Maker = Callable[[Path], Shop]
