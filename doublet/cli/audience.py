"""`doublet audience …`: people by what they did, by lists of customers, by likeness to others."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    Name,
    SetOption,
    literal,
    not_empty,
    open_catalog,
    out,
    own_pixel,
    print_json,
    print_rows,
    read_kept_settings,
    record,
)
from doublet.errors import OperatorError, SenderError

if TYPE_CHECKING:
    from doublet.catalog import Account, Audience, Catalog
    from doublet.settings import Settings

audience_app = typer.Typer(
    help="Audiences: people by what they did, by lists, by likeness.", no_args_is_help=True
)

Which = Annotated[str, typer.Argument(metavar="AUDIENCE", help="Its id or name.")]
Rule = Annotated[
    Path | None,
    typer.Option("--rule", help="File with a rule (JSON) alone in it; -: standard input."),
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", help="One of `doublet audience presets`.", callback=not_empty),
]
With = Annotated[
    list[str] | None,
    typer.Option("--with", help="A parameter of the preset as name=value; again for more."),
]
OfPixel = Annotated[
    str | None,
    typer.Option("--pixel", help="Only events of this pixel count.", callback=not_empty),
]
Like = Annotated[
    str | None, typer.Option("--like", help="The audience to be like.", callback=not_empty)
]
Countries = Annotated[
    list[str] | None, typer.Option("--country", help="Of the lookalike: DE; again for more.")
]
_DAYS_SHOWN = 14


@audience_app.command("list")
def audience_list(
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """List the audiences, with how many people are in them.

    Example: doublet audience list
    """
    catalog = open_catalog(read_kept_settings(data, pairs))
    owner = catalog.account(account).account_id if account else None
    sizes = catalog.audiences.latest_sizes(owner)
    rows = [
        {
            "id": each.audience_id,
            "name": each.name,
            "subtype": each.subtype,
            "people": sizes[each.audience_id][1] if each.audience_id in sizes else None,
            "state": _state(catalog, each)["state"],
            "account": each.account_id,
        }
        for each in catalog.audiences.all(owner)
    ]
    print_rows(rows, as_json)


@audience_app.command("show")
def audience_show(
    which: Which,
    days: Annotated[int, typer.Option(help="Of the history of its size.", min=1, max=400)] = 30,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Show an audience: its size over time, its state, and how the rows of a list match.

    Example: doublet audience show "Carted, not bought"
    """
    _, catalog, found = open_audience(which, account, data, pairs)
    since = int(datetime.now(UTC).timestamp()) - days * 86_400
    sizes = catalog.audiences.sizes(found.audience_id, since)
    state = _state(catalog, found)
    if as_json:
        print_json(for_programs(catalog, found) | {"sizes": [list(each) for each in sizes]})
        return
    out.print(f"[bold]{literal(found.name)}[/bold] ({found.subtype}, id {found.audience_id})")
    if found.description:
        out.print(literal(found.description))
    _print_makings(catalog, found)
    said = f": {state['message']}" if state.get("message") else ""
    out.print(f"State: {state['state']}{literal(said)}")
    if sizes:
        out.print(f"People: {sizes[-1][1]:,}")
    if found.subtype == "CUSTOM":
        for line in match_lines(catalog, found):
            out.print(literal(line), soft_wrap=True)
    if "figures" in state:
        _print_likeness(state["figures"])
    _print_history(catalog, found, sizes)


def _print_makings(catalog: Catalog, found: Audience) -> None:
    """What decides who is in."""
    if found.subtype == "WEBSITE":
        of = f"the preset {found.preset}" if found.preset else "a rule"
        out.print(f"By {of}, for {found.retention_days} days at most:")
        out.print(literal(found.rule), soft_wrap=True)
    elif found.subtype == "LOOKALIKE":
        origin = catalog.audiences.find(found.account_id, found.origin_audience_id)
        name = origin.name if origin else found.origin_audience_id
        out.print(f"Like {literal(name)}: {literal(found.lookalike_spec)}", soft_wrap=True)


def _print_likeness(figures: dict[str, Any]) -> None:
    """How well each way finds people that it has not seen, and which was taken."""
    out.print(
        f"Learned from {figures['learned_from']:,} people, judged on {figures['judged_on']:,}; "
        f"taken: {literal(figures['model'])}."
    )
    rows = []
    for each in figures["candidates"]:
        row = {"way": each["name"] + " *" * (each["name"] == figures["model"])}
        for at in each["reached"]:
            row[f"recall at {at['ratio']:.0%}"] = (
                f"{at['recall']:.1%} ({at['recall_low']:.1%} to {at['recall_high']:.1%})"
            )
            row[f"lift at {at['ratio']:.0%}"] = f"{at['lift']:.1f}"
        rows.append(row)
    print_rows(rows, False)


