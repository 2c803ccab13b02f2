"""`doublet destination …`: where events are relayed to, and which of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import typer

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    Name,
    SetOption,
    literal,
    open_catalog,
    out,
    own_pixel,
    print_json,
    print_rows,
    read_kept_settings,
    read_secret,
    record,
)
from doublet.cli.relay import Which
from doublet.errors import OperatorError

if TYPE_CHECKING:
    from doublet.catalog import Catalog, Destination, DestinationRules

destination_app = typer.Typer(
    help="Relay events to ad platforms, webhooks and files.", no_args_is_help=True
)


def _are_pairs(pairs: list[str] | None) -> list[str] | None:
    for pair in pairs or []:
        name, is_pair, _ = pair.partition("=")
        if not is_pair or not name.strip():
            raise typer.BadParameter(f"{pair!r} is no pair; write NAME=VALUE.")
    return pairs


Fields = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FIELD=VALUE]…",
        help="What the kind must be told; `doublet destination kinds` lists it.",
        callback=_are_pairs,
    ),
]
SecretFile = Annotated[
    str | None,
    typer.Option(
        "--secret-file", help="File with the secret alone in it; -: standard input; else asked for."
    ),
]

# --- rules: parameters are named as the fields of DestinationRules ----------------------------

Beside = Annotated[
    bool | None,
    typer.Option(
        "--beside/--alone",
        help="The platform's own pixel runs on the site, too, with the same event ids; or not.",
    ),
]
Pixels = Annotated[
    list[str] | None,
    typer.Option("--pixel", help="Only this pixel's events; again for more, empty: all."),
]
Events = Annotated[
    list[str] | None,
    typer.Option("--event", "--events", help="Only events of this name; again for more."),
]
Domains = Annotated[
    list[str] | None,
    typer.Option("--domain", help="Only events of this domain's pages; again for more."),
]
MergeWait = Annotated[
    float | None,
    typer.Option(help="Seconds after an event's first copy in which the second can join."),
]
Consent = Annotated[
    Literal["granted", "not_denied", "ignored"] | None,
    typer.Option(help="Whose events go: who allowed it, who did not forbid it, everybody's."),
]
Limited = Annotated[
    Literal["pass", "withhold"] | None,
    typer.Option(help="Events whose data may be used in a limited way only (LDU)."),
]
Rename = Annotated[
    list[str] | None,
    typer.Option(help="Another name for an event, as OLD=NEW; again for more, empty: none."),
]
ValueFrom = Annotated[
    str | None, typer.Option(help="Field of custom_data that is sent as value, such as profit.")
]
ValueMinus = Annotated[
    list[str] | None,
    typer.Option(help="Field of custom_data that is taken off the value; again for more."),
]
ValueTimes = Annotated[float | None, typer.Option(help="What the value is multiplied by.")]
TestCode = Annotated[
    str | None,
    typer.Option("--test-code", help="The platform's code for test events; empty: none."),
]
BatchEvents = Annotated[
    int | None, typer.Option(help="At most so many in a request; 0: as the platform takes.")
]
BatchWait = Annotated[float | None, typer.Option(help="Seconds to wait for a full request.")]
InFlight = Annotated[int | None, typer.Option(help="Requests under way at once.")]


def _rules(
    catalog: Catalog, account_id: str, rules: DestinationRules, given: Mapping[str, Any]
) -> DestinationRules:
    """The rules with what was given of them; an empty text clears a list."""
    changes = {
        name: [text for text in value if text.strip()] if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None and name in rules.__struct_fields__
    }
    if given["beside"] is not None:
        changes["mode"] = "beside" if given["beside"] else "alone"
    if "rename" in changes:
        pairs = _are_pairs(changes["rename"]) or []
        changes["rename"] = dict(pair.split("=", 1) for pair in pairs)
    owner = catalog.account(account_id)
    for pixel in changes.get("pixels", []):
        own_pixel(catalog, owner, pixel)
    return msgspec.structs.replace(rules, **changes)


def _target(pairs: list[str] | None) -> dict[str, str]:
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs or [])}


# --- commands ---------------------------------------------------------------------------------


@destination_app.command("kinds")
def destination_kinds(as_json: AsJson = False) -> None:
    """List where events can be relayed to, and what each kind must be told.

    Example: doublet destination kinds
    """
    from doublet.destinations.entry import fields_of
    from doublet.destinations.kinds import KINDS

    if as_json:
        print_json(
            [
                {
                    "kind": kind.name,
                    "title": kind.title,
                    "secret": kind.secret,
                    "fields": [field._asdict() for field in fields_of(kind)],
                }
                for kind in KINDS.values()
            ]
        )
        return
    for kind in KINDS.values():
        out.print(f"[bold]{kind.name}[/]: {literal(kind.title)}")
        for field in fields_of(kind):
            default = "" if field.default is None else f" Default: {field.default}."
            choices = f" One of {', '.join(field.choices)}." if field.choices else ""
            out.print(f"  {field.name}=…  {literal(field.about + choices + default)}")
        if kind.secret:
            out.print(f"  secret  {literal(kind.secret)}")


@destination_app.command("create")
def destination_create(
    kind: Annotated[str, typer.Argument(help="Such as meta; `kinds` lists them.")],
    name: Name,
    fields: Fields = None,
    secret_file: SecretFile = None,
    beside: Beside = None,
    pixels: Pixels = None,
    events: Events = None,
    domains: Domains = None,
    merge_wait_s: MergeWait = None,
    consent: Consent = None,
    limited: Limited = None,
    rename: Rename = None,
    value_from: ValueFrom = None,
    value_minus: ValueMinus = None,
    value_times: ValueTimes = None,
    test_event_code: TestCode = None,
    batch_events: BatchEvents = None,
    batch_wait_s: BatchWait = None,
    in_flight: InFlight = None,
    paused: Annotated[bool, typer.Option("--paused", help="Send nothing before `resume`.")] = False,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Make a destination: what comes from now on goes there. Earlier events need a backfill.

    Example: doublet destination create drop "Warehouse" folder=/var/events --event Purchase
    """
    given = locals()
    from doublet.catalog import Destination, DestinationRules
    from doublet.destinations.entry import check_destination
    from doublet.destinations.kinds import kind_named

    wanted = kind_named(kind)
    catalog = open_catalog(read_kept_settings(data, pairs))
    account_id = catalog.account(account).account_id
    rules = DestinationRules(in_flight=wanted.in_flight, batch_wait_s=wanted.batch_wait_s)
    rules = _rules(catalog, account_id, rules, given)
    secret = read_secret(secret_file) if secret_file else _ask_secret(wanted.secret)
    draft = Destination("", account_id, kind, name, 0, False, _target(fields), secret, rules)
    checked = check_destination(draft)
    made = catalog.create_destination(
        account_id, kind, name, checked.target, checked.secret, checked.rules, paused
    )
    record(catalog, "destination.created", made.name, account_id, kind=kind)
    if as_json:
        print_json(_shown(made))
    else:
        out.print(f"Destination {made.destination_id} ({literal(made.name)})")


