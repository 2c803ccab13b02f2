"""`python -m doublet.demo.market`: fill a data folder with a market, or send one to a server."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from doublet.demo.account import demo_folder, open_account
from doublet.demo.market.drive import DAYS_OVER_HTTP_MAX, into_log, over_http, recent_start
from doublet.demo.market.lives import in_order, lives
from doublet.demo.market.parameters import read_market
from doublet.demo.market.signals import Signal
from doublet.demo.market.truth import TruthFiles
from doublet.log.disk import DiskLog
from doublet.log.writer import Limits, fresh_offset
from doublet.settings import Settings

_LATEST_DAYS = 7
"""After the last event its latest copies are still under way for less than this."""


def main() -> None:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(prog="python -m doublet.demo.market", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    write = commands.add_parser("write", help="append a market to the log of a data folder")
    write.add_argument("--data", type=Path, default=Path("doublet-data"), help="the data folder")
    write.set_defaults(run=_write)
    send = commands.add_parser("send", help="send a market to a running server over HTTP")
    send.add_argument("--url", default="http://127.0.0.1:8700", help="where the server answers")
    send.add_argument("--pixel", required=True, help="pixel id")
    send.add_argument("--token", required=True, help="access token of the pixel's account")
    send.add_argument("--seconds", type=float, default=0.0, help="spread over so long; 0: at once")
    send.add_argument("--truth", type=Path, default=Path("truth"), help="folder for what happened")
    send.set_defaults(run=_send)
    for command in (write, send):
        command.add_argument("--persons", type=int, default=1000, help="how many people")
        command.add_argument("--first", type=int, default=0, help="number of the first one")
        command.add_argument("--days", type=float, default=5.0, help="how long the market lasts")
        command.add_argument("--seed", type=int, default=1, help="of everything that is drawn")
        command.add_argument("--begins-at", type=int, help="Unix seconds; default: just over now")
    options = parser.parse_args()
    if options.run is _send and options.days > DAYS_OVER_HTTP_MAX:
        parser.error(f"--days is at most {DAYS_OVER_HTTP_MAX} here: servers refuse older events")
    latest = recent_start(options.days + (options.run is _write) * _LATEST_DAYS, time.time())
    latest_s = latest // 1_000_000
    if options.begins_at is None:
        options.begins_at = latest_s
    # Records received in the future would make the collector's clock run ahead.
    if options.begins_at > latest_s:
        parser.error(f"--begins-at is at most {latest_s}, so that all lies in the past")
    options.run(options)


def _signals(options: argparse.Namespace, truth: TruthFiles) -> Iterator[Signal]:
    persons = range(options.first, options.first + options.persons)
    told = lives(read_market(), options.seed, persons, options.begins_at * 1_000_000, options.days)
    return in_order(truth.recorded(told))


def _write(options: argparse.Namespace) -> None:
    settings = Settings(data=options.data)
    account = open_account(settings)
    folder = demo_folder(settings) / f"truth-{options.seed}-{options.first}"
    log = DiskLog(settings.log_folder, Limits(first_offset=fresh_offset()))
    with TruthFiles(folder) as truth:
        signals = _signals(options, truth)
        written = into_log(signals, log, account.account_id, account.pixel_id)
    print(f"{written:,} records for pixel {account.pixel_id}; what happened is in {folder}")


def _send(options: argparse.Namespace) -> None:
    with TruthFiles(options.truth) as truth:
        signals = _signals(options, truth)
        sending = over_http(
            signals, options.url, options.pixel, options.token, seconds=options.seconds
        )
        delivered = asyncio.run(sending)
    print(
        f"{delivered.hits:,} hits and {delivered.reports:,} server events taken, "
        f"{delivered.failed:,} failed; what happened is in {options.truth}"
    )
    for problem in delivered.problems:
        print(problem)
    raise SystemExit(1 if delivered.failed else 0)


if __name__ == "__main__":
    main()
