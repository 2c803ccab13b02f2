"""What to do, step by step, with the site's own values filled in."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from doublet.catalog import Account, Setup, Shop
from doublet.guide.answers import EVENT_OF_GOAL
from doublet.guide.links import AD_LINKS
from doublet.recipes import Piece, Site, recipe
from doublet.shops import PLATFORMS as SHOP_PLATFORMS

PIXEL_SAYS = (
    "The pixel is a script in the visitor's browser: it sees which ad brought the visitor and what "
    "is looked at, and keeps the ids by which ad platforms recognise a click. Add it first and to "
    "every page; alone it misses whoever blocks scripts, leaves too soon or pays elsewhere."
)
SERVER_SAYS = (
    "The Conversions API is the server's own report of the same event, made where the order or the "
    "form is stored: nothing in a browser hinders it, and it knows the customer. Add it as soon as "
    "the pixel runs, with the same event id, so that both reports count as one event."
)


class Step(NamedTuple):
    """One step: sentences, then pieces of code or settings."""

    key: str
    title: str
    text: tuple[str, ...]
    pieces: tuple[Piece, ...] = ()


def steps(setup: Setup, account: Account, shop: Shop | None, public_url: str) -> tuple[Step, ...]:
    """The steps of a setup, in order. The access token is in none of them."""
    site = Site(setup.pixel_id, public_url, account.currency, setup.shop_id)
    found = [
        _reach(setup, public_url),
        Step(
            "pieces",
            "Put these pieces into the site",
            (PIXEL_SAYS, SERVER_SAYS),
            recipe(setup.platform, setup.goal, site),  # type: ignore[arg-type]
        ),
    ]
    if shop is not None:
        found.append(_webhook(setup, shop, public_url))
    elif (setup.platform, setup.goal) in _WITHOUT_SERVER:
        found.append(_server(setup, public_url))
    found.append(_links())
    return tuple(found)


def webhook_url(shop_id: str, public_url: str) -> str:
    """Where a shop's platform reports its orders."""
    return f"{public_url}/v1/shops/{shop_id}/webhooks"


# --- where the server runs -----------------------------------------------------------------------


def _reach(setup: Setup, public_url: str) -> Step:
    title = "Let browsers reach Doublet"
    if setup.place == "local":
        return Step(
            "reach",
            title,
            (
                f"Doublet answers at {public_url}, for browsers on this machine only. That is "
                "enough to try; live, give it a name of the site's.",
            ),
        )
    site = urlsplit(setup.site_url)
    host = (site.hostname or "").removeprefix("www.")
    suggested = f"https://t.{host}" if setup.place == "own" else f"https://{site.hostname}/assets"
    is_set = _suits(setup, public_url)
    address = public_url if is_set else suggested
    text = (
        f"Doublet answers at {public_url}: nothing to do here if that address opens in a browser."
    )
    if not is_set:
        text = (
            f"Doublet's settings name {public_url}, which the site's visitors cannot use. Write "
            "these lines into doublet.toml, start `doublet serve` again, and come back: the pieces "
            "below then hold the new address."
        )
    pieces = (
        Piece(
            "settings",
            "Doublet's settings",
            "In doublet.toml, in the folder in which `doublet serve` is started.",
            "toml",
            f'public_url = "{address}"\ntrusted_proxies = "127.0.0.1"\n',
            "doublet.toml",
        ),
        *(_own(address) if setup.place == "own" else _passed_on(address)),
    )
    return Step("reach", title, (text,), pieces)


def _suits(setup: Setup, public_url: str) -> bool:
    """Whether visitors of the site can use the address, as far as it tells."""
    host = urlsplit(public_url).hostname or ""
    site = urlsplit(setup.site_url).hostname or ""
    if setup.place == "proxy":
        return host == site
    return host == site or host.split(".")[-2:] == site.split(".")[-2:]


def _own(address: str) -> tuple[Piece, ...]:
    host = urlsplit(address).hostname
    return (
        Piece(
            "nginx",
            "nginx",
            f"A server of its own for {host}, whose name leads to this machine, with a "
            "certificate. One web server is enough: this or Caddy.",
            "nginx",
            f"server {{\n    listen 443 ssl;\n    server_name {host};\n\n"
            f"    location / {{\n{_NGINX_PASS}    }}\n}}\n",
        ),
        Piece(
            "caddy",
            "Caddy",
            "Caddy gets the certificate by itself.",
            "caddy",
            f"{host} {{\n    reverse_proxy 127.0.0.1:8700\n}}\n",
        ),
    )


_NGINX_PASS = """\
        proxy_pass http://127.0.0.1:8700;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
"""

_ROADS = r"px(-core|-debug)?(\.js)?|v1/shops/[^/]+/.*|v[0-9.]+/[0-9]+/events"
"""What visitors, servers and shops ask for; the dashboard stays where it is."""


