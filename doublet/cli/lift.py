"""`doublet lift …`: what ads have caused, from a random holdout of persons."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table as RichTable

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    SetOption,
    err,
    literal,
    not_empty,
    open_catalog,
    out,
    print_json,
    read_kept_settings,
)
from doublet.cli.report import Since, Until, check_forms, print_report

if TYPE_CHECKING:
    from doublet.lift.estimate import Effect
    from doublet.lift.report import LiftReport, LiftRow

lift_app = typer.Typer(
    help="What ads have caused, from a random holdout of persons.", no_args_is_help=True
)

Share = Annotated[
    float | None,
    typer.Option("--holdout", help="Share that was to be held out, to check it.", min=0, max=1),
]


@lift_app.command("report")
def lift_report(
    experiment: Annotated[
        str | None, typer.Option(help="Only this experiment.", callback=not_empty)
    ] = None,
    campaign: Annotated[
        str | None, typer.Option(help="Only this campaign's id.", callback=not_empty)
    ] = None,
    by: Annotated[
        Literal["campaign", "experiment"], typer.Option(help="What a row is about.")
    ] = "campaign",
    event_name: Annotated[
        str, typer.Option("--event-name", help="What counts as a conversion.", callback=not_empty)
    ] = "Purchase",
    window_days: Annotated[
        int, typer.Option(help="Days from a person's first opportunity.", min=1, max=400)
    ] = 28,
    holdout: Share = None,
    lift: Annotated[
        float, typer.Option(help="Lift for which to say how many persons it needs.", min=0.001)
    ] = 0.1,
    account: AccountOption = None,
    since: Since = None,
    until: Until = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Conversions with the ads and without, their difference with an interval of 95 %.

    Days are those of a person's first opportunity to be shown an ad.

    Example: doublet lift report --experiment spring --holdout 0.1
    """
    from doublet.ask import read_lift
    from doublet.lift.report import Asked

    check_forms(since, until, False)
    chosen = read_kept_settings(data, pairs)
    owner = open_catalog(chosen).account(account)
    asked = Asked(
        event_name=event_name,
        experiment=experiment,
        campaign_id=campaign,
        by_campaign=by == "campaign",
        window_days=window_days,
        since=since.date() if since else None,
        until=until.date() if until else None,
        holdout=_open_share(holdout),
        lift=lift,
    )
    report = read_lift(chosen, owner, asked)
    if as_json:
        print_report(report)
    elif not report.rows:
        err.print(
            "No opportunities of an experiment. Ad logs tell of them with `experiment`, as "
            "view or as held_out (docs/lift.md)."
        )
    else:
        _print(report)


@lift_app.command("power")
def lift_power(
    rate: Annotated[
        float,
        typer.Option(help="Conversions per person without ads, in the window; or their share."),
    ],
    holdout: Annotated[float, typer.Option(help="Share to hold out.", min=0, max=1)] = 0.1,
    lift: Annotated[
        float | None, typer.Option(help="Lift to be shown: 0.1 is a tenth more.", min=0.0001)
    ] = None,
    persons: Annotated[
        int | None, typer.Option(help="Persons with an opportunity, both arms.", min=1)
    ] = None,
    dispersion: Annotated[
        float, typer.Option(help="Variance of conversions over their mean.", min=0.0001)
    ] = 1.0,
    power: Annotated[float, typer.Option(help="Chance to show it.", min=0.01, max=0.999)] = 0.8,
    as_json: AsJson = False,
) -> None:
    """How many persons a holdout needs for a lift, or what lift so many persons show.

    Example: doublet lift power --rate 0.05 --holdout 0.1 --lift 0.1
    """
    from doublet.lift.power import Plan, lift_detectable, persons_needed

    if not all(map(isfinite, (rate, dispersion, power, lift or 0))):
        raise typer.BadParameter("--rate, --dispersion, --power and --lift must be numbers.")
    if rate <= 0:
        raise typer.BadParameter("--rate must be above zero.")
    if (lift is None) == (persons is None):
        raise typer.BadParameter("Give --lift or --persons; the other one is the answer.")
    share = _open_share(holdout)
    assert share is not None
    plan = Plan(rate, dispersion, share, power)
    found: dict[str, float | None] = {"lift": lift, "persons": persons}
    if lift is not None:
        found["persons"] = needed = persons_needed(plan, lift)
        said = f"{needed:,} persons with an opportunity, {round(needed * share):,} of them held out"
    else:
        assert persons is not None
        found["lift"] = detectable = lift_detectable(plan, persons)
        said = "No lift of any size" if detectable is None else f"A lift of {detectable:.2%}"
    if as_json:
        print_json({**plan._asdict(), **found})
        return
    out.print(f"{said}, shown with a power of {power:.0%}.")


