"""All settings: one struct, from which the command line, the files and the docs are made.

Precedence: flags > environment (`DOUBLET_<NAME>`) > `doublet.toml` > default.
"""

from __future__ import annotations

import difflib
import hashlib
import ipaddress
import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from doublet.errors import SettingsError

Effect = Literal["live", "restart", "rebuild"]

MIB = 1 << 20


def _meta(help: str, effect: Effect = "restart", **bounds: Any) -> Meta:
    return Meta(description=help, extra={"effect": effect}, **bounds)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting with its default. Units are the last word of a name."""

    data: Annotated[Path, _meta("Folder that holds everything Doublet stores.")] = Path(
        "doublet-data"
    )
    host: Annotated[str, _meta("Address the public port listens on.")] = "127.0.0.1"
    port: Annotated[int, _meta("Public port.", ge=1, le=65535)] = 8700
    workers: Annotated[int, _meta("Collector processes.", ge=1, le=64)] = 2
    public_url: Annotated[
        str, _meta("Address under which browsers reach this server; goes into snippets.")
    ] = ""
    trusted_proxies: Annotated[
        str,
        _meta(
            "Addresses or networks (comma-separated) whose X-Forwarded-For and "
            "X-Forwarded-Proto headers are believed."
        ),
    ] = ""
    datacenter_networks: Annotated[
        str,
        _meta(
            "File with a network (CIDR) per line; with --mark-bots, hits from there are marked "
            "datacenter. Empty: none."
        ),
    ] = ""
    faults: Annotated[
        str,
        _meta("File of faults that `serve` lets clients meet, to test them; empty: none."),
    ] = ""
    log: Annotated[str, _meta("URL of the log; empty: segments in the data folder.")] = ""
    lake: Annotated[str, _meta("URL of the lake; empty: Delta tables in the data folder.")] = ""
    engine: Annotated[str, _meta("URL of the engine; empty: DuckDB in the data folder.")] = ""
    catalog: Annotated[str, _meta("URL of the catalog; empty: SQLite in the data folder.")] = ""
    body_size_bytes_max: Annotated[
        int, _meta("Largest request body; a larger one is refused with 413.", ge=1024)
    ] = 8 * MIB
    body_timeout_s: Annotated[
        float, _meta("How long a request's body may take to arrive; later it is refused.", gt=0)
    ] = 15.0
    log_queue_size_bytes_max: Annotated[
        int, _meta("Bytes per collector that may wait for the disk; above: 503.", ge=4096)
    ] = 32 * MIB
    log_segment_size_bytes: Annotated[
        int, _meta("Size at which a log segment is closed and the next begun.", ge=4096)
    ] = 64 * MIB
    log_segment_age_s: Annotated[
        float, _meta("Age at which a log segment is closed even if it is small.", gt=0)
    ] = 3600.0
    log_retention_h: Annotated[
        float, _meta("How long a log segment is kept after it was loaded.", ge=0)
    ] = 24.0
    disk_free_bytes_min: Annotated[
        int, _meta("Free disk space below which events are answered with 503.", ge=0)
    ] = 256 * MIB
    load_interval_s: Annotated[
        float, _meta("Pause between two looks for new events.", gt=0, le=60)
    ] = 1.0
    load_rows_max: Annotated[
        int, _meta("Events loaded or modelled in one step; bounds memory.", ge=1)
    ] = 50_000
    dedup: Annotated[
        Literal["doublet", "meta"],
        _meta(
            "Rules of deduplication: Doublet's, or Meta's documentation to the letter.", "rebuild"
        ),
    ] = "doublet"
    late_copy: Annotated[
        bool,
        _meta(
            "Copies with the same id and event_time are one event for 7 days, not 48 hours; "
            "without effect with dedup=meta.",
            "rebuild",
        ),
    ] = True
    compact_interval_s: Annotated[float, _meta("Pause between two tidyings of the lake.", gt=0)] = (
        60.0
    )
    vacuum_retention_h: Annotated[
        float, _meta("How long files that compaction replaced are kept for readers.", ge=0)
    ] = 1.0
    retention_events_d: Annotated[
        int,
        _meta(
            "Days for which events, ad touches and decisions on ads are kept, in lake and reports; "
            "0: for ever.",
            ge=0,
        ),
    ] = 0
    retention_refused_d: Annotated[
        int, _meta("Days for which refused requests are kept; 0: for ever.", ge=0)
    ] = 0
    engine_memory_limit_mib: Annotated[
        int, _meta("Memory that DuckDB may use; larger work spills to disk.", ge=192)
    ] = 384
    merge_memory_limit_mib: Annotated[
        int, _meta("Memory that merging small files of the lake may use beside it.", ge=64)
    ] = 128
    engine_threads: Annotated[int, _meta("Threads that DuckDB may use.", ge=1)] = 2

    audience_interval_s: Annotated[
        float, _meta("Pause between two looks at who joins and leaves audiences.", gt=0)
    ] = 1.0

    decide_workers: Annotated[
        int, _meta("Decider processes that `serve` starts; 0: none.", ge=0, le=64)
    ] = 0
    decide_port: Annotated[int, _meta("Port of the deciders.", ge=1, le=65535)] = 8702
    decide_url: Annotated[
        str,
        _meta("Address under which browsers reach the deciders; goes into links of ads."),
    ] = ""
    decide_floor_cpm: Annotated[
        float,
        _meta(
            "Least price of a thousand impressions, in the account's currency; who bids less is "
            "not shown.",
            ge=0,
        ),
    ] = 0.1
    decide_click_value: Annotated[
        float,
        _meta(
            "What a click is worth to who shows the ads, in the account's currency; counts as "
            "quality in the auction.",
            ge=0,
        ),
    ] = 0.0
    decide_epsilon: Annotated[
        float,
        _meta("Share of places that go to ads still being learned about.", ge=0, lt=1),
    ] = 0.05

    alert_interval_s: Annotated[
        float, _meta("Pause between two looks for what is unusual.", gt=0)
    ] = 300.0
    alert_webhook_url: Annotated[
        str, _meta("Address that alerts are posted to as JSON; empty: none.")
    ] = ""
    alert_webhook_secret_file: Annotated[
        str, _meta("File with the secret that signs them; empty: unsigned.")
    ] = ""
    alert_smtp_url: Annotated[
        str, _meta("Mail server for alerts, smtp:// or smtps://, with user and password if needed.")
    ] = ""
    alert_email_to: Annotated[
        str, _meta("Who gets alerts by e-mail, with commas; empty: none.")
    ] = ""
    alert_email_from: Annotated[str, _meta("Sender of these e-mails.")] = "doublet@localhost"

    relay_ready_events_max: Annotated[
        int,
        _meta(
            "Events per destination that lie ready to be sent; of more, while it is paused or "
            "fails, only the places are kept, so that this bounds what it holds of the disk.",
            ge=1,
        ),
    ] = 20_000
    relay_trace_d: Annotated[
        int, _meta("Days for which it is kept what a destination was sent and answered.", ge=0)
    ] = 7
    relay_failed_d: Annotated[
        int, _meta("Days for which events that a destination refused can be sent again.", ge=0)
    ] = 28

    @property
    def log_folder(self) -> Path:
        """Where the disk log lies."""
        return self.data / "log"

    @property
    def lake_folder(self) -> Path:
        """Where the embedded Delta tables lie."""
        return self.data / "lake"

    @property
    def erasures_folder(self) -> Path:
        """Erasures asked for, and the tombstones of those that are done."""
        return self.data / "erasures"

    @property
    def rates_folder(self) -> Path:
        """Exchange rates that were imported, a file per account."""
        return self.data / "rates"

    @property
    def warehouse_file(self) -> Path:
        """The worker's DuckDB database."""
        return self.data / "warehouse.duckdb"

    @property
    def outbox_file(self) -> Path:
        """What the relay has to send, and has sent."""
        return self.data / "relay.sqlite"

    @property
    def deliveries_file(self) -> Path:
        """What shops delivered, besides what became records."""
        return self.data / "deliveries.sqlite"

    @property
    def exports_folder(self) -> Path:
        """What is kept of persons who asked for it through a shop's platform."""
        return self.data / "exports"

    @property
    def imports_file(self) -> Path:
        """What was imported from files, so that nothing gets in twice."""
        return self.data / "imports.sqlite"

    @property
    def audiences_folder(self) -> Path:
        """The published snapshot of who is in which audience."""
        return self.data / "audiences"

    @property
    def delivery_folder(self) -> Path:
        """The book of what runs, models, the ledger of budgets, the key of links."""
        return self.data / "delivery"

    @property
    def deciders_url(self) -> str:
        """Address under which browsers reach the deciders, without a trailing slash."""
        return self.decide_url.rstrip("/") or _local_url(self.host, self.decide_port)

    @property
    def run_folder(self) -> Path:
        """Locks, sockets and state of running processes."""
        return self.data / "run"

    @property
    def worker_socket(self) -> Path:
        """The worker's local socket. Its path may have 107 bytes (Linux, *unix(7)*), so that of
        a deep data folder moves to a folder of this user among the temporary files. Whoever opens
        it takes it from `private_socket`, which looks whose that folder is."""
        path = (self.run_folder / "worker.sock").absolute()
        if len(os.fsencode(path)) <= 100:
            return path
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"doublet-{os.getuid()}" / f"{digest}.sock"

    @property
    def tmp_folder(self) -> Path:
        """Scratch space; emptied when the worker starts."""
        return self.data / "tmp"

    @property
    def catalog_url(self) -> str:
        """SQLAlchemy URL of the catalog."""
        return self.catalog or f"sqlite:///{(self.data / 'catalog.sqlite').absolute()}"

    @property
    def url(self) -> str:
        """Address under which browsers reach this server, without a trailing slash."""
        return self.public_url.rstrip("/") or self.local_url

    @property
    def local_url(self) -> str:
        """Address under which this machine itself reaches this server."""
        return _local_url(self.host, self.port)