def _print_history(catalog: Catalog, found: Audience, sizes: list[tuple[int, int]]) -> None:
    zone = ZoneInfo(catalog.account(found.account_id).time_zone)
    # The last of each day.
    daily = {f"{datetime.fromtimestamp(at, zone):%Y-%m-%d}": people for at, people in sizes}
    if len(daily) > 1:
        print_rows(
            [{"day": d, "people": f"{n:,}"} for d, n in list(daily.items())[-_DAYS_SHOWN:]], False
        )


@audience_app.command("presets")
def audience_presets(as_json: AsJson = False) -> None:
    """List the usual audiences of retargeting in plain words, with their parameters.

    Example: doublet audience presets
    """
    from doublet.audiences.presets import PRESETS

    if as_json:
        print_json(
            [
                {
                    "name": each.name,
                    "title": each.title,
                    "words": each.words,
                    "parameters": [
                        {"name": p.name, "default": p.default, "unit": p.unit, "words": p.words}
                        for p in each.parameters
                    ],
                }
                for each in PRESETS
            ]
        )
        return
    print_rows(
        [
            {
                "preset": each.name,
                "who": each.words,
                "parameters": ", ".join(
                    p.name if p.default is None else f"{p.name}={p.default}"
                    for p in each.parameters
                ),
            }
            for each in PRESETS
        ],
        False,
    )