def _passed_on(address: str) -> tuple[Piece, ...]:
    parts = urlsplit(address)
    folder = parts.path.rstrip("/")
    return (
        Piece(
            "nginx",
            "nginx",
            f"In the server of {parts.hostname}, before other locations. One web server is enough: "
            "this or Caddy.",
            "nginx",
            f"location ~ ^{folder}/({_ROADS})$ {{\n    rewrite ^{folder}(/.*)$ $1 break;\n"
            + _NGINX_PASS.replace("        ", "    ")
            + '    proxy_set_header Cookie "_fbp=$cookie__fbp; _fbc=$cookie__fbc";\n}\n',
        ),
        Piece(
            "caddy",
            "Caddy",
            f"In the block of {parts.hostname}.",
            "caddy",
            f"@doublet path_regexp ^{folder}/({_ROADS})$\nhandle @doublet {{\n"
            f"    uri strip_prefix {folder}\n    reverse_proxy 127.0.0.1:8700 {{\n"
            '        header_up Cookie "_fbp={cookie._fbp}; _fbc={cookie._fbc}"\n    }\n}\n',
        ),
    )


# --- shops and ads -------------------------------------------------------------------------------


_WHERE = {
    "shopify": "In Shopify: Settings, Notifications, Webhooks, one for each topic, format JSON. "
    "Shopify shows its own signing secret there: enter it below (or with `doublet shop secret`), "
    "so that Doublet believes the deliveries.",
    "woocommerce": "In WordPress: WooCommerce, Settings, Advanced, Webhooks, one for each topic, "
    "status Active, with this delivery URL and secret.",
    "bigcommerce": "BigCommerce has no page for webhooks. Enter store hash and API token below (or "
    "with `doublet shop edit`); then this command makes them, and they come here:",
}


def _webhook(setup: Setup, shop: Shop, public_url: str) -> Step:
    name = EVENT_OF_GOAL[setup.goal]
    text = (
        f"The shop itself reports each order, which is the server's copy of the {name}: no code "
        f"of your own is needed. Refunds and cancellations come the same way.",
        _WHERE.get(setup.platform, "Enter these in the shop's settings of webhooks."),
    )
    pieces = [
        Piece(
            "webhook",
            "Address",
            "The same for all webhooks.",
            "text",
            webhook_url(shop.shop_id, public_url),
        )
    ]
    if setup.platform == "bigcommerce":
        command = f"doublet shop connect {shop.shop_id}"
        pieces.insert(0, Piece("connect", "Command", "Where Doublet runs.", "sh", command))
        return Step("webhook", "Have the shop report its orders", text, tuple(pieces))
    topics = SHOP_PLATFORMS[setup.platform].topics
    pieces.append(Piece("topics", "Topics", "A webhook for each.", "text", "\n".join(topics)))
    if setup.platform == "woocommerce":
        secret = shop.secrets[0].value
        pieces.append(Piece("secret", "Secret", "The same for all webhooks.", "text", secret))
    return Step("webhook", "Have the shop report its orders", text, tuple(pieces))


_WITHOUT_SERVER = (
    ("shopify", "leads"),
    ("bigcommerce", "leads"),
    ("gtm", "purchases"),
    ("gtm", "leads"),
)
"""Where no piece of the recipe runs on a server of the site's."""


def _server(setup: Setup, public_url: str) -> Step:
    name = EVENT_OF_GOAL[setup.goal]
    what, whose = ("order", "the order's id")
    if setup.goal == "leads":
        what, whose = "form", "in the form's field doublet_event_id, which comes with the others"
        if setup.platform == "gtm":
            whose = "the event_id that the data layer was given"
    money = '"custom_data": {"value": 49.90, "currency": "EUR", "order_id": "EVENT_ID"}, '
    custom_data = money if setup.goal == "purchases" else ""
    command = (
        f"curl --fail-with-body '{public_url}/v25.0/{setup.pixel_id}/events' \\\n"
        '  --header "Authorization: Bearer $DOUBLET_ACCESS_TOKEN" \\\n'
        "  --header 'Content-Type: application/json' \\\n"
        f'  --data \'{{"data": [{{"event_name": "{name}", "event_id": "EVENT_ID", '
        "\"event_time\": '$(date +%s)',\n"
        f'    "action_source": "website", "event_source_url": "{setup.site_url}", {custom_data}\n'
        '    "user_data": {"em": "mary@example.com", "client_user_agent": "Mozilla/5.0"}}]}\'\n'
    )
    text = (
        f"Whoever gets to know of the {what} reports it once more: a CRM, an automation such as "
        f"Make or Zapier, a program of your own. EVENT_ID is the id that the browser's copy has: "
        f"{whose}.",
    )
    piece = Piece(
        "curl", f"The server's {name}", "The same request from any language.", "sh", command
    )
    return Step("server", f"Report the {what} from the server too", text, (piece,))


def _links() -> Step:
    return Step(
        "links",
        "Have each ad name itself",
        (
            "Enter these at the ad platforms you use, so that a click tells its campaign and ad. "
            "The words in braces are filled in by the platform.",
        ),
        tuple(Piece(link.key, link.name, link.where, "text", link.text) for link in AD_LINKS),
    )
