"""The models: derived tables, brought up to date by changed keys, one transaction per refresh.

`MODELS` is their order. A refresh takes the lake files it has not seen, finds the keys they touch,
and replaces just those keys' rows; nothing is driven by the calendar. A rebuild is a refresh from
nothing and gives the same tables.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files as package_files
from typing import NamedTuple

from doublet.engine import Engine, Transaction
from doublet.errors import MemoryLimitError
from doublet.lake.table import File, Table
from doublet.models import orders


class Model(NamedTuple):
    """A derived table. `key` names the columns by which changed rows are replaced; a model
    without a key only grows, a temporary one lives for one refresh."""

    name: str
    key: tuple[str, ...] = ()
    temporary: bool = False


MODELS: tuple[Model, ...] = (
    Model("copies"),
    Model("chains", temporary=True),
    Model("events_deduplicated", key=("pixel_id", "event_key")),
)


_SLICES_MAX = 4096


class Refreshed(NamedTuple):
    """What a refresh did: new copies, keys whose rows were replaced, files left for the next."""

    copies: int
    keys: int
    files_left: int


@cache
def model_sql(name: str) -> str:
    """The text of a model."""
    return package_files("doublet.models").joinpath(f"{name}.sql").read_text("utf-8")


@cache
def fingerprint() -> str:
    """Changes whenever a model changes, so that tables made by older texts are rebuilt."""
    texts = "\0".join([*(model_sql(model.name) for model in MODELS), orders.texts()])
    return hashlib.sha256(texts.encode()).hexdigest()


def prepare(engine: Engine, table: Table) -> bool:
    """Make the tables if they are missing or were made by other model texts; True if it did."""
    with engine.transaction() as tx:
        tx.run("create table if not exists model_state (fingerprint varchar)")
        if tx.run("select fingerprint from model_state") == [(fingerprint(),)]:
            return False
        _make_tables(tx, table)
    return True


def _make_tables(tx: Transaction, table: Table) -> None:
    """Empty tables with the columns that the models' texts yield."""
    tx.run("create or replace table lake_files (path varchar)")
    tx.run(f"create or replace temp table changed_events as select * from {table.empty_sql()}")
    tx.run(f"create or replace table copies as {model_sql('copies')}")
    tx.run("create or replace temp table changed_copies as select * from copies")
    for model in MODELS[1:]:
        kind = "temp table" if model.temporary else "table"
        tx.run(f"create or replace {kind} {model.name} as {model_sql(model.name)}")
    orders.make_tables(tx)
    tx.run("create or replace table model_state as select $f as fingerprint", {"f": fingerprint()})


def refresh(
    engine: Engine,
    table: Table,
    rows_max: int,
    on_progress: Callable[[int], None] | None = None,
    *,
    messages: Table | None = None,
) -> Refreshed:
    """Bring the tables up to date with the lake; each step is a transaction of about `rows_max`
    copies, after which readers see all models of one state. `messages` is the lake's table of
    messages about orders; without it the order ledger has just the Purchase events."""
    table.update()
    copies = keys = 0
    new = _unseen(engine, table)
    while new:
        batch = _batch(new, rows_max)
        done = _sliced(engine, table, batch, rows_max)
        copies, keys, new = copies + done[0], keys + done[1], new[len(batch) :]
        if on_progress is not None:
            on_progress(done[0])
    if messages is not None:
        messages.update()
        for files in _batches(_unseen(engine, messages), rows_max):
            with engine.transaction() as tx:
                _take_messages(tx, messages, files)
    return Refreshed(copies, keys, len(new))


