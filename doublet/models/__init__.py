"""The models: derived tables, brought up to date by changed keys, one transaction per refresh.

`MODELS` is their order. A refresh takes the lake files it has not seen, finds the keys they touch,
and replaces just those keys' rows; nothing is driven by the calendar. A rebuild is a refresh from
nothing, beside the tables that reports read meanwhile, and gives the same tables.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import NamedTuple

from doublet.engine import Engine, Transaction
from doublet.errors import MemoryLimitError, OperatorError
from doublet.lake import Lake
from doublet.lake.table import File, Table
from doublet.models import ads, orders, quarters, touching
from doublet.models.ads import AD_MODELS, COUNTED
from doublet.models.behaving import BEHAVIOUR_MODELS
from doublet.models.chain import chain, find_new, store_copies
from doublet.models.forget import note_places, take_out
from doublet.models.join import join, store_joins
from doublet.models.merge import find_members, merge
from doublet.models.orders import ORDER_MODELS
from doublet.models.persons import PERSON_MODELS
from doublet.models.quarters import QUARTER_MODELS
from doublet.models.tables import (
    BUILDING,
    CONSTANTS,
    LIVE,
    MODELS,
    Model,
    Rules,
    Tables,
    make_tables,
    model_sql,
)
from doublet.models.touching import LOGGED, TOUCH_MODELS

__all__ = [
    "LASTING",
    "MODELS",
    "TEXTS",
    "Model",
    "Refreshed",
    "Rules",
    "adopt",
    "check_rules",
    "expire",
    "forget",
    "model_sql",
    "prepare",
    "rebuild",
    "refresh",
    "seen_files",
]


LASTING: tuple[str, ...] = (
    *(model.name for model in MODELS if not model.temporary),
    *QUARTER_MODELS,
    *ORDER_MODELS,
    *AD_MODELS,
    *PERSON_MODELS,
    *TOUCH_MODELS,
    *BEHAVIOUR_MODELS,
)
"""The tables of the warehouse, in order."""

TEXTS: tuple[str, ...] = (
    *(model.name for model in MODELS),
    *QUARTER_MODELS,
    *ORDER_MODELS,
    *AD_MODELS,
    *PERSON_MODELS,
    *TOUCH_MODELS,
    *BEHAVIOUR_MODELS,
    LOGGED,
    COUNTED,
)
"""The names of all texts."""

Turn = Callable[[], AbstractContextManager[object]]
"""Makes what a step is done in, a lock for instance."""

_SLICES_MAX = 4096


class Refreshed(NamedTuple):
    """What a refresh did: new copies, and the keys that they touched."""

    copies: int
    keys: int


def fingerprint(rules: Rules) -> str:
    """The rules in words and a digest of the models' texts: whenever one changes, tables that
    were made by others are made anew."""
    texts = "\0".join([*(model_sql(name) for name in TEXTS), *map(str, CONSTANTS.items())])
    return f"{_in_words(rules)} {hashlib.sha256(texts.encode()).hexdigest()}"


def _in_words(rules: Rules) -> str:
    """As settings: the one that has no effect is left out.

    >>> _in_words(Rules()), _in_words(Rules(meta=True))
    ('dedup=doublet late_copy=true', 'dedup=meta')
    """
    return "dedup=meta" if rules.meta else f"dedup=doublet late_copy={rules.late_copy}".lower()


def check_rules(engine: Engine, rules: Rules) -> None:
    """Raises OperatorError when the tables were made by other rules, so that whoever only reads
    does not make them anew by mistake."""
    if not engine.query("select 1 from duckdb_tables() where table_name = 'model_state'"):
        return
    for row in engine.query("select fingerprint from model_state"):
        made_by, _, _ = row["fingerprint"].rpartition(" ")
        if made_by and made_by != _in_words(rules):
            options = " ".join(f"--set {pair}" for pair in made_by.split())
            raise OperatorError(
                f"The tables go by {made_by}, this command by {_in_words(rules)}.",
                f"Add {options}, or write it into doublet.toml for every command; "
                "`doublet rebuild` makes the tables by other rules.",
            )


def prepare(engine: Engine, rules: Rules) -> bool:
    """Make the tables if they are missing or were made by other texts or rules; True if it did."""
    with engine.transaction() as tx:
        # What a rebuild that was cut off has left.
        for name in BUILDING:
            tx.run(f"drop table if exists {name}")
        tx.run("create table if not exists model_state (fingerprint varchar)")
        if tx.run("select fingerprint from model_state") == [(fingerprint(rules),)]:
            return False
        _make_tables(tx, LIVE)
        tx.run(
            "create or replace table model_state as select $f as fingerprint",
            {"f": fingerprint(rules)},
        )
    return True


def forget(
    engine: Engine, lake: Lake, rules: Rules, places: Sequence[tuple[int, int]]
) -> Refreshed:
    """Make the events anew that have one of these copies (log slot and offset), whose rows have
    changed in the lake; in one transaction, so that readers miss no event meanwhile."""
    if not places:
        return Refreshed(0, 0)
    lake.update()
    seen = seen_files(engine)
    with engine.transaction() as tx:
        note_places(tx, places)
        return _make_anew(tx, lake, rules, seen)


def expire(engine: Engine, lake: Lake, rules: Rules, before: datetime) -> None:
    """Take out the copies that were received before a moment and are gone from the lake, with
    their events; of what came later those events are made anew, as a rebuild would."""
    lake.update()
    seen = seen_files(engine)
    there = {file.path for table in lake.tables for file in table.files()}
    with engine.transaction() as tx:
        tx.run(
            "create or replace temp table changed_places as "
            "select log_slot, log_offset from copies where received_at < $before",
            {"before": before},
        )
        _make_anew(tx, lake, rules, seen & there)
        for path in sorted(seen - there):
            tx.run("delete from lake_files where path = $path", {"path": path})


def _make_anew(tx: Transaction, lake: Lake, rules: Rules, seen: set[str]) -> Refreshed:
    """Make the events of `changed_places` anew from the files that the tables have seen."""
    span = take_out(tx)
    files = [
        file
        for file in lake.events.files()
        if span
        and file.path in seen
        and file.first_received_at <= span[1]
        and file.last_received_at >= span[0]
    ]
    if not files:
        return Refreshed(0, 0)
    find_new(tx, LIVE, lake.events, files, 1, 0)
    return Refreshed(*_step(tx, lake.events, rules, LIVE))


def _make_tables(tx: Transaction, names: Tables) -> None:
    make_tables(tx, names)
    quarters.make_tables(tx, names)
    orders.make_tables(tx, names)
    ads.make_tables(tx, names)
    touching.make_tables(tx, names)


def refresh(
    engine: Engine,
    lake: Lake,
    rules: Rules,
    rows_max: int,
    on_progress: Callable[[int], None] | None = None,
) -> Refreshed:
    """Bring the tables up to date with the lake; each step is a transaction of about `rows_max`
    copies, after which readers see all models of one state."""
    lake.update()
    return _refresh(engine, lake, rules, rows_max, LIVE, on_progress, nullcontext)


def rebuild(
    engine: Engine,
    lake: Lake,
    rules: Rules,
    rows_max: int,
    on_progress: Callable[[int], None] | None = None,
    turn: Turn = nullcontext,
) -> Refreshed:
    """Make all tables anew from the lake, beside the old ones, which readers see until the new
    ones are complete. Each step takes a `turn`, between which refreshes may go on."""
    with turn(), engine.transaction() as tx:
        _make_tables(tx, BUILDING)
    with turn():
        lake.update()
    done = _refresh(engine, lake, rules, rows_max, BUILDING, on_progress, turn)
    with turn():
        lake.update()
        late = _refresh(engine, lake, rules, rows_max, BUILDING, on_progress, nullcontext)
        with engine.transaction() as tx:
            for old, new in zip(LIVE, BUILDING, strict=True):
                tx.run(f"drop table {old}")
                tx.run(f"alter table {new} rename to {old}")
        engine.checkpoint()
    return Refreshed(done.copies + late.copies, done.keys + late.keys)


def _refresh(
    engine: Engine,
    lake: Lake,
    rules: Rules,
    rows_max: int,
    names: Tables,
    on_progress: Callable[[int], None] | None,
    turn: Turn,
) -> Refreshed:
    copies = keys = 0
    for batch in _batches(_unseen(engine, lake.events, names), rows_max):
        with turn():
            done = _sliced(engine, lake.events, rules, batch, rows_max, names)
        copies, keys = copies + done[0], keys + done[1]
        if on_progress is not None:
            on_progress(done[0])
    for batch in _batches(_unseen(engine, lake.order_messages, names), rows_max):
        with turn(), engine.transaction() as tx:
            orders.take_messages(tx, names, lake.order_messages, batch)
            _mark_seen(tx, batch, names)
    for take, table in (
        (touching.take_touches, lake.ad_touches),
        (ads.take_rows, lake.ad_days),
        (touching.take_decisions, lake.decisions),
    ):
        for batch in _batches(_unseen(engine, table, names), rows_max):
            with turn(), engine.transaction() as tx:
                take(tx, names, table, batch)
                _mark_seen(tx, batch, names)
    return Refreshed(copies, keys)


def _sliced(
    engine: Engine, table: Table, rules: Rules, batch: list[File], rows_max: int, names: Tables
) -> tuple[int, int]:
    """A batch in as many steps as memory asks for, by key: a file may hold millions of rows, and a
    row may be large. A slice that is done stays done, for only new rows are looked for."""
    slices = -(-sum(file.rows for file in batch) // rows_max)
    copies = keys = 0
    while True:
        try:
            for part in range(slices):
                with engine.transaction() as tx:
                    find_new(tx, names, table, batch, slices, part)
                    done = _step(tx, table, rules, names)
                    if part == slices - 1:
                        _mark_seen(tx, batch, names)
                copies, keys = copies + done[0], keys + done[1]
            return copies, keys
        except MemoryLimitError:
            if slices >= _SLICES_MAX:
                raise
            slices *= 4


def _step(tx: Transaction, table: Table, rules: Rules, names: Tables) -> tuple[int, int]:
    """One refresh with the copies in `facts`; how many they are and how many keys they touch."""
    chain(tx, names, rules)
    join(tx, names, rules)
    find_members(tx, names)
    orders.begin(tx)
    orders.note_copies(tx)
    merge(tx, names, table)
    orders.replace_touched(tx, names)
    touching.take_events(tx, names)
    quarters.replace_touched(tx, names)
    store_copies(tx, names)
    store_joins(tx, names)
    ((copies, keys),) = tx.run(
        "select (select count(*) from facts), "
        "(select count(*) from (select distinct pixel_id, event_key from facts))"
    )
    return copies, keys


def adopt(engine: Engine, made: Iterable[str], replaced: Iterable[str]) -> None:
    """Count merged files as seen in place of those they were made from."""
    with engine.transaction() as tx:
        for path in replaced:
            tx.run("delete from lake_files where path = $path", {"path": path})
        for path in made:
            tx.run("insert into lake_files values ($path)", {"path": path})


def seen_files(engine: Engine) -> set[str]:
    """Paths of the lake files whose rows are in the tables."""
    return _seen_files(engine, LIVE)


def _seen_files(engine: Engine, names: Tables) -> set[str]:
    return {row["path"] for row in engine.query(f"select path from {names.lake_files}")}


def _unseen(engine: Engine, table: Table, names: Tables) -> list[File]:
    seen = _seen_files(engine, names)
    return [file for file in table.files() if file.path not in seen]


def _batch(files: Sequence[File], rows_max: int) -> list[File]:
    """The first files with together at most `rows_max` rows, at least one."""
    batch: list[File] = []
    for file in files:
        if batch and sum(f.rows for f in batch) + file.rows > rows_max:
            break
        batch.append(file)
    return batch


def _batches(files: Sequence[File], rows_max: int) -> Iterator[list[File]]:
    while files:
        batch = _batch(files, rows_max)
        yield batch
        files = files[len(batch) :]


def _mark_seen(tx: Transaction, batch: list[File], names: Tables) -> None:
    paths = {"paths": [file.path for file in batch]}
    tx.run(f"insert into {names.lake_files} select unnest($paths)", paths)
