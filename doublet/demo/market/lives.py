"""Whole lives, one per person, and their signals in order of time, in bounded memory."""

from __future__ import annotations

import heapq
import random
import tempfile
from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path

import msgspec

from doublet.demo.market.parameters import Market
from doublet.demo.market.population import Person, make_person
from doublet.demo.market.signals import Copies, Signal, send
from doublet.demo.market.story import Story, tell_story

SIGNALS_PER_RUN = 100_000
"""How many signals are sorted in memory at once; about 150 MB."""

_by_time = attrgetter("send_at", "person", "number", "copy")


class Life(msgspec.Struct, frozen=True):
    """A person, the true story, and what was sent of it: `copies` goes with `story.events`."""

    person: Person
    story: Story
    copies: list[Copies]
    signals: list[Signal]


def live(market: Market, seed: int, number: int, begins_at: int, days: float) -> Life:
    """The life of one person, from market, seed and number alone; the same in every market of
    this seed, however large. `begins_at` is µs since 1970, UTC."""
    person = make_person(market, number, _chance(seed, number, "person"))
    story = tell_story(market, person, _chance(seed, number, "story"), begins_at, days)
    signals, copies = send(market, person, story, _chance(seed, number, "signals"))
    return Life(person, story, copies, signals)


def _chance(seed: int, number: int, what: str) -> random.Random:
    return random.Random(f"{seed}/{number}/{what}")


def lives(market: Market, seed: int, persons: range, begins_at: int, days: float) -> Iterator[Life]:
    """The lives of these persons; other ranges of the same market may be made elsewhere."""
    return (live(market, seed, number, begins_at, days) for number in persons)


def in_order(told: Iterable[Life], signals_per_run: int = SIGNALS_PER_RUN) -> Iterator[Signal]:
    """All signals in order of `send_at`.

    Sorted runs are spilled to temporary files and merged, so that any number of signals fits; one
    run stays in memory.
    """
    with tempfile.TemporaryDirectory(prefix="market-") as folder:
        runs: list[Path] = []
        run: list[Signal] = []
        for one in told:
            run += one.signals
            if len(run) >= signals_per_run:
                runs.append(_spill(run, Path(folder) / f"{len(runs)}.jsonl"))
                run = []
        run.sort(key=_by_time)
        yield from heapq.merge(*map(_read, runs), run, key=_by_time) if runs else run


def _spill(run: list[Signal], path: Path) -> Path:
    run.sort(key=_by_time)
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        file.writelines(encode(signal) + b"\n" for signal in run)
    return path


def _read(path: Path) -> Iterator[Signal]:
    decode = msgspec.json.Decoder(Signal).decode
    with path.open("rb") as file:
        yield from map(decode, file)
