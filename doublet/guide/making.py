"""What the answers ask for, made in the catalog."""

from __future__ import annotations

from typing import NamedTuple

from doublet.catalog import Account, Catalog, Setup, Shop
from doublet.guide.answers import Answers, platform_of
from doublet.guide.steps import Step, steps


class Begun(NamedTuple):
    """A new setup and the access token that goes with it, which cannot be shown again."""

    setup: Setup
    access_token: str


def begin(catalog: Catalog, answers: Answers, account: Account | None) -> Begun:
    """Make account (where none is given), pixel, token and, for a platform that reports its
    orders, a shop. Raises OperatorError for what the catalog refuses."""
    platform = platform_of(answers.platform)
    if account is None:
        account = catalog.create_account(answers.name, answers.time_zone, answers.currency)
    pixel, access_token = catalog.create_pixel(account.account_id, answers.name)
    shop_id = ""
    if platform.has_webhooks and answers.goal == "purchases":
        shop_id = _create_shop(catalog, account, pixel.pixel_id, answers).shop_id
    setup = catalog.setups.create(
        account.account_id,
        pixel.pixel_id,
        answers.platform,
        answers.goal,
        answers.place,
        answers.site_url,
        shop_id,
    )
    return Begun(setup, access_token)


def _create_shop(catalog: Catalog, account: Account, pixel_id: str, answers: Answers) -> Shop:
    taken = {shop.name for shop in catalog.shops.all(account.account_id)}
    name = answers.name if answers.name not in taken else f"{answers.name[:180]} {pixel_id}"
    return catalog.shops.create(account.account_id, pixel_id, answers.platform, name)


def steps_of(catalog: Catalog, setup: Setup, public_url: str) -> tuple[Step, ...]:
    """What to do for a setup of the catalog."""
    shops = catalog.shops.all(setup.account_id)
    shop = next((shop for shop in shops if shop.shop_id == setup.shop_id), None)
    return steps(setup, catalog.account(setup.account_id), shop, public_url)


def test_url(setup: Setup) -> str:
    """The site's address with the test code."""
    joint = "&" if "?" in setup.site_url else "?"
    return f"{setup.site_url}{joint}test_event_code={setup.test_code}"


def described(setup: Setup, told: tuple[Step, ...]) -> dict[str, object]:
    """A setup with what to do, for programs."""
    return {
        "setup_id": setup.setup_id,
        "account_id": setup.account_id,
        "pixel_id": setup.pixel_id,
        "shop_id": setup.shop_id,
        "platform": setup.platform,
        "goal": setup.goal,
        "place": setup.place,
        "site_url": setup.site_url,
        "test_event_code": setup.test_code,
        "test_url": test_url(setup),
        "steps": [
            {**step._asdict(), "pieces": [piece._asdict() for piece in step.pieces]}
            for step in told
        ],
    }