def _local_url(host: str, port: int) -> str:
    host = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Setting(NamedTuple):
    """One row of the reference: what a person needs to know about a setting."""

    name: str
    type: str
    default: str
    help: str
    effect: Effect


def _describe(name: str, hint: Any) -> Setting:
    plain, meta = get_args(hint) if get_origin(hint) is Annotated else (hint, Meta())
    default = getattr(Settings(), name)
    return Setting(
        name, plain.__name__, str(default), meta.description or "", (meta.extra or {})["effect"]
    )


SETTINGS: tuple[Setting, ...] = tuple(
    _describe(name, hint)
    for name, hint in get_type_hints(Settings, include_extras=True).items()
    if name in Settings.__struct_fields__
)


def settings_file() -> str:
    """A `doublet.toml` that holds every default and what it means."""
    lines = ["# Every setting with its default; keep the lines you change.", ""]
    for setting in SETTINGS:
        value = setting.default if setting.type in ("int", "float") else f'"{setting.default}"'
        lines += [f"# {setting.help}", f"{setting.name} = {value}", ""]
    return "\n".join(lines)


ACCESS_TOKEN_VARIABLE = "DOUBLET_ACCESS_TOKEN"
"""Environment variable of the token that `doublet send` uses; no setting."""

_NAMES = tuple(setting.name for setting in SETTINGS)


