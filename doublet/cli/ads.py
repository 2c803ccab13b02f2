"""`doublet ads …`: names, spend and touches of ads, from files, by hand and from other hosts."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from doublet.cli import imports
from doublet.cli.mapping import Choices, for_programs, given_mapping, split_sets
from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    SetOption,
    err,
    literal,
    open_catalog,
    print_json,
    print_rows,
    read_kept_settings,
    read_secret,
)
from doublet.cli.report import AsCsv, Since, Until, print_report

if TYPE_CHECKING:
    from doublet.ads.fields import What
    from doublet.ads.graph_run import Outcome
    from doublet.event import WireAdDay

ads_app = typer.Typer(
    help="Take in names, spend and touches of ads, and see what is known.", no_args_is_help=True
)


@ads_app.command("import")
def ads_import(
    file: imports.File,
    what: Annotated[
        Literal["days", "touches"] | None,
        typer.Option(
            "--what",
            help="days: names, spend and counts; touches: who saw or clicked an ad. Else guessed.",
        ),
    ] = None,
    maps: imports.Maps = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="FIELD=TEXT for all rows, such as platform=taboola; or any setting."
        ),
    ] = None,
    mapping: imports.MappingFile = None,
    save_mapping: imports.SaveMapping = None,
    decimal: imports.Decimal = None,
    dates: imports.Dates = None,
    time_zone: imports.TimeZone = None,
    encoding: imports.Encoding = "utf-8",
    form: imports.Format = None,
    again: Annotated[
        bool, typer.Option("--again", help="Import days that were imported before once more.")
    ] = False,
    dry_run: imports.DryRun = False,
    skip_bad: imports.SkipBad = False,
    bad_rows: imports.BadRows = None,
    yes: imports.Yes = False,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Import a platform's export, or the log of an ad server.

    The exports of Meta Ads Manager, Google Ads and TikTok are known by their columns; what each
    column is, is shown, and to be confirmed. All rows are imported or, when one is wrong, none. An
    import that was cut off goes on where it ended. A later figure of the same ad and day replaces
    the earlier; a touch counts once.

    Example: doublet ads import meta-november.csv --dry-run
    """
    choices = Choices(
        *(maps, pairs, mapping, save_mapping, decimal, dates, time_zone, encoding, form)
    )
    asked = imports.Asked(account, None, data, False, dry_run, skip_bad, bad_rows, yes, as_json)
    _import(file, what, choices, asked, again)


def _import(
    file: Path, what: What | None, choices: Choices, asked: imports.Asked, again: bool
) -> None:
    from doublet.accept.ad_touches import only_country
    from doublet.ads.fields import FIELDS_OF
    from doublet.ads.guess import guess_ads, guess_what, missing
    from doublet.ads.rows import AdPlan
    from doublet.imports.files import open_source
    from doublet.imports.mapping import Mapping as ColumnMapping

    source = open_source(file, choices.form, choices.encoding)
    held = what or guess_what(source.sample()[0])
    fields = FIELDS_OF[held]
    constants, settings_given = split_sets(choices.pairs, fields)
    chosen = read_kept_settings(asked.data, settings_given)
    catalog = open_catalog(chosen)
    owner = catalog.account(asked.account)

    def lacking(found: ColumnMapping) -> list[str]:
        return missing(held, found)

    guessed = imports.agreed_mapping(
        source,
        choices,
        asked,
        given_mapping(choices.mapping, choices.maps, constants, fields),
        lambda columns, rows, said, aside: guess_ads(
            held, columns, rows, said, owner.currency, aside
        ),
        owner,
        lacking,
        fields,
    )
    country = only_country(
        catalog.pixel_rules(pixel.pixel_id).phone_country
        for pixel in catalog.pixels(owner.account_id)
    )
    number = time.time_ns() if again and held == "days" else 0
    plan = AdPlan(source, guessed.mapping, owner, held, country, number)
    imports.run_plan(chosen, plan, asked, {"what": held, "mapping": for_programs(guessed)})


