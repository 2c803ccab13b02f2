"""The demo shop: a small site with the pixel on its pages and a server that reports purchases.

Purchases are told twice, by the thank-you page and by `report`, with the order id as the one event
id. The cart lives in a cookie; orders live in memory, only their numbers are kept.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import unquote

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from doublet.demo.orders import (
    QUANTITY_MAX,
    Cart,
    Line,
    Order,
    OrderNumbers,
    amount_cents,
    custom_data,
    read_cart,
    with_quantity,
    write_cart,
)
from doublet.demo.products import PRODUCT_BY_SLUG, PRODUCTS, Product
from doublet.pixel import snippet

logger = logging.getLogger(__name__)

Report = Callable[[Order], Awaitable[None] | None]
"""What tells the events server of a purchase; a plain function runs in a thread of its own."""

RECEIPTS_MAX = 10_000
CLOSE_S = 5.0
"""How long a shop that is stopped waits for reports under way."""

_email = re.compile(r"[^\s@]+@[^\s@.]+(?:\.[^\s@.]+)+").fullmatch


class Told(NamedTuple):
    """One event that a page hands to the pixel. An empty event_id lets the pixel make one."""

    event_name: str
    params: dict[str, Any]
    event_id: str = ""


def create_shop(
    *,
    pixel_id: str,
    public_url: str,
    dashboard_url: str,
    order_numbers: OrderNumbers,
    report: Report,
) -> Starlette:
    """The shop as an ASGI application. `public_url` is where its pages find the pixel's server."""
    shop = Shop(
        Markup(snippet(pixel_id, public_url)),
        dashboard_url,
        order_numbers,
        Reports(report),
    )
    return Starlette(
        routes=[
            Route("/", shop.shelf),
            Route("/products/{slug}", shop.product, name="product"),
            Route("/cart", shop.show_cart, methods=["GET"], name="cart"),
            Route("/cart", shop.add, methods=["POST"]),
            Route("/cart/remove", shop.remove, methods=["POST"], name="remove"),
            Route("/checkout", shop.checkout, methods=["GET"], name="checkout"),
            Route("/checkout", shop.buy, methods=["POST"]),
            Route("/orders/{order_id}", shop.thanks, name="thanks"),
            Mount("/static", StaticFiles(packages=[("doublet.demo", "static")]), name="static"),
        ],
        exception_handlers={404: shop.not_found},
        lifespan=shop.live,
    )


class Reports:
    """The reports under way: begun once the buyer has an answer, finished before the shop ends."""

    def __init__(self, report: Report) -> None:
        self._send = report
        self._is_async = inspect.iscoroutinefunction(report) or inspect.iscoroutinefunction(
            type(report).__call__
        )
        self._pending: set[asyncio.Task[None]] = set()

    async def begin(self, order: Order) -> None:
        """Start one; the caller does not wait for its end."""
        task = asyncio.create_task(self._report(order), name=order.order_id)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _report(self, order: Order) -> None:
        try:
            if self._is_async:
                sending = self._send(order)
                assert sending is not None
                await sending
            else:
                await run_in_threadpool(self._send, order)
        except Exception:
            logger.exception("purchase-not-reported order_id=%s", order.order_id)

    async def finish(self) -> None:
        """Wait for what is under way; say what had to be given up."""
        if not self._pending:
            return
        _, late = await asyncio.wait(self._pending, timeout=CLOSE_S)
        for task in late:
            logger.error("purchase-not-reported order_id=%s problem=stopped", task.get_name())
            task.cancel()