def _sliced(engine: Engine, table: Table, batch: list[File], rows_max: int) -> tuple[int, int]:
    """A batch in as many steps as memory asks for, by key: a file may hold millions of rows, and a
    row may be large. A slice that is done stays done, for `_find_new` leaves out what is known."""
    slices = -(-sum(file.rows for file in batch) // rows_max)
    copies = keys = 0
    while True:
        try:
            for part in range(slices):
                with engine.transaction() as tx:
                    done = _step(tx, table, batch, slices, part)
                    if part == slices - 1:
                        _mark_seen(tx, batch)
                copies, keys = copies + done[0], keys + done[1]
            return copies, keys
        except MemoryLimitError:
            if slices >= _SLICES_MAX:
                raise
            slices *= 4


def rebuild(
    engine: Engine,
    table: Table,
    rows_max: int,
    on_progress: Callable[[int], None] | None = None,
    *,
    messages: Table | None = None,
) -> Refreshed:
    """Make all tables anew from the lake, in one transaction: readers see the old ones until the
    new ones are complete."""
    table.update()
    copies = keys = 0
    left = table.files()
    with engine.transaction() as tx:
        _make_tables(tx, table)
        while left:
            batch = _batch(left, rows_max)
            slices = -(-sum(file.rows for file in batch) // rows_max)
            done = (0, 0)
            for part in range(slices):
                more = _step(tx, table, batch, slices, part)
                done = done[0] + more[0], done[1] + more[1]
            _mark_seen(tx, batch)
            copies, keys, left = copies + done[0], keys + done[1], left[len(batch) :]
            if on_progress is not None:
                on_progress(done[0])
        if messages is not None:
            messages.update()
            for files in _batches(messages.files(), rows_max):
                _take_messages(tx, messages, files)
    return Refreshed(copies, keys, 0)


def _take_messages(tx: Transaction, table: Table, batch: list[File]) -> None:
    orders.take_messages(tx, table, batch)
    _mark_seen(tx, batch)


def adopt(engine: Engine, made: Iterable[str], replaced: Iterable[str]) -> None:
    """Count merged files as seen in place of those they were made from."""
    with engine.transaction() as tx:
        for path in replaced:
            tx.run("delete from lake_files where path = $path", {"path": path})
        for path in made:
            tx.run("insert into lake_files values ($path)", {"path": path})


def seen_files(engine: Engine) -> set[str]:
    """Paths of the lake files whose rows are in the tables."""
    return {row["path"] for row in engine.query("select path from lake_files")}


def _unseen(engine: Engine, table: Table) -> list[File]:
    seen = seen_files(engine)
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


def _step(
    tx: Transaction, table: Table, batch: list[File], slices: int = 1, part: int = 0
) -> tuple[int, int]:
    """One refresh over a slice of the keys of a batch of files; how many copies were new and how
    many keys changed."""
    _find_new(tx, table, batch, slices, part)
    tx.run(f"create or replace temp table new_copies as {model_sql('copies')}")
    tx.run("insert into copies select * from new_copies")
    # An anchor depends on the copies before it only. So the chains that begin before the one which
    # the first new copy meets stay as they are, however many copies they have.
    tx.run(
        "create or replace temp table changed_keys as "
        "select pixel_id, event_key, coalesce(max(anchor_at), timestamptz '-infinity') as since_at "
        "from (select pixel_id, event_key, min(received_at) as first_new_at "
        "from new_copies group by all) as fresh "
        "left join events_deduplicated as known using (pixel_id, event_key) "
        "where anchor_at is null or anchor_at <= first_new_at group by all"
    )
    tx.run(
        "insert into changed_keys select distinct pixel_id, event_key, timestamptz '-infinity' "
        "from new_copies anti join changed_keys using (pixel_id, event_key)"
    )
    tx.run(
        "create or replace temp table changed_copies as select copies.* from copies "
        "inner join changed_keys using (pixel_id, event_key) where received_at >= since_at"
    )
    tx.run(f"create or replace temp table chains as {model_sql('chains')}")
    _find_older(tx, table)
    orders.begin(tx)
    orders.note_events(tx)
    for model in MODELS:
        if model.key:
            _replace(tx, model)
    orders.note_events(tx)
    orders.replace_changed(tx)
    ((copies, keys),) = tx.run(
        "select (select count(*) from new_copies), "
        "(select count(*) from (select distinct pixel_id, event_key from new_copies))"
    )
    for name in ("new_copies", "changed_keys", "changed_copies", "changed_events", "chains"):
        tx.run(f"drop table {name}")
    return copies, keys


def _replace(tx: Transaction, model: Model) -> None:
    matches = " and ".join(f"{model.name}.{k} = changed.{k}" for k in model.key)
    tx.run(
        f"delete from {model.name} using changed_keys as changed "
        f"where {matches} and anchor_at >= since_at"
    )
    tx.run(f"insert into {model.name} {model_sql(model.name)}")


def _find_new(tx: Transaction, table: Table, batch: list[File], slices: int, part: int) -> None:
    """The batch's rows that are not modelled yet, as `changed_events`.

    A file that is not in `lake_files` may still hold modelled rows, when it was compacted by
    somebody else; (slot, offset) tells.
    """
    tx.run(
        "create or replace temp table changed_events as "
        f"select * from {table.read_sql()} as lake_rows anti join ("
        "select log_slot, log_offset from copies where received_at between $first and $last"
        ") as known using (log_slot, log_offset) "
        "where $slices = 1 or (event_key % $slices + $slices) % $slices = $part",
        {
            "slices": slices,
            "part": part,
            "paths": [file.path for file in batch],
            "first": min(file.first_received_at for file in batch),
            "last": max(file.last_received_at for file in batch),
        },
    )


def _find_older(tx: Transaction, table: Table) -> None:
    """Add to `changed_events` the older copies in `chains`, from just those lake files that hold
    a moment at which one was received."""
    older = tx.run(
        "select distinct received_at from chains "
        "anti join new_copies using (log_slot, log_offset) order by received_at"
    )
    if not older:
        return
    named = _files_holding(table.files(), [row[0] for row in older])
    tx.run(
        f"insert into changed_events select * from {table.read_sql()} as lake_rows "
        "semi join (select * from chains anti join new_copies using (log_slot, log_offset))"
        " as older using (log_slot, log_offset)",
        {"paths": [file.path for file in named]},
    )


def _files_holding(files: list[File], moments: Sequence[datetime]) -> list[File]:
    """Files whose time span holds one of the sorted moments."""
    named = []
    for file in files:
        at = bisect_left(moments, file.first_received_at)
        if at < len(moments) and moments[at] <= file.last_received_at:
            named.append(file)
    return named


def _mark_seen(tx: Transaction, batch: list[File]) -> None:
    tx.run("insert into lake_files select unnest($paths)", {"paths": [file.path for file in batch]})