@ads_app.command("set")
def ads_set(
    platform: Annotated[str, typer.Option(help="meta, google, tiktok or the network's own name.")],
    campaign_id: Annotated[str | None, typer.Option(help="Campaign.")] = None,
    adset_id: Annotated[str | None, typer.Option(help="Ad set.")] = None,
    ad_id: Annotated[str | None, typer.Option(help="Ad.")] = None,
    campaign_name: Annotated[str | None, typer.Option(help="Its name.")] = None,
    adset_name: Annotated[str | None, typer.Option(help="Its name.")] = None,
    ad_name: Annotated[str | None, typer.Option(help="Its name.")] = None,
    day: Annotated[
        datetime | None,
        typer.Option("--date", formats=["%Y-%m-%d"], help="Of the figures; without, only names."),
    ] = None,
    spend: Annotated[str | None, typer.Option(help="Cost of the day: 49.90.")] = None,
    currency: Annotated[str | None, typer.Option(help="Left out: the account's.")] = None,
    impressions: Annotated[int | None, typer.Option(min=0, help="Of the day.")] = None,
    clicks: Annotated[int | None, typer.Option(min=0, help="Of the day.")] = None,
    reach: Annotated[int | None, typer.Option(min=0, help="Persons of the day.")] = None,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Say what a campaign, an ad set or an ad is called, or what one day of it cost.

    The row is of the finest id that is given. It replaces what was said of that day, or without a
    day the names that were said without one; what rows of other days call it stays. It is durable
    when the command ends.

    Example: doublet ads set --platform taboola --campaign-id 77 --date 2026-11-01 --spend 120
    """
    from doublet.event import WireAdDay

    chosen = read_kept_settings(data, pairs)
    owner = open_catalog(chosen).account(account)
    wire = WireAdDay(
        platform=platform,
        date=day.date().isoformat() if day else None,
        campaign_id=campaign_id,
        campaign_name=campaign_name,
        adset_id=adset_id,
        adset_name=adset_name,
        ad_id=ad_id,
        ad_name=ad_name,
        impressions=impressions,
        clicks=clicks,
        reach=reach,
        spend=spend,
        currency=currency or (owner.currency if spend else None),
    )
    record = _send(chosen, owner.account_id, wire)
    if as_json:
        print_json(record)
    else:
        of = record.get("date", "its name")
        print(
            f"{record['level']} {record[record['level'] + '_id']}, {of}: known. "
            "`doublet refresh` takes it into the reports now."
        )


def _send(chosen: Any, account_id: str, wire: WireAdDay) -> dict[str, Any]:
    import msgspec

    from doublet.accept import ad_day_record
    from doublet.deposit import deposit
    from doublet.errors import SenderError
    from doublet.refusal import Refusal

    with deposit(chosen, account_id) as slot:
        record = ad_day_record(wire, slot.arrival())
        if isinstance(record, Refusal):
            raise SenderError(record.message, "`doublet ads set --help` says what is needed.")
        slot.append([record])
    found: dict[str, Any] = msgspec.json.decode(record)
    return found


@ads_app.command("import-graph")
def ads_import_graph(
    url: Annotated[
        str, typer.Option(help="With the version: https://graph.facebook.com/v25.0, say.")
    ],
    ad_account: Annotated[str, typer.Option(help="act_… at that host.")],
    token_file: Annotated[str, typer.Option(help="File that holds the access token; - is stdin.")],
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="First day; left out: 28 days ago."),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day; left out: today.")
    ] = None,
    level: Annotated[
        Literal["campaign", "adset", "ad"], typer.Option(help="What a row is of.")
    ] = "ad",
    platform: Annotated[str, typer.Option(help="Whose ads these are.")] = "meta",
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Import names, spend, counts and the platform's own conversions from a Graph Insights API.

    An import that was cut off goes on where it ended when the command is run again within a day.
    Platforms correct the last 28 days; import them every day, later figures replace earlier ones.

    Example: doublet ads import-graph --url https://graph.example/v25.0 --ad-account act_1
    --token-file token.txt
    """
    from rich.progress import Progress

    from doublet.accept.platforms import platform_of
    from doublet.ads.graph import Asked, GraphHost
    from doublet.ads.graph_run import GraphPlan, import_days

    today = datetime.now(UTC).date()
    last = until.date() if until else today
    first = since.date() if since else last - timedelta(days=28)
    if first > last:
        raise typer.BadParameter(f"--until ({last}) is before --since ({first}).")
    named = platform_of(platform)
    if named is None:
        raise typer.BadParameter(f"{platform!r} is no platform; write meta, say.")
    chosen = read_kept_settings(data, pairs)
    owner = open_catalog(chosen).account(account)
    asked = Asked(ad_account, level, first, last)
    plan = GraphPlan(url.rstrip("/"), asked, owner, named, dated=bool(since or until))
    with (
        GraphHost(url, read_secret(token_file)) as host,
        Progress(console=err, transient=True) as bar,
    ):
        task = bar.add_task("Importing …", total=(last - first).days + 1)

        def tell(day: date, rows: int) -> None:
            done = (day - first).days
            bar.update(task, completed=done, description=f"{rows:,} rows until {day} …")

        outcome = import_days(chosen, host, plan, tell)
    if as_json:
        print_json(outcome._asdict())
        return
    went_on = ", going on where it was cut off" if outcome.is_resumed else ""
    print(f"{outcome.rows:,} rows from {first} to {last} imported{went_on}{_left_out(outcome)}.")
    for line in dict.fromkeys(outcome.why):
        err.print(literal(f"Left out: {line}"))


def _left_out(outcome: Outcome) -> str:
    left = f"; {outcome.left_out:,} left out" if outcome.left_out else ""
    lost = [
        *(f"{amount} {code}".strip() for code, amount in outcome.left_out_spend.items()),
        *([f"{count:,} impressions"] if (count := outcome.left_out_impressions) else []),
    ]
    return left + (f", with {' and '.join(lost)}" if lost else "")


@ads_app.command("list")
def ads_list(
    level: Annotated[
        Literal["campaign", "adset", "ad"] | None, typer.Option(help="Only these.")
    ] = None,
    account: AccountOption = None,
    since: Since = None,
    until: Until = None,
    data: Data = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    pairs: SetOption = None,
) -> None:
    """List what is known of ads: names, and what their days add up to.

    Example: doublet ads list --level campaign --since 2026-11-01
    """
    from doublet import reports
    from doublet.ask import read_known_ads
    from doublet.cli.report import check_forms
    from doublet.reports.known_ads import KnownAdRow

    check_forms(since, until, as_json and as_csv)
    chosen = read_kept_settings(data, pairs)
    owner = open_catalog(chosen).account(account)
    days: dict[str, date | None] = {
        "since": since.date() if since else None,
        "until": until.date() if until else None,
    }
    found = read_known_ads(chosen, owner, **days)
    rows = [row for row in found if level in (None, row.level)]
    if as_json:
        print_report(rows)
    elif as_csv:
        print(reports.as_csv(rows, KnownAdRow), end="")
    elif not rows:
        err.print("No ads are known yet: `doublet ads import FILE`, or `doublet ads set`.")
    else:
        print_rows([_for_people(row) for row in rows], as_json=False)


def _for_people(row: Any) -> dict[str, object]:
    own_id, own_name = getattr(row, f"{row.level}_id"), getattr(row, f"{row.level}_name")
    above = {"campaign": None, "adset": row.campaign_name or row.campaign_id}
    return {
        "platform": row.platform,
        "level": row.level,
        "id": own_id,
        "name": own_name,
        "of": above.get(row.level, row.adset_name or row.adset_id or row.campaign_id),
        "days": f"{row.days:,}",
        "until": row.last_date,
        "impressions": f"{row.impressions:,}",
        "clicks": f"{row.clicks:,}",
        "spend": f"{row.spend:,.2f} {literal(row.currency or '')}".strip(),
    }
