"""What the catalog's rows are to the rest of the program."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Account(msgspec.Struct, frozen=True):
    """An advertiser. Its days are those of `time_zone` (an IANA name)."""

    account_id: str
    name: str
    time_zone: str
    currency: str


class ReportRules(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How an account's conversions are credited to ads, counted and valued in reports. They change
    reports alone, of all of the past too: nothing is stored by them.

    A click within `click_days` (0, 1, 7, 28) wins, otherwise an engaged view within
    `engaged_view_days` (0, 1), otherwise a view within `view_days` (0, 1); 0 is never. `count` says
    whether all conversions count or only the first after each touch. `conversions` names the events
    that count; empty: all that are stored as conversions."""

    click_days: int = 7
    engaged_view_days: int = 1
    view_days: int = 1
    count: Literal["all", "first"] = "all"
    conversions: tuple[str, ...] = ()


class CustomConversion(msgspec.Struct, frozen=True):
    """Events that a rule chooses, counted under an id and name of their own. `rule` is JSON as it
    was given (doublet.rules), of the events of `pixel_id`, or of all pixels where that is empty.
    Times are in Unix seconds; a default value is a decimal number in the account's currency, empty
    for none."""

    custom_conversion_id: str
    account_id: str
    pixel_id: str
    name: str
    description: str
    rule: str
    custom_event_type: str
    action_source_type: str
    default_value: str
    is_archived: bool
    created_at: int


class Audience(msgspec.Struct, frozen=True):
    """People that an account has gathered. `subtype` says by what: WEBSITE by a `rule` over events
    (JSON, of those of `pixel_id`, or of all pixels where that is empty), CUSTOM by a customer list,
    LOOKALIKE by likeness to the audience `origin_audience_id` as `lookalike_spec` (JSON) says.

    Without `prefill` only events after `created_at` count. `customer_file_source` says who gave a
    list, `is_value_based` that its rows bear values, `preset` which of our own rules this one came
    from. `content_updated_at` is when what makes its people last changed. Texts are empty where
    there is none; times are in Unix seconds."""

    audience_id: str
    account_id: str
    name: str
    subtype: Literal["WEBSITE", "CUSTOM", "LOOKALIKE"]
    description: str = ""
    rule: str = ""
    retention_days: int = 0
    prefill: bool = True
    pixel_id: str = ""
    customer_file_source: str = ""
    is_value_based: bool = False
    origin_audience_id: str = ""
    lookalike_spec: str = ""
    preset: str = ""
    created_at: int = 0
    updated_at: int = 0
    content_updated_at: int = 0


class ListEntry(msgspec.Struct, frozen=True, gc=False):
    """One row of a customer list: `row_key` tells it from others, `identifiers` are those that name
    one person (KEY=VALUE, hashed where events hash them). `is_limited` is a row whose use was
    limited (LDU): it is counted, and nobody's."""

    row_key: int
    identifiers: tuple[str, ...]
    value: float | None = None
    is_limited: bool = False


class ListBatch(msgspec.Struct, frozen=True):
    """One request of a session that replaces a customer list. `digest` is that of its rows,
    `answer` what its sender is told (JSON), the same when it comes again."""

    session_id: str
    batch_seq: int
    digest: int
    answer: str


class ReportRun(msgspec.Struct, frozen=True):
    """A report that is made in the background. `node` and `parameters` are what was asked, `status`
    is in the words of the Insights API, `error` says what went wrong; times in Unix seconds."""

    report_run_id: str
    account_id: str
    node: str
    parameters: dict[str, str]
    status: str
    error: str
    created_at: int
    completed_at: int | None


class Pixel(msgspec.Struct, frozen=True):
    """A source of events within an account; Meta calls its server side a dataset."""

    pixel_id: str
    account_id: str
    name: str


class AlertRow(msgspec.Struct):
    """A row of `alerts`; times in µs since 1970, UTC. `told` is what has been sent of it: nothing
    yet (empty), that it `opened`, that it `closed`."""

    alert_id: int
    account_id: str
    pixel_id: str
    measure: str
    event_name: str
    source: str
    opened_at: int
    seen_at: int
    closed_at: int | None
    window_s: int
    seen: float
    expected: float
    lowest: float
    highest: float
    told: str = ""


class PixelRules(msgspec.Struct, omit_defaults=True):
    """How a pixel's events are taken in. `phone_country` (ISO 3166, empty for none) is that of
    phone numbers without a country code.

    The others mark a browser's hits: pages outside `allow_domains` (empty: all are allowed) and
    those in `block_domains` (hosts or `*.example.com`), known crawlers with `mark_bots`, and what
    exceeds `hits_per_hour` (0: no limit) in one collector process."""

    phone_country: str = ""
    allow_domains: list[str] = []
    block_domains: list[str] = []
    mark_bots: bool = False
    hits_per_hour: int = 0