@audience_app.command("create")
def audience_create(
    name: Name,
    preset: Preset = None,
    parameters: With = None,
    rule: Rule = None,
    is_list: Annotated[bool, typer.Option("--list", help="A list of customers.")] = False,
    value_based: Annotated[bool, typer.Option(help="The list's rows bear values.")] = False,
    like: Like = None,
    ratio: Annotated[
        float, typer.Option(help="Of the people that the lookalike takes: 0.01 to 0.20.")
    ] = 0.01,
    starting_ratio: Annotated[float, typer.Option(help="Those before are left out.")] = 0.0,
    country: Countries = None,
    retention_days: Annotated[
        int | None, typer.Option(help="For rules without time of their own.", min=1, max=180)
    ] = None,
    pixel: OfPixel = None,
    prefill: Annotated[bool, typer.Option(help="Past events count too.")] = True,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Make an audience: by a preset, a rule of your own, a list of customers, or by likeness.

    A running server finds its people within seconds; a lookalike takes minutes.

    Example: doublet audience create "Left the cart" --preset carted_not_bought --with days=7
    """
    catalog = open_catalog(read_kept_settings(data, pairs))
    owner = catalog.account(account)
    pixel_id = own_pixel(catalog, owner, pixel) or ""
    asked = [preset is not None, rule is not None, is_list, like is not None]
    if sum(asked) != 1:
        raise OperatorError(
            "What makes the audience is not clear.", "Give one of --preset, --rule, --list, --like."
        )
    if parameters and preset is None:
        raise OperatorError("--with is for presets.", "Name one with --preset.")
    common: dict[str, Any] = {
        "account_id": owner.account_id,
        "name": name,
        "description": description,
    }
    if is_list:
        wanted = _of_list(common, value_based)
    elif like is not None:
        spec = _spec(ratio, starting_ratio, country or [])
        wanted = _of_likeness(catalog, owner, common, like, spec)
    else:
        text = _rule_text(catalog, owner, preset, parameters or [], rule, pixel_id)
        common |= {"preset": preset or "", "pixel_id": pixel_id, "prefill": prefill}
        wanted = _of_rule(catalog, common, text, retention_days)
    made = catalog.audiences.create(wanted)
    record(catalog, "audience.created", made.name, made.account_id, subtype=made.subtype)
    if as_json:
        print_json(for_programs(catalog, made))
    else:
        out.print(f"{literal(made.name)} is made (id {made.audience_id}).")
        if is_list:
            out.print(
                f"Fill it: doublet audience upload {made.audience_id} customers.csv", soft_wrap=True
            )


def _of_list(common: dict[str, Any], value_based: bool) -> Audience:
    from doublet.catalog import Audience

    source = "USER_PROVIDED_ONLY"
    return Audience(
        "", subtype="CUSTOM", customer_file_source=source, is_value_based=value_based, **common
    )


def _of_rule(
    catalog: Catalog, common: dict[str, Any], text: str, retention_days: int | None
) -> Audience:
    from doublet.audiences.making import kept_retention_days
    from doublet.catalog import Audience

    own = {common["pixel_id"]} - {""}
    known = own or {each.pixel_id for each in catalog.pixels(common["account_id"])}
    days = kept_retention_days(text, retention_days, known)
    return Audience("", subtype="WEBSITE", rule=text, retention_days=days, **common)


def _of_likeness(
    catalog: Catalog, owner: Account, common: dict[str, Any], like: str, spec: dict[str, Any]
) -> Audience:
    import msgspec

    from doublet.catalog import Audience
    from doublet.lookalikes import parse_spec

    text = msgspec.json.encode(spec).decode()
    parse_spec(text)
    origin = catalog.audiences.one(like, owner.account_id)
    if origin.subtype == "LOOKALIKE":
        raise SenderError(f"{origin.name!r} is itself a lookalike.", "Name what that is like.")
    return Audience(
        "",
        subtype="LOOKALIKE",
        origin_audience_id=origin.audience_id,
        lookalike_spec=text,
        is_value_based=origin.is_value_based,
        **common,
    )


def _spec(ratio: float, starting_ratio: float, countries: list[str]) -> dict[str, Any]:
    spec: dict[str, Any] = {"ratio": ratio}
    if starting_ratio:
        spec["starting_ratio"] = starting_ratio
    if countries:
        spec["location_spec"] = {"geo_locations": {"countries": [c.upper() for c in countries]}}
    return spec


def _rule_text(
    catalog: Catalog,
    owner: Account,
    name: str | None,
    parameters: list[str],
    file: Path | None,
    pixel_id: str,
) -> str:
    """The rule that a preset makes, or that a file holds."""
    if name is not None:
        from doublet.audiences.presets import preset

        given = {}
        for pair in parameters:
            key, sign, value = pair.partition("=")
            if not sign:
                raise OperatorError(f"{pair!r} has no value.", "Write --with name=value.")
            given[key.strip()] = value
        known = [each.pixel_id for each in catalog.pixels(owner.account_id)]
        return preset(name).make([pixel_id] if pixel_id else known, given)
    try:
        return sys.stdin.read() if str(file) == "-" else Path(file or "").read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"{file} is no text file that can be read.", "Put the rule alone in it, as JSON."
        ) from error


@audience_app.command("delete")
def audience_delete(
    which: Which,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Delete an audience with its list and its history; events stay.

    Example: doublet audience delete "Left the cart" --yes
    """
    _, catalog, found = open_audience(which, account, data, pairs)
    if not yes and not sys.stdin.isatty():
        raise OperatorError("Nobody is here to be asked.", "Say --yes.")
    if not yes:
        typer.confirm(f"Delete {found.name!r}?", abort=True)
    catalog.audiences.remove(found.audience_id)
    record(catalog, "audience.removed", found.name, found.account_id)
    if as_json:
        print_json({"deleted": found.audience_id})
    else:
        out.print(f"{literal(found.name)} is deleted.")


# --- what the commands share -----------------------------------------------------------------


def open_audience(
    which: str, account: str | None, data: Path | None, pairs: list[str] | None
) -> tuple[Settings, Catalog, Audience]:
    """The settings, the catalog and the audience of a command. Raises OperatorError."""
    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    owner = catalog.account(account).account_id if account else None
    return chosen, catalog, catalog.audiences.one(which, owner)


def _state(catalog: Catalog, found: Audience) -> dict[str, Any]:
    return {"state": "waiting", **catalog.audiences.state(found.audience_id)}


def for_programs(catalog: Catalog, found: Audience) -> dict[str, Any]:
    """An audience as JSON has it."""
    import msgspec

    size = catalog.audiences.latest_sizes(found.account_id).get(found.audience_id)
    told: dict[str, Any] = msgspec.to_builtins(found)
    return told | {"people": size[1] if size else None, "status": _state(catalog, found)}


def match_lines(catalog: Catalog, found: Audience) -> list[str]:
    """How the rows of a list match, in sentences; what is not known yet is said."""
    match = catalog.audiences.state(found.audience_id).get("match") or {}
    if match.get("version") != catalog.lists.version(found.audience_id):
        return [
            f"Rows: {catalog.lists.count(found.audience_id):,}. They are matched within seconds "
            "while a server runs."
        ]
    if not match["rows"]:
        return ["Rows: 0."]
    lines = [
        f"Rows: {match['rows']:,}, of which {match['matched']:,} match "
        f"({match['matched'] / match['rows']:.1%}): {match['persons']:,} people."
    ]
    lines += [f"  {match[name]:,} {words}." for name, words in _WHY_NOT.items() if match.get(name)]
    lines += [
        f"  By {each['kind']}: {each['matched']:,} of {each['rows']:,} rows."
        for each in match.get("kinds", [])
    ]
    return lines


_WHY_NOT = {
    "unknown": "are of nobody who was seen here",
    "no_key": "have nothing that names one person, such as an email or a phone number",
    "shared": "have only what too many share to be one person's",
    "opted_out": "are of people who withdrew consent",
    "limited": "are limited in their use (LDU)",
}
"""Why rows match nobody, the usual reason first."""
