"""The models' texts and the names of their tables."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from doublet.accept import MARKS
from doublet.engine import Transaction
from doublet.lake.columns import EVENTS
from doublet.lake.table import empty_sql
from doublet.normalize import DUDS


class Rules(NamedTuple):
    """Which rules make copies one event. `meta` follows Meta's documentation to the letter:
    fallback keys also join copies with different event ids or order ids, an order id only joins
    copies of one person, and late copies are events of their own. `late_copy` joins copies with
    the same id and event_time for 7 days."""

    meta: bool = False
    late_copy: bool = True

    @property
    def parameters(self) -> dict[str, bool]:
        """As the models' texts name them."""
        return {"meta": self.meta, "late_copy": self.late_copy and not self.meta}


class Tables(NamedTuple):
    """The names of the lasting tables: those that reports read, or those being built anew."""

    copies: str
    joins: str
    events_deduplicated: str
    event_quarters: str
    order_copies: str
    order_entries: str
    orders: str
    ad_days: str
    ad_fields: str
    ads: str
    record_profiles: str
    profiles: str
    profile_identifiers: str
    identifiers: str
    persons: str
    person_spans: str
    decisions: str
    touches: str
    touchpoints: str
    exposures: str
    conversions: str
    behaviours: str
    withdrawals: str
    stirred: str
    lake_files: str


class Model(NamedTuple):
    """A table made by a text of the same name; a temporary one lives for one step."""

    name: str
    temporary: bool = False


MODELS: tuple[Model, ...] = (
    Model("facts", temporary=True),
    Model("chains", temporary=True),
    Model("copies"),
    Model("order_joins", temporary=True),
    Model("fallback_joins", temporary=True),
    Model("joins"),
    Model("members", temporary=True),
    Model("events_deduplicated"),
)

CONSTANTS: dict[str, list[str]] = {"duds": sorted(DUDS), "marks": list(MARKS)}
"""Lists that texts name: hashes of nothing, flags of hits that reports leave out."""

LIVE = Tables(*Tables._fields)
BUILDING = Tables(*(f"{name}_building" for name in Tables._fields))


@cache
def model_sql(name: str) -> str:
    """The text of a model."""
    return files("doublet.models").joinpath(f"{name}.sql").read_text("utf-8")


def make_temporary(tx: Transaction, name: str, rules: Rules) -> None:
    """The temporary table of a model, from those that its text reads."""
    make_model(tx, f"temp table {name}", name, rules)


def make_model(tx: Transaction, what: str, name: str, rules: Rules) -> None:
    """What a model's text yields, as a table or temporary table of any name."""
    tx.run(f"create or replace {what} as {model_sql(name)}", _parameters(name, rules))


def add_rows(tx: Transaction, table: str, name: str) -> None:
    """Insert what a model's text yields, which no rule changes, into a table."""
    tx.run(f"insert into {table} {model_sql(name)}", _parameters(name, Rules()))


def _parameters(name: str, rules: Rules) -> dict[str, Any]:
    known = {**rules.parameters, **CONSTANTS}
    return {key: value for key, value in known.items() if f"${key}" in model_sql(name)}


# What the texts read, in the order of the models, without rows.
_SOURCES = {
    "facts": (("new_rows", "select log_slot, log_offset from changed_events"),),
    "chains": (
        (
            "pool",
            "select *, received_at as old_chain_at, source as old_rule from facts",
        ),
    ),
    "order_joins": (("order_chains", "select *, order_person as person from chains"),),
    "fallback_joins": (
        ("groups", "select *, event_key as group_key, chain_at as group_at from chains"),
        ("server_groups", "from groups"),
        ("browser_copies", "from groups"),
    ),
    "members": (
        (
            "event_copies",
            "select *, chain_at as anchor_at, true as is_new, rule as join_rule from chains",
        ),
    ),
    "events_deduplicated": (
        (
            "parts",
            "select *, log_slot as rank, log_slot as position, log_slot as parts, "
            "flags as conflicts, extra as consent from members inner join changed_events "
            "using (pixel_id, event_key, source, received_at, log_slot, log_offset)",
        ),
        ("lone_parts", "from parts"),
    ),
}


def make_tables(tx: Transaction, names: Tables) -> None:
    """Empty tables with the columns that the models' texts yield."""
    tx.run(f"create or replace table {names.lake_files} (path varchar)")
    tx.run(f"create or replace temp view changed_events as select * from {empty_sql(EVENTS)}")
    tx.run("drop view if exists lone_parts")
    rules = Rules()
    for model in MODELS:
        for source, select in _SOURCES.get(model.name, ()):
            tx.run(f"create or replace temp table {source} as {select}")
        if model.temporary:
            make_temporary(tx, model.name, rules)
        else:
            make_model(tx, f"table {getattr(names, model.name)}", model.name, rules)
    tx.run("drop table lone_parts")