class DestinationRules(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a destination is sent of its account's events, and how.

    `mode` is `alone` where Doublet's pixel is the only one of this platform on the site, `beside`
    where the platform's own reports the same events under the same event ids. `pixels`, `events`
    and `domains` (hosts or `*.example.com`) choose events; empty: all. `merge_wait_s` is how long
    after an event's first copy it is sent, so that the second can join.

    `consent` says whose events go: `granted` (who allowed it), `not_denied` (who did not forbid
    it), `ignored` (everybody's). `limited` says what becomes of events whose data may be used in a
    limited way only (LDU, Global Privacy Control): `pass` tells the platform, or withholds them
    where it cannot be told; `withhold` never sends them.

    The value sent is `value_times` x (the field `value_from` of custom_data, else value, minus the
    fields `value_minus`). `rename` gives events other names. `batch_events` (0: as many as the
    platform takes) and `batch_wait_s` bound a request, `in_flight` how many are under way.
    """

    mode: Literal["alone", "beside"] = "alone"
    pixels: list[str] = []
    events: list[str] = []
    domains: list[str] = []
    merge_wait_s: float = 10.0
    consent: Literal["granted", "not_denied", "ignored"] = "not_denied"
    limited: Literal["pass", "withhold"] = "pass"
    rename: dict[str, str] = {}
    value_from: str = ""
    value_minus: list[str] = []
    value_times: float = 1.0
    test_event_code: str = ""
    batch_events: int = 0
    batch_wait_s: float = 1.0
    in_flight: int = 4


class Destination(msgspec.Struct, frozen=True):
    """Where the events of an account are relayed to. `kind` names the module that speaks to it,
    `target` says where in that module's words, `secret` is what it asks for as a proof.
    `created_at` is in Unix seconds: events that came before are sent only by a backfill."""

    destination_id: str
    account_id: str
    kind: str
    name: str
    created_at: int
    is_paused: bool
    target: dict[str, Any]
    secret: str
    rules: DestinationRules

    def __repr__(self) -> str:
        return f"Destination({self.destination_id!r}, {self.kind!r}, {self.name!r})"


class ShopSecret(msgspec.Struct, frozen=True):
    """What a platform proves its deliveries with; `until` in Unix seconds, None for no end."""

    value: str
    until: int | None = None

    def __repr__(self) -> str:
        return f"ShopSecret(until={self.until!r})"


class ShopRules(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a shop's orders become events.

    `purchase_on` says when an order is a Purchase: when it is `placed`, or when it is `paid`.
    `content_ids` are those of the catalogue: of the `product`, or of the `variant` bought.
    `cash_on_delivery` names the payment methods that are paid at the door, in lower case.
    """

    purchase_on: Literal["placed", "paid"] = "placed"
    content_ids: Literal["product", "variant"] = "product"
    cash_on_delivery: tuple[str, ...] = ("cash on delivery (cod)", "cash on delivery", "cod")


class Shop(msgspec.Struct, frozen=True):
    """A shop whose platform reports its orders, as events of `pixel_id`. `target` says where it is
    in its platform's words (`domain`, `store_hash`, `api_url`), `api_token` what opens its API.
    Deliveries are proven with any of `secrets`; the newest is the first."""

    shop_id: str
    account_id: str
    pixel_id: str
    platform: str
    name: str
    created_at: int
    target: dict[str, str]
    secrets: list[ShopSecret]
    api_token: str
    rules: ShopRules

    def __repr__(self) -> str:
        return f"Shop({self.shop_id!r}, {self.platform!r}, {self.name!r})"


class Setup(msgspec.Struct, frozen=True):
    """A site that the set-up guide leads through: `platform` and `goal` name the recipe, `place`
    where the server runs (`own`, `proxy`, `local`).

    Events with `test_code` are tests. `results` is what the checks have found, `share_sha256` the
    digest of the key that opens it for reading, empty for none. Times are in Unix seconds."""

    setup_id: str
    account_id: str
    pixel_id: str
    shop_id: str
    platform: str
    goal: str
    place: str
    site_url: str
    test_code: str
    share_sha256: str
    results: dict[str, Any]
    verified_at: int | None
    created_at: int

    def __repr__(self) -> str:
        return f"Setup({self.setup_id!r}, {self.platform!r}, {self.site_url!r})"


class Directory(msgspec.Struct, frozen=True):
    """All that a collector must know of the catalog: who owns which pixel and which token, which
    pixels have rules of their own, which accounts a secret for `appsecret_proof`, the shops that
    deliver, and the pixel of each code whose events are tests of the set-up guide."""

    account_of_pixel: dict[str, str]
    account_of_token: dict[str, str]
    rules_of_pixel: dict[str, PixelRules] = {}
    secret_of_account: dict[str, str] = {}
    shops: dict[str, Shop] = {}
    pixel_of_setup_code: dict[str, str] = {}