@lift_app.command("draw")
def lift_draw(
    experiment: Annotated[str, typer.Argument(help="Name of the experiment.", callback=not_empty)],
    identifiers: Annotated[list[str], typer.Argument(help="Whom an ad is about to be shown.")],
    holdout: Annotated[float, typer.Option(help="Share to hold out.", min=0, max=1)] = 0.1,
    as_json: AsJson = False,
) -> None:
    """Who is held out: the draw that an ad server makes, to compare its own with.

    Example: doublet lift draw spring fb.1.1780000000000.1234567890 --holdout 0.1
    """
    from doublet.lift import is_held_out

    drawn = {each: is_held_out(experiment, each, holdout) for each in identifiers}
    if as_json:
        print_json(drawn)
        return
    for identifier, is_out in drawn.items():
        out.print(f"{literal(identifier)}  {'held out' if is_out else 'shown'}")


def _open_share(share: float | None) -> float | None:
    if share is not None and not 0 < share < 1:
        raise typer.BadParameter("--holdout must be between 0 and 1, and neither of them.")
    return share


def _print(report: LiftReport) -> None:
    table = RichTable("experiment", "campaign", "arm")
    for title in ("persons", "converters", "conversions", f"value {report.currency}"):
        table.add_column(title, justify="right")
    for row in report.rows:
        name = (literal(row.experiment), literal(row.campaign_id or "all"))
        for arm, said in ((row.held_out, "held out"), (row.shown, "shown")):
            counts = (arm.persons, arm.converters, arm.conversions)
            table.add_row(*name, said, *(f"{count:,}" for count in counts), f"{arm.value:,.2f}")
            name = ("", "")
    out.print(table)
    if any(row.conversions for row in report.rows):
        _print_effects(report)
    for row in report.rows:
        where = f"{row.experiment}, {row.campaign_id}" if row.campaign_id else row.experiment
        for sentence in _sentences(row):
            err.print(f"{literal(where)}: {escape(sentence)}")


def _print_effects(report: LiftReport) -> None:
    table = RichTable("experiment", "campaign", "of", title="with 95 % intervals")
    for title in ("per person", "caused by the ads", "lift"):
        table.add_column(title, justify="right")
    for row in report.rows:
        name = (literal(row.experiment), literal(row.campaign_id or "all"))
        effects: dict[str, Effect | None] = {
            "converters": row.converters,
            "conversions": row.conversions,
            f"value {report.currency}": row.value,
        }
        for said, effect in effects.items():
            if effect is not None:
                table.add_row(*name, said, *_figures(effect))
                name = ("", "")
    out.print(table)


def _figures(effect: Effect) -> tuple[str, str, str]:
    return (
        f"{effect.per_person:+.4f} [{effect.per_person_low:+.4f}, {effect.per_person_high:+.4f}]",
        f"{effect.incremental:+,.0f} [{effect.incremental_low:+,.0f}, "
        f"{effect.incremental_high:+,.0f}]",
        f"{effect.lift:+.1%} [{effect.lift_low:+.1%}, {effect.lift_high:+.1%}]",
    )


def _sentences(row: LiftRow) -> list[str]:
    said = [row.reason]
    if row.more_persons:
        days = f", {row.more_days:,.1f} days at the present rate" if row.more_days else ""
        said.append(f"Needed: {row.more_persons:,} more persons{days}.")
    if row.lift_detectable is not None and row.verdict == "not shown":
        said.append(f"As many persons as now show a lift of {row.lift_detectable:.1%} or more.")
    if row.in_both:
        said.append(f"{row.in_both:,} persons are in both arms, and count in that of the first.")
    if row.still_open:
        said.append(f"{row.still_open:,} persons have not yet had the whole window.")
    if row.without_rate:
        said.append(f"{row.without_rate:,} conversions are without value, for lack of a rate.")
    return said
