"""The market's parameters: `market.toml`, which says what each one means, as a checked struct."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated

import msgspec

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Amount = Annotated[float, msgspec.Meta(ge=0)]
"""A mean, a rate, a length of time or a factor; its unit is in the name."""


class Campaign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ad campaign with its planted effect."""

    name: str
    impressions_per_day: Amount
    click_share: Share
    effect: Annotated[float, msgspec.Meta(gt=0)]
    holdout_share: Share


class Market(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All parameters; `msgspec.structs.replace` makes a market that differs in some."""

    second_device_share: Share
    desktop_visit_share: Share
    login_share: Share
    phone_number_share: Share
    visits_per_day: Amount
    blocker_share: Share
    consent_refused_share: Share
    cookie_loss_per_day: Share
    short_cookie_share: Share
    short_cookie_days: Amount
    hit_loss_share: Share
    taste_share: Share
    taste_effect: Share
    products_seen_max: Annotated[int, msgspec.Meta(ge=1, le=6)]
    step_s: Amount
    purchase_share: Share
    purchase_share_max: Share
    cart_share: Share
    checkout_share: Share
    repeat_share: Share
    repeat_hours: Amount
    second_currency_share: Share
    currency: str
    second_currency: str
    redirect_loss_share: Share
    redirect_double_share: Share
    reload_share: Share
    reload_minutes: Amount
    server_event_names: tuple[str, ...]
    server_loss_share: Share
    server_delay_s: Amount
    server_late_share: Share
    server_late_hours_max: Annotated[float, msgspec.Meta(ge=1, le=144)]
    retry_share: Share
    retry_minutes: Amount
    replay_share: Share
    without_id_share: Share
    server_cookie_share: Share
    refund_share: Share
    edit_share: Share
    change_days: Amount
    ad_on_phone_share: Share
    in_app_share: Share
    effect_days: Amount
    click_displaces_share: Share
    campaigns: tuple[Campaign, ...]


@cache
def read_market() -> Market:
    """The market of `market.toml`."""
    text = files("doublet.demo.market").joinpath("market.toml").read_bytes()
    return msgspec.toml.decode(text, type=Market)
