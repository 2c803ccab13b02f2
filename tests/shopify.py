"""Shopify's part, as pages: a shop with a sandboxed frame, and what its events look like.

Shapes: Shopify, Web Pixels API (standard events, `browser`, `init`, `customerPrivacy`).
"""

from __future__ import annotations

from typing import Any


def _money(amount: float) -> dict[str, Any]:
    return {"amount": amount, "currencyCode": "EUR"}


def _variant(number: int, title: str, price: float) -> dict[str, Any]:
    return {
        "id": f"gid://shopify/ProductVariant/{number}00",
        "image": {"src": None},
        "price": _money(price),
        "product": {
            "id": str(number),
            "title": title,
            "type": "Kitchen",
            "untranslatedTitle": title,
            "url": f"/products/{title.lower()}",
            "vendor": "Corner Shop",
        },
        "sku": None,
        "title": None,
        "untranslatedTitle": None,
    }


def _line(variant: dict[str, Any], quantity: int) -> dict[str, Any]:
    return {
        "id": variant["id"],
        "title": variant["product"]["title"],
        "quantity": quantity,
        "variant": variant,
        "discountAllocations": [],
        "finalLinePrice": _money(quantity * variant["price"]["amount"]),
        "properties": [],
        "sellingPlanAllocation": None,
    }


VARIANT = _variant(71, "Mug", 12.5)
"""A variant of a product."""

CHECKOUT: dict[str, Any] = {
    "attributes": [],
    "billingAddress": {
        "address1": "Zeil 1",
        "address2": None,
        "city": "Frankfurt a. M.",
        "country": "Germany",
        "countryCode": "DE",
        "firstName": " Zoë",
        "lastName": "O'Brien-Smith",
        "phone": "0170 1234567",
        "province": "Hessen",
        "provinceCode": "HE",
        "zip": "60311",
    },
    "currencyCode": "EUR",
    "discountApplications": [],
    "email": "Jane.Doe@Example.com ",
    "lineItems": [_line(VARIANT, 2), _line(_variant(72, "Plate", 15.5), 1)],
    "localization": {"country": {"isoCode": "DE"}, "language": {"isoCode": "de"}},
    "order": {
        "id": "gid://shopify/OrderIdentity/5551",
        "customer": {"id": "gid://shopify/Customer/900", "isFirstOrder": True},
    },
    "phone": None,
    "shippingAddress": None,
    "subtotalPrice": _money(40.5),
    "token": "c0ffee",
    "totalPrice": _money(40.5),
    "transactions": [],
}
"""A checkout that has become an order."""

SHOP = """<!doctype html>
<title>Corner Shop</title>
<script>
  window.subscribed = new Set();
  let frame = null;
  const tell = (message) => frame.contentWindow.postMessage(message, "*");

  const ANSWERS = {
    "cookie.get": (name) => {
      const pairs = document.cookie.split("; ");
      const found = pairs.find((pair) => pair.startsWith(name + "="));
      return found ? found.slice(name.length + 1) : "";
    },
    "cookie.set": (cookie) => { document.cookie = cookie; return cookie; },
    "subscribe": (name) => {
      window.subscribed.add(name);
      early.filter((event) => event.name === name).forEach((event) => tell({ event }));
    },
  };
  // What the theme publishes before the pixel listens waits for it.
  const early = [];
  for (const area of ["localStorage", "sessionStorage"]) {
    for (const verb of ["getItem", "setItem", "removeItem"]) {
      ANSWERS[area + "." + verb] = (...values) => window[area][verb](...values);
    }
  }

  let settled = () => {};
  window.addEventListener("message", ({ data }) => {
    if (data.settled) settled();
    else tell({ answer: data.call, value: ANSWERS[data.verb](...data.values) });
  });

  const context = () => ({
    document: {
      location: JSON.parse(JSON.stringify(location)),
      referrer: document.referrer,
      characterSet: "UTF-8",
      title: document.title,
    },
    window: { screen: { width: screen.width, height: screen.height } },
    navigator: { userAgent: navigator.userAgent },
  });
  window.publish = (name, data, id, timestamp) => tell({
    event: { id, name, timestamp, data, clientId: "c-1", seq: 1, type: "standard",
      context: context() },
  });
  window.publishCustom = (name, customData) => {
    const event = { id: crypto.randomUUID(), name, customData, type: "custom",
      timestamp: new Date().toISOString(), context: context() };
    if (window.subscribed.has(name)) tell({ event });
    else early.push(event);
  };
  window.collectConsent = (customerPrivacy) => tell({ consent: { customerPrivacy } });
  window.settle = () => new Promise((resolve) => { settled = resolve; tell({ settle: true }); });

  window.addEventListener("DOMContentLoaded", () => {
    frame = document.createElement("iframe");
    frame.sandbox = window.sandboxRights ?? "allow-scripts allow-forms";
    frame.name = JSON.stringify({
      context: context(), data: { customer: null }, customerPrivacy: window.privacy,
    });
    frame.src = (window.sandboxOrigin ?? "") + "/sandbox";
    document.body.append(frame);
  });
</script>
<body><h1>Mugs</h1></body>
"""
"""The shop's page: keeps the sandboxed frame and answers it."""

SANDBOX = """<!doctype html>
<title>sandbox</title>
<script>
  const waiting = new Map();
  const listeners = { events: {}, consent: () => {} };
  const ask = (verb) => (...values) => new Promise((resolve) => {
    const call = waiting.size;
    waiting.set(call, resolve);
    parent.postMessage({ verb, values, call }, "*");
  });
  const storage = (area) => ({
    getItem: ask(area + ".getItem"),
    setItem: ask(area + ".setItem"),
    removeItem: ask(area + ".removeItem"),
  });
  window.addEventListener("message", ({ data }) => {
    if (data.event) listeners.events[data.event.name]?.(data.event);
    else if (data.consent) listeners.consent(data.consent);
    else if (data.settle) setTimeout(() => parent.postMessage({ settled: true }, "*"));
    else waiting.get(data.answer)(data.value);
  });
  const init = JSON.parse(window.name);
  const browser = {
    cookie: { get: ask("cookie.get"), set: ask("cookie.set") },
    localStorage: storage("localStorage"),
    sessionStorage: storage("sessionStorage"),
  };
  const analytics = {
    subscribe: (name, listener) => {
      listeners.events[name] = listener;
      return ask("subscribe")(name);
    },
  };
  const api = {
    analytics, browser, init,
    customerPrivacy: { subscribe: async (name, listener) => { listeners.consent = listener; } },
  };
</script>
<script>CODE</script>
"""
"""The sandboxed frame; CODE is the custom pixel."""