def load_settings(
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """Settings from flags, environment and file; a flag of None counts as not given.

    `file` defaults to `./doublet.toml` if that exists. Raises SettingsError for an unknown name
    or an impossible value, naming where it came from.
    """
    environ = os.environ if environ is None else environ
    merged: dict[str, Any] = {}
    for source, values in (
        (*_from_file(file),),
        ("environment", _from_environment(environ)),
        ("flags", {k: v for k, v in (flags or {}).items() if v is not None}),
    ):
        _check(source, values)
        merged |= values
    settings = _convert("settings", merged)
    for name in ("public_url", "decide_url"):
        url = getattr(settings, name)
        if url and not url.startswith(("http://", "https://")):
            raise SettingsError(f"{name}={url!r} is no address.", "Begin it with https://.")
    for name in ("log", "lake", "engine"):
        if getattr(settings, name):
            raise SettingsError(
                f"{name}={getattr(settings, name)!r} names a kind this version does not know.",
                "Leave it empty to use the embedded one.",
            )
    _check_networks(settings.trusted_proxies)
    return settings


def _check_networks(networks: str) -> None:
    for part in filter(None, map(str.strip, networks.split(","))):
        try:
            ipaddress.ip_network(part, strict=False)
        except ValueError as error:
            raise SettingsError(
                f"trusted_proxies: {part!r} is no address or network.",
                "Write for example 10.0.0.0/8, 192.0.2.7.",
            ) from error


def _from_file(file: Path | None) -> tuple[str, dict[str, Any]]:
    path = file or Path("doublet.toml")
    if file is None and not path.exists():
        return str(path), {}
    try:
        return str(path), tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"Cannot read {path}: {error}.", "Mend or remove the file.") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    prefix = "DOUBLET_"
    return {
        k[len(prefix) :].lower(): v
        for k, v in environ.items()
        if k.startswith(prefix) and k != ACCESS_TOKEN_VARIABLE
    }


def _check(source: str, values: Mapping[str, Any]) -> None:
    for name in values:
        if name not in _NAMES:
            near = difflib.get_close_matches(name, _NAMES, n=1)
            raise SettingsError(
                f"Unknown setting {name!r} in {source}.",
                f"Did you mean {near[0]!r}?" if near else "`doublet settings` lists them.",
            )
    _convert(source, values)


def _path(kind: type, value: Any) -> Any:
    return kind(value)


def _convert(source: str, values: Mapping[str, Any]) -> Settings:
    try:
        return msgspec.convert(dict(values), Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingsError(
            f"{source}: {error}.".replace("$.", ""), "`doublet settings` lists what is allowed."
        ) from error