class Shop:
    """The pages."""

    def __init__(
        self, pixel: Markup, dashboard_url: str, order_numbers: OrderNumbers, reports: Reports
    ) -> None:
        environment = Environment(loader=PackageLoader("doublet.demo"), autoescape=True)
        environment.filters["money"] = lambda cents: f"${cents / 100:,.2f}"
        environment.globals.update(
            pixel=pixel, dashboard_url=dashboard_url, quantity_max=QUANTITY_MAX
        )
        self._templates = Jinja2Templates(env=environment)
        self._order_numbers = order_numbers
        self._reports = reports
        self._receipts: dict[str, Cart] = {}

    @asynccontextmanager
    async def live(self, _app: Starlette) -> AsyncIterator[None]:
        """ASGI's lifespan."""
        yield
        await self._reports.finish()

    def _page(
        self, request: Request, template: str, *told: Told, status: int = 200, **context: Any
    ) -> Response:
        cart = read_cart(request.cookies.get("cart", ""))
        response = self._templates.TemplateResponse(
            request,
            template,
            {
                "told": (Told("PageView", {}), *told),
                "count": sum(line.quantity for line in cart),
                **context,
            },
            status_code=status,
            headers={"cache-control": "no-cache"},
        )
        if "visitor" not in request.cookies:
            response.set_cookie(
                "visitor", secrets.token_hex(8), max_age=90 * 86400, httponly=True, samesite="lax"
            )
        return response

    async def shelf(self, request: Request) -> Response:
        """All products."""
        return self._page(request, "shelf.html", products=PRODUCTS)

    async def product(self, request: Request) -> Response:
        """One product: ViewContent; its button tells AddToCart."""
        product = PRODUCT_BY_SLUG.get(request.path_params["slug"])
        if product is None:
            return await self.not_found(request, None)
        params = _product_data(product)
        viewed = Told("ViewContent", params)
        return self._page(request, "product.html", viewed, product=product, add_params=params)

    async def show_cart(self, request: Request) -> Response:
        """What the visitor has chosen so far."""
        cart = read_cart(request.cookies.get("cart", ""))
        return self._page(request, "cart.html", cart=cart, total_cents=amount_cents(cart))

    async def add(self, request: Request) -> Response:
        """Put one of a product into the cart. Scripts ask for JSON, forms get the cart's page."""
        return await self._change_cart(request, 1)

    async def remove(self, request: Request) -> Response:
        """Take all of a product out of the cart."""
        return await self._change_cart(request, -QUANTITY_MAX)

    async def _change_cart(self, request: Request, change: int) -> Response:
        async with request.form() as form:
            product = PRODUCT_BY_SLUG.get(str(form.get("product", "")))
        if product is None:
            return await self.not_found(request, None)
        cart = with_quantity(read_cart(request.cookies.get("cart", "")), product, change)
        response: Response
        if "application/json" in request.headers.get("accept", ""):
            response = JSONResponse({"count": sum(line.quantity for line in cart)})
        else:
            response = RedirectResponse(request.url_for("cart"), 303)
        response.set_cookie("cart", write_cart(cart), httponly=True, samesite="lax")
        return response

    async def checkout(self, request: Request) -> Response:
        """The form; InitiateCheckout."""
        cart = read_cart(request.cookies.get("cart", ""))
        if not cart:
            return RedirectResponse(request.url_for("cart"), 303)
        begun = Told("InitiateCheckout", custom_data(cart))
        return self._checkout_page(request, cart, begun)

    def _checkout_page(
        self,
        request: Request,
        cart: Cart,
        *told: Told,
        status: int = 200,
        typed: dict[str, str] | None = None,
        wrong: dict[str, str] | None = None,
    ) -> Response:
        return self._page(
            request,
            "checkout.html",
            *told,
            status=status,
            cart=cart,
            total_cents=amount_cents(cart),
            typed=typed or {},
            wrong=wrong or {},
        )

    async def buy(self, request: Request) -> Response:
        """Take the order, answer, then report it."""
        cart = read_cart(request.cookies.get("cart", ""))
        if not cart:
            return RedirectResponse(request.url_for("cart"), 303)
        async with request.form() as form:
            typed = {key: str(form.get(key, "")).strip() for key in ("name", "email")}
        wrong = {}
        if not typed["name"]:
            wrong["name"] = "Please tell us whom the parcel is for."
        if not _email(typed["email"]):
            wrong["email"] = "This does not look like an e-mail address, such as ada@example.com."
        if wrong:
            return self._checkout_page(request, cart, status=422, typed=typed, wrong=wrong)
        order = await self._order(request, cart, typed["email"])
        after = BackgroundTask(self._reports.begin, order)
        response = RedirectResponse(order.url, 303, background=after)
        response.delete_cookie("cart", httponly=True, samesite="lax")
        return response

    async def _order(self, request: Request, cart: Cart, email: str) -> Order:
        order_id = await run_in_threadpool(self._order_numbers.next)
        self._receipts[order_id] = cart
        while len(self._receipts) > RECEIPTS_MAX:
            del self._receipts[next(iter(self._receipts))]
        return Order(
            order_id=order_id,
            cart=cart,
            email=email,
            visitor_id=request.cookies.get("visitor", ""),
            url=str(request.url_for("thanks", order_id=order_id)),
            ordered_at=int(time.time()),
            client_ip_address=request.client.host if request.client else "",
            client_user_agent=request.headers.get("user-agent", ""),
            fbp=unquote(request.cookies.get("_fbp", "")),
            fbc=unquote(request.cookies.get("_fbc", "")),
        )

    async def thanks(self, request: Request) -> Response:
        """The thank-you page: Purchase, with the same event id however often it is shown."""
        order_id = request.path_params["order_id"]
        cart = self._receipts.get(order_id)
        if cart is None:
            return await self.not_found(request, None)
        bought = Told("Purchase", {**custom_data(cart), "order_id": order_id}, order_id)
        return self._page(
            request,
            "thanks.html",
            bought,
            order_id=order_id,
            cart=cart,
            total_cents=amount_cents(cart),
        )

    async def not_found(self, request: Request, _error: Exception | None) -> Response:
        """Nothing here."""
        return self._page(request, "not_found.html", status=404)


def _product_data(product: Product) -> dict[str, Any]:
    params = custom_data((Line(product, 1),))
    del params["num_items"]
    return {**params, "content_name": product.name}
