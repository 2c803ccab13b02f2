"""`doublet report …`, the reports of conversions: campaigns, paths, customers, differences."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import typer

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    PixelOption,
    SetOption,
    err,
    literal,
    read_kept_settings,
)
from doublet.cli.report import (
    AsCsv,
    Since,
    Until,
    check_forms,
    print_report,
    question_of,
)
from doublet.errors import OperatorError, SenderError

if TYPE_CHECKING:
    from doublet.reports.asked import Asked

EventNames = Annotated[
    list[str] | None,
    typer.Option(
        "--event-name", help="Which events are conversions; may be repeated; as the account says."
    ),
]
Steps = Annotated[
    list[str] | None, typer.Option("--event-name", help="The steps in order; repeat it.")
]
First = Annotated[
    bool | None,
    typer.Option(
        "--first/--all",
        help="Only a person's first conversion after each touch, or all; as the account says.",
        show_default=False,
    ),
]
LevelOption = Annotated[
    Literal["account", "channel", "campaign", "adset", "ad"],
    typer.Option("--level", help="What has a row of its own."),
]
SettingOption = Annotated[
    str | None,
    typer.Option(
        "--setting",
        help="How long touches claim, e.g. 7d_click,1d_ev,1d_view; as the account says.",
    ),
]
ParquetFile = Annotated[
    Path | None, typer.Option("--parquet", help="Write the rows to this Parquet file.")
]
PngFile = Annotated[Path | None, typer.Option("--png", help="Draw them into this PNG file.")]
SvgFile = Annotated[Path | None, typer.Option("--svg", help="Draw them into this SVG file.")]

_SETTING = "7d_click,1d_ev,1d_view"
_DAYS = typer.Option("--days", help="How old a click may be, in days.")
Days = Annotated[int, _DAYS]

# Every command has these beside its own.
_COMMON: dict[str, tuple[Any, Any]] = {
    "account": (AccountOption, None),
    "pixel": (PixelOption, None),
    "event_name": (EventNames, None),
    "first": (First, None),
    "since": (Since, None),
    "until": (Until, None),
    "data": (Data, None),
    "as_json": (AsJson, False),
    "as_csv": (AsCsv, False),
    "parquet": (ParquetFile, None),
    "png": (PngFile, None),
    "svg": (SvgFile, None),
    "pairs": (SetOption, None),
}


def _command(
    name: str, about: str, without: str = "", **own: tuple[Any, Any]
) -> Callable[..., None]:
    """A command for a report of `doublet.reports.registry`: its own options are fields of what the
    report is asked, with type and default; `without` names common ones that it lacks."""
    options = {key: value for key, value in (own | _COMMON).items() if key not in without.split()}
    options |= {key: own[key] for key in own}

    def command(**given: Any) -> None:
        _run(name, {key: given[key] for key in own if key != "event_name"}, given)

    command.__doc__ = about
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for key, (kind, default) in options.items()
        ]
    )
    command.__annotations__ = {key: kind for key, (kind, _) in options.items()}
    return command


def _run(name: str, own: dict[str, Any], given: dict[str, Any]) -> None:
    from doublet.ask_attribution import read_report
    from doublet.reports import as_csv
    from doublet.reports.registry import REPORTS

    check_forms(given["since"], given["until"], given["as_json"] and given["as_csv"])
    report = REPORTS[name]
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in own.items()}
    fields = {key: value for key, value in fields.items() if value is not None}
    if given["event_name"]:
        fields["event_name"] = tuple(given["event_name"])
    if given.get("first") is not None:
        fields["first"] = given["first"]
    # What cannot be meant is said before anything is opened.
    wished = _checked(report.asked, fields)
    chosen = read_kept_settings(given["data"], given["pairs"])
    account, pixel = given["account"], given["pixel"]
    owner, filters = question_of(chosen, account, pixel, given["since"], given["until"])
    asked = msgspec.structs.replace(
        wished, pixel_id=filters["pixel_id"], since=filters["since"], until=filters["until"]
    )
    answer = read_report(chosen, owner, name, asked)
    rows = report.rows(answer)
    is_written = _write_files(name, answer, rows, given)
    if given["as_json"]:
        print_report(answer)
    elif given["as_csv"]:
        print(as_csv(rows, report.row), end="")
    elif not rows:
        _say_empty(name, filters)
    elif not is_written:
        from doublet.cli.attribution_tables import print_answer

        print_answer(name, answer)


def _checked(kind: type[Asked], fields: dict[str, Any]) -> Asked:
    """What a report is asked. Raises typer.BadParameter when it cannot be meant."""
    from doublet.reports.asked import read_options

    try:
        return read_options(kind, fields)
    except SenderError as error:
        raise typer.BadParameter(str(error)) from error


def _write_files(name: str, answer: Any, rows: Any, given: dict[str, Any]) -> bool:
    """Write what was asked for into files; whether anything was."""
    from doublet.reports.parquet import write_parquet
    from doublet.reports.registry import REPORTS

    file: Path | None = given["parquet"]
    if file is not None:
        write_parquet(rows, REPORTS[name].row, file)
        err.print(f"Wrote {literal(str(file))}: {len(rows):,} rows.")
    for form in ("png", "svg"):
        picture: Path | None = given[form]
        if picture is not None:
            _draw(name, answer, form, picture)
            err.print(f"Drew {literal(str(picture))}.")
    return any(given[form] is not None for form in ("parquet", "png", "svg"))


def _draw(name: str, answer: Any, form: str, file: Path) -> None:
    from doublet.web.pictures import specification
    from doublet.web.render import render_bytes

    text = json.dumps(specification(name, answer, "light", is_file=True))
    try:
        file.write_bytes(render_bytes(form, text))
    except OSError as error:
        raise OperatorError(
            f"{file} cannot be written: {error.strerror}.", "Name a file in a folder that is yours."
        ) from error


_EMPTY = {
    "campaigns": "Campaigns appear here with their spend and what they brought. "
    "`doublet ads import FILE` takes both names and spend of a platform's export.",
    "credits": "Conversions appear here as they come: `doublet pixel create NAME` prints what to "
    "paste into a site.",
    "paths": "Paths appear here with the first conversion: `doublet pixel create NAME` prints what "
    "to paste into a site.",
    "time_to_conversion": "Times appear here with the first conversion after a click on an ad: "
    "have ads lead to pages with the pixel.",
    "windows": "Windows appear here with the first conversion: `doublet pixel create NAME` prints "
    "what to paste into a site; `doublet ads import FILE` takes names and views of ads.",
    "funnels": "Steps appear here once a person takes the first one: send ViewContent, AddToCart, "
    "InitiateCheckout and Purchase, or name your own steps with --event-name.",
    "cohorts": "Customers appear here with their first purchase: send Purchase events with "
    "user_data that names the person, such as em.",
    "new_returning": "Purchases appear here, by who made them: send Purchase events with user_data "
    "that names the person, such as em.",
    "server_extra": "Conversions appear here that no browser reported: send events from your "
    "server too; `doublet recipe` prints how.",
    "refunds": "Purchases appear here with what of them went back: send Purchase events with an "
    "order_id, and connect the shop with `doublet shop connect`.",
    "differences": "Platforms appear here once their own figures are known: "
    "`doublet ads import FILE` takes a platform's export with its conversions.",
}


def _say_empty(name: str, filters: Any) -> None:
    if any(filters.values()):
        err.print("Nothing matches. Leave --since, --until and --pixel out to see more.")
    else:
        err.print(_EMPTY[name])


_WINDOWS = Annotated[
    list[str] | None,
    typer.Option("--window", help="default, 1d_click, 7d_click, …; may be repeated."),
]
_MODELS = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="last_touch, first_touch, linear, time_decay, position_based, markov or shapley; may "
        "be repeated.",
    ),
]


def _only(flag: str, what: str) -> Any:
    """The option that leaves what lies beneath one channel, campaign or ad set."""
    return Annotated[str | None, typer.Option(flag, help=f"Only what belongs to this {what}.")]


ATTRIBUTION_COMMANDS: dict[str, Callable[..., None]] = {
    "campaigns": _command(
        "campaigns",
        """What each campaign cost and brought, under several windows and models side by side.

    Example: doublet report campaigns --level ad --window 7d_click --window 1d_view --png ads.png
    """,
        level=(LevelOption, "campaign"),
        setting=(SettingOption, None),
        window=(_WINDOWS, None),
        model=(_MODELS, None),
        channel=(_only("--channel", "channel"), None),
        campaign_id=(_only("--campaign-id", "campaign"), None),
        adset_id=(_only("--adset-id", "ad set"), None),
    ),
    "credits": _command(
        "credits",
        """Each conversion with the touches that have a share of it, in long form.

    Example: doublet report credits --model linear --limit 100000 --parquet credits.parquet
    """,
        setting=(SettingOption, None),
        window=(_WINDOWS, None),
        model=(_MODELS, None),
        limit=(Annotated[int, typer.Option(help="Rows at most.")], 1000),
    ),
    "paths": _command(
        "paths",
        """The most frequent paths of touches to conversion.

    Example: doublet report paths --by campaign --days 7
    """,
        by=(
            Annotated[
                Literal["channel", "campaign"], typer.Option(help="What a step is called by.")
            ],
            "channel",
        ),
        days=(Days, 28),
        repeats=(
            Annotated[
                bool, typer.Option("--repeats", help="Keep a step that repeats the last one.")
            ],
            False,
        ),
        limit=(Annotated[int, typer.Option(help="Paths with a row of their own.")], 50),
    ),
    "time_to_conversion": _command(
        "time_to_conversion",
        """How long after the first and after the last touch persons convert.

    Example: doublet report time_to_conversion --since 2026-11-01 --svg lags.svg
    """,
        days=(Days, 28),
    ),
    "windows": _command(
        "windows",
        """What ads claim under each attribution window, and what changes between them.

    Example: doublet report windows --level channel
    """,
        level=(LevelOption, "campaign"),
        setting=(SettingOption, None),
    ),
    "funnels": _command(
        "funnels",
        """How many persons go which steps, in order, and where they are lost.

    Example: doublet report funnels --event-name ViewContent --event-name Purchase --by channel
    """,
        without="first",
        event_name=(Steps, None),
        days=(Annotated[int, typer.Option(help="Days from the first step to the last.")], 7),
        by=(
            Annotated[Literal["all", "channel"], typer.Option(help="Each channel by itself.")],
            "all",
        ),
    ),
    "cohorts": _command(
        "cohorts",
        """What becomes of customers, by the week or month of their first purchase.

    Example: doublet report cohorts --by week --png cohorts.png
    """,
        without="first",
        by=(
            Annotated[Literal["week", "month"], typer.Option(help="How long a period is.")],
            "month",
        ),
    ),
    "new_returning": _command(
        "new_returning",
        """Purchases of new and of returning customers, per day, week or month.

    Example: doublet report new_returning --by week
    """,
        without="first",
        by=(
            Annotated[Literal["day", "week", "month"], typer.Option(help="How long a row is.")],
            "day",
        ),
    ),
    "server_extra": _command(
        "server_extra",
        """Conversions that only the server reported, and whether an ad claims them.

    Example: doublet report server_extra --by campaign
    """,
        by=(
            Annotated[
                Literal["name", "channel", "campaign"],
                typer.Option(help="What has a row of its own."),
            ],
            "name",
        ),
        setting=(SettingOption, None),
    ),
    "refunds": _command(
        "refunds",
        """What is left of the purchases that each campaign brought, less what went back.

    Example: doublet report refunds --level ad --csv
    """,
        without="first",
        level=(LevelOption, "campaign"),
        setting=(SettingOption, None),
    ),
    "differences": _command(
        "differences",
        """What a platform reports, split from what is counted here into parts that add up exactly.

    Example: doublet report differences --since 2026-11-01 --platform-setting 7d_click,1d_view
    """,
        level=(
            Annotated[
                Literal["platform", "campaign"],
                typer.Option("--level", help="What has a row of its own."),
            ],
            "platform",
        ),
        setting=(SettingOption, None),
        platform_setting=(
            Annotated[
                str, typer.Option("--platform-setting", help="The same of the platform's ad sets.")
            ],
            _SETTING,
        ),
        action_type=(
            Annotated[
                str | None,
                typer.Option("--action-type", help="The platform's name of the event."),
            ],
            None,
        ),
    ),
}
"""The commands of `doublet report` that are made here, by name."""
