"""`doublet lead …`: what became of leads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from doublet.cli import imports
from doublet.cli.mapping import Choices
from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    SetOption,
    not_empty,
    open_catalog,
    print_json,
    read_kept_settings,
)

lead_app = typer.Typer(help="Say what became of leads.", no_args_is_help=True)

Crm = Annotated[
    str | None, typer.Option("--crm", help="Name of the CRM, such as HubSpot.", callback=not_empty)
]


@lead_app.command("import")
def lead_import(
    file: imports.File,
    crm: Crm = None,
    pixel: imports.OfPixel = None,
    maps: imports.Maps = None,
    pairs: imports.Sets = None,
    mapping: imports.MappingFile = None,
    save_mapping: imports.SaveMapping = None,
    decimal: imports.Decimal = None,
    dates: imports.Dates = None,
    time_zone: imports.TimeZone = None,
    encoding: imports.Encoding = "utf-8",
    form: imports.Format = None,
    history: imports.History = False,
    dry_run: imports.DryRun = False,
    skip_bad: imports.SkipBad = False,
    bad_rows: imports.BadRows = None,
    yes: imports.Yes = False,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Import stages of leads from a CRM's file, a row for each stage that a lead has reached.

    Columns: lead_id, stage, changed_at, and if need be email, phone, external_id, value, currency,
    under whatever names; what each column is, is guessed, shown, and to be confirmed. Importing
    again repeats nothing.

    Example: doublet lead import stages.csv --crm HubSpot --dry-run
    """
    from doublet.accept.leads import ACTION_SOURCE, EVENT_SOURCE
    from doublet.imports.fields import CUSTOM, LEAD_NAMES

    constants = {"action_source": ACTION_SOURCE, f"{CUSTOM}event_source": EVENT_SOURCE}
    if crm:
        constants[f"{CUSTOM}lead_event_source"] = crm
    choices = Choices(
        *(maps, pairs, mapping, save_mapping, decimal, dates, time_zone, encoding, form)
    )
    asked = imports.Asked(account, pixel, data, history, dry_run, skip_bad, bad_rows, yes, as_json)
    imports.import_rows(file, choices, asked, LEAD_NAMES, constants)


@lead_app.command("stage")
def lead_stage(
    lead_id: Annotated[
        str, typer.Argument(help="The site's event id of the Lead, Meta's id, or the CRM's.")
    ],
    stage: Annotated[str, typer.Argument(help="Its name in the CRM: qualified, won, …")],
    at: Annotated[
        str | None, typer.Option(help="When it was reached, with an offset; left out: now.")
    ] = None,
    email: Annotated[str | None, typer.Option(help="Plain or SHA-256; hashed at once.")] = None,
    phone: Annotated[str | None, typer.Option(help="Plain or SHA-256; hashed at once.")] = None,
    value: Annotated[str | None, typer.Option(help="What the lead is worth: 49.90.")] = None,
    currency: Annotated[str | None, typer.Option(help="Of the value.")] = None,
    crm: Crm = None,
    pixel: imports.OfPixel = None,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Say that one lead has reached a stage; it is durable when the command ends.

    Example: doublet lead stage lead.77 qualified --value 500 --currency EUR
    """
    from doublet.accept import accept_leads
    from doublet.deposit import deposit
    from doublet.errors import SenderError
    from doublet.event import LeadsRequest, WireLead
    from doublet.refusal import Refusal

    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    owner = catalog.account(account)
    pixel_id = imports.chosen_pixel(catalog, owner, pixel)
    lead = WireLead(
        lead_id=lead_id,
        stage=stage,
        changed_at=at or datetime.now(UTC).isoformat(),
        email=email,
        phone=phone,
        value=value,
        currency=currency,
        crm=crm,
    )
    pixels = {pixel_id: catalog.pixel_rules(pixel_id).phone_country}
    with deposit(chosen, owner.account_id) as slot:
        records = accept_leads(LeadsRequest(data=[lead]), slot.arrival(), pixels)
        if isinstance(records, Refusal):
            message = records.message.partition(": ")[2]
            raise SenderError(message, "`doublet lead stage --help` says what is needed.")
        slot.append(records)
    if as_json:
        print_json({"lead_id": lead_id, "stage": stage})
    else:
        print(f"Lead {lead_id}: {stage}. `doublet refresh` takes it into the reports now.")