def _ask_secret(about: str) -> str:
    """Where somebody sits who can be asked; nothing where none is needed."""
    if not about or not sys.stdin.isatty():
        return ""
    return str(typer.prompt(about.rstrip("."), hide_input=True)).strip()


@destination_app.command("edit")
def destination_edit(
    which: Which,
    fields: Fields = None,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    secret_file: SecretFile = None,
    beside: Beside = None,
    pixels: Pixels = None,
    events: Events = None,
    domains: Domains = None,
    merge_wait_s: MergeWait = None,
    consent: Consent = None,
    limited: Limited = None,
    rename: Rename = None,
    value_from: ValueFrom = None,
    value_minus: ValueMinus = None,
    value_times: ValueTimes = None,
    test_event_code: TestCode = None,
    batch_events: BatchEvents = None,
    batch_wait_s: BatchWait = None,
    in_flight: InFlight = None,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Change a destination; events that wait already go by it, too. FIELD= sets a default again.

    Example: doublet destination edit "Warehouse" format=parquet --batch-wait-s 300
    """
    given = locals()
    from doublet.destinations.entry import check_destination

    catalog, old = _open(which, account, data, pairs)
    target = {**old.target, **_target(fields)}
    changed = msgspec.structs.replace(
        old,
        name=old.name if name is None else name,
        target={field: value for field, value in target.items() if value != ""},
        secret=old.secret if secret_file is None else read_secret(secret_file),
        rules=_rules(catalog, old.account_id, old.rules, given),
    )
    checked = check_destination(changed)
    catalog.save_destination(checked)
    record(catalog, "destination.changed", checked.name, checked.account_id)
    _print(checked, as_json)


@destination_app.command("list")
def destination_list(
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """List the destinations.

    Example: doublet destination list
    """
    catalog = open_catalog(read_kept_settings(data, pairs))
    owner = catalog.account(account).account_id if account else None
    rows = [
        {
            "id": found.destination_id,
            "name": found.name,
            "kind": found.kind,
            "account": found.account_id,
            "is_paused": found.is_paused,
        }
        for found in catalog.destinations(owner)
    ]
    print_rows(rows, as_json)


@destination_app.command("show")
def destination_show(
    which: Which,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Show a destination with all its rules; of its secret only whether there is one.

    Example: doublet destination show "Warehouse"
    """
    _, found = _open(which, account, data, pairs)
    _print(found, as_json)


@destination_app.command("pause")
def destination_pause(
    which: Which,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Send nothing more until `resume`; events wait.

    Example: doublet destination pause "Warehouse"
    """
    _save_paused(True, which, account, data, as_json, pairs)


@destination_app.command("resume")
def destination_resume(
    which: Which,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Send again, first what has waited.

    Example: doublet destination resume "Warehouse"
    """
    _save_paused(False, which, account, data, as_json, pairs)


def _save_paused(
    is_paused: bool, which: str, account: str | None, data: Any, as_json: bool, pairs: Any
) -> None:
    from doublet.destinations.status import opened

    catalog, found = _open(which, account, data, pairs)
    changed = msgspec.structs.replace(found, is_paused=is_paused)
    catalog.save_destination(changed)
    record(catalog, "destination.changed", found.name, found.account_id, is_paused=is_paused)
    with opened(read_kept_settings(data, pairs).outbox_file) as outbox:
        if outbox is not None and not is_paused:
            # What was wrong there is put right: no need to wait for the next try.
            outbox.end_pause(found.destination_id)
    if as_json:
        print_json(_shown(changed))
    else:
        out.print(f"{literal(changed.name)} {'is paused' if is_paused else 'goes on'}.")


@destination_app.command("remove")
def destination_remove(
    which: Which,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Forget a destination and its secret; what waits for it is not sent, what was sent stays.

    Example: doublet destination remove "Warehouse" --yes
    """
    catalog, found = _open(which, account, data, pairs)
    if not yes and not sys.stdin.isatty():
        raise OperatorError("Nobody is here to be asked.", "Say --yes.")
    if not yes:
        typer.confirm(f"Remove {found.name!r}?", abort=True)
    catalog.remove_destination(found.destination_id)
    record(catalog, "destination.removed", found.name, found.account_id)
    if as_json:
        print_json({"removed": found.destination_id})
    else:
        out.print(f"{literal(found.name)} is removed.")


def _open(
    which: str, account: str | None, data: Any, pairs: list[str] | None
) -> tuple[Catalog, Destination]:
    catalog = open_catalog(read_kept_settings(data, pairs))
    owner = catalog.account(account).account_id if account else None
    return catalog, catalog.destination(which, owner)


def _shown(destination: Destination) -> dict[str, Any]:
    return {
        "id": destination.destination_id,
        "name": destination.name,
        "kind": destination.kind,
        "account": destination.account_id,
        "created_at": f"{datetime.fromtimestamp(destination.created_at, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "is_paused": destination.is_paused,
        "has_secret": bool(destination.secret),
        "target": destination.target,
        "rules": msgspec.structs.asdict(destination.rules),
    }


def _print(destination: Destination, as_json: bool) -> None:
    shown = _shown(destination)
    if as_json:
        print_json(shown)
        return
    target, rules = shown.pop("target"), shown.pop("rules")
    lines = [*shown.items(), *target.items(), *rules.items()]
    print_rows([{"what": name, "is": _words(value)} for name, value in lines], as_json)


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{old}={new}" for old, new in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
