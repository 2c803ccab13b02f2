"""`doublet person …`: what is kept about a person, and that it be erased."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
import typer

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    SetOption,
    err,
    open_catalog,
    print_json,
    read_kept_settings,
    record,
)
from doublet.errors import OperatorError
from doublet.settings import Settings

person_app = typer.Typer(
    help="Who is who, and what is kept about whom. Plain values are hashed first.",
    no_args_is_help=True,
)

_LOOK_S = 0.2

Email = Annotated[list[str] | None, typer.Option("--email", help="E-mail address.")]
Phone = Annotated[list[str] | None, typer.Option("--phone", help="Phone number with country code.")]
ExternalId = Annotated[
    list[str] | None, typer.Option("--external-id", help="The shop's own id of the person.")
]
Fbp = Annotated[list[str] | None, typer.Option("--fbp", help="Value of the cookie _fbp.")]
Fbc = Annotated[list[str] | None, typer.Option("--fbc", help="Value of the cookie _fbc.")]
LeadId = Annotated[list[str] | None, typer.Option("--lead-id", help="Id of a lead.")]
Key = Annotated[
    list[str] | None,
    typer.Option("--key", help="Any key of user_data, as KEY=VALUE, e.g. em=SHA-256."),
]
Exact = Annotated[
    bool, typer.Option("--exact", help="Only records with these identifiers; follow no others.")
]
Shared = Annotated[
    bool,
    typer.Option("--shared", help="Take also records by a given identifier that many share."),
]


def _user_data(key: list[str] | None, **given: list[str] | None) -> dict[str, list[str]]:
    user_data = {name: values for name, values in given.items() if values}
    for pair in key or []:
        name, is_pair, value = pair.partition("=")
        if not is_pair:
            raise typer.BadParameter("--key wants KEY=VALUE, such as em=HASH.")
        user_data.setdefault(name, []).append(value)
    return user_data


class _Persons:
    """The running worker, or the data folder itself when none runs."""

    def __init__(
        self, chosen: Settings, account: str | None, user_data: dict[str, Any], **flags: bool
    ) -> None:
        from doublet.person import Wish, read_identifiers

        account_id = open_catalog(chosen).account(account).account_id
        self._chosen = chosen
        self._wish = Wish(account_id, read_identifiers(user_data), **flags)
        # The worker hashes again what is hashed: it stays as it is.
        hashed: dict[str, list[str]] = {}
        for identifier in self._wish.identifiers:
            key, _, value = identifier.partition("=")
            hashed.setdefault(key, []).append(value)
        self._ask = {"user_data": hashed, "account": account_id, **flags}

    def export(self) -> bytes:
        """All that is kept, as JSON lines."""
        from doublet.rounds import Freshener
        from doublet.web.person import as_lines

        lines = self._post("/v1/person/export")
        if lines is None:
            freshener = Freshener(self._chosen, keeps_rules=True)
            try:
                rows = freshener.export_person(self._wish)
            finally:
                freshener.close()
            lines = as_lines(rows)
            # A running worker records it itself.
            account_id = self._wish.account_id
            record(open_catalog(self._chosen), "person.exported", "", account_id, rows=len(rows))
        return lines

    def plan(self) -> dict[str, Any]:
        """What would go."""
        from doublet.rounds import Freshener

        answer = self._post("/v1/person/erase", dry_run=True)
        if answer is not None:
            return msgspec.json.decode(answer, type=dict[str, Any])
        freshener = Freshener(self._chosen, keeps_rules=True)
        try:
            return freshener.find_person(self._wish).figures()
        finally:
            freshener.close()

    def erase(self) -> dict[str, Any]:
        """Erase, and wait until it is done."""
        from doublet.audiencing import forget_in_lists
        from doublet.relaying import filler_of
        from doublet.rounds import Freshener
        from doublet.web.person import shown

        answer = self._post("/v1/person/erase")
        if answer is not None:
            return self._wait(msgspec.json.decode(answer, type=dict[str, Any])["id"])
        freshener = Freshener(self._chosen, keeps_rules=True)
        catalog = open_catalog(self._chosen)
        filler = filler_of(self._chosen, catalog, freshener)
        forget_in_lists(catalog, freshener)
        try:
            erasure_id = freshener.ask_to_erase(self._wish).erasure_id
            record(catalog, "person.erased", erasure_id, self._wish.account_id)
            freshener.erase()
            (done,) = (e for e in freshener.erasures.all() if e.erasure_id == erasure_id)
            return shown(done)
        finally:
            filler.close()
            freshener.close()

    def _wait(self, erasure_id: str) -> dict[str, Any]:
        """Ask for its state until it is done."""
        from doublet.ask import ask_worker

        words = {"asked": "waiting", "searching": "searching", "found": "erasing"}
        with err.status("Erasing …") as status:
            while True:
                answer = ask_worker(self._chosen, "GET", "/v1/person/erasures", {"id": erasure_id})
                if answer is None:
                    raise OperatorError(
                        f"The worker stopped; erasure {erasure_id} goes on when it runs again.",
                        "`doublet person erasures` shows its state.",
                    )
                ((state),) = msgspec.json.decode(answer, type=list[dict[str, Any]])
                if state["state"] == "done":
                    return state
                status.update(f"Erasure {erasure_id}: {words[state['state']]} …")
                time.sleep(_LOOK_S)

    def _post(self, path: str, **more: bool) -> bytes | None:
        from doublet.ask import ROUND_TIMEOUT_S, ask_worker

        body = msgspec.json.encode({**self._ask, **more})
        return ask_worker(self._chosen, "POST", path, timeout_s=ROUND_TIMEOUT_S, body=body)


@person_app.command("export")
def person_export(
    email: Email = None,
    phone: Phone = None,
    external_id: ExternalId = None,
    fbp: Fbp = None,
    fbc: Fbc = None,
    lead_id: LeadId = None,
    key: Key = None,
    exact: Exact = False,
    shared: Shared = False,
    output: Annotated[
        Path | None, typer.Option("--output", help="New file, for you alone, instead of printing.")
    ] = None,
    account: AccountOption = None,
    data: Data = None,
    pairs: SetOption = None,
) -> None:
    """Print all that is kept about a person as JSON lines: what, where, in full.

    Example: doublet person export --email jo@example.com --output jo.jsonl
    """
    user_data = _user_data(
        key, em=email, ph=phone, external_id=external_id, fbp=fbp, fbc=fbc, lead_id=lead_id
    )
    chosen = read_kept_settings(data, pairs)
    persons = _Persons(chosen, account, user_data, exact=exact, shared=shared)
    if output is None:
        lines = persons.export()
        print(lines.decode(), end="")
    else:
        with _new_file(output) as stream:
            lines = persons.export()
            stream.write(lines)
    # The first line says what the person is known by.
    if lines.count(b"\n") < 2:
        err.print("Nothing is kept about a person with these identifiers.")


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file for this user alone; none is left when what should fill it fails."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise OperatorError(f"{path} exists.", "Name a new file, or remove it first.") from None
    try:
        with os.fdopen(file, "wb") as stream:
            yield stream
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@person_app.command("erase")
def person_erase(
    email: Email = None,
    phone: Phone = None,
    external_id: ExternalId = None,
    fbp: Fbp = None,
    fbc: Fbc = None,
    lead_id: LeadId = None,
    key: Key = None,
    exact: Exact = False,
    shared: Shared = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Take out of all that is kept whatever identifies a person, for ever; figures stay.

    Example: doublet person erase --email jo@example.com --dry-run
    """
    user_data = _user_data(
        key, em=email, ph=phone, external_id=external_id, fbp=fbp, fbc=fbc, lead_id=lead_id
    )
    chosen = read_kept_settings(data, pairs)
    persons = _Persons(chosen, account, user_data, exact=exact, shared=shared)
    done = persons.plan() if dry_run else persons.erase()
    if as_json:
        print_json(done)
        return
    counts = f"{done['copies']:,} copies of events, {done['refused']:,} refused requests"
    print(f"{counts}, {done['touches']:,} ad touches", end="")
    print(" would be made anonymous." if dry_run else f" made anonymous (erasure {done['id']}).")
    if dry_run:
        held = ", ".join(f"{count} {kind}" for kind, count in done["identifiers"].items())
        print(f"Identifiers: {held or 'none'}.")
        if done["kept_apart"]:
            held = ", ".join(f"{count} {kind}" for kind, count in done["kept_apart"].items())
            print(
                f"Kept apart by decisions (doublet person decisions), and somebody else's: {held}."
            )
        for one in done["not_followed"]:
            print(
                f"Not followed: {one['key']} of {one['records']:,} records, beside "
                f"{one['others']:,} other identifiers; many people share it."
            )


@person_app.command("erasures")
def person_erasures(data: Data = None, as_json: AsJson = False, pairs: SetOption = None) -> None:
    """List the erasures: what was asked when, and whether it is done."""
    from doublet.cli.options import print_rows
    from doublet.person import Erasures
    from doublet.web.person import shown

    rows = [shown(e) for e in Erasures(read_kept_settings(data, pairs).erasures_folder).all()]
    print_rows(rows, as_json)
