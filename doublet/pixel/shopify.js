/*
 * Doublet's pixel for Shopify: paste it as a custom pixel (Settings, Customer events). There it
 * runs in a sandbox without the shop's document: Shopify tells the events, and cookies and storage
 * answer later (Shopify, Web Pixels API). It waits for consent to marketing, hashes what names the
 * buyer before anything is sent, and tries again for two days what could not be sent. What is
 * wrong is said on the console.
 */
(function () {
  "use strict";

  const PIXEL_ID = "PIXEL_ID";
  const ADDRESS = "ADDRESS";
  // "variant" where the catalogue lists variants; "product" where they are grouped by product.
  const CONTENT_IDS = "product";

  const VERSION = "0.2.0";
  const DAY_MS = 86400000;
  const COOKIE_DAYS = 90;
  const CLICK_ID_LENGTH_MAX = 500;
  const HELD_MAX = 100;
  const QUEUE_MAX = 50;
  const QUEUE_KEY = "doublet_shopify_queue";
  const QUEUE_AGE_MS_MAX = 47 * 3600000;
  // Shared with the pixel of a page.
  const LANDING_KEY = "_dbt";
  const IN_FLIGHT_MS = 15000;
  const RETRY_MS = 2000;
  const RETRY_MS_MAX = 600000;
  const SANDBOX_ANSWER_MS = 3000;
  // Browsers refuse more than 64 KiB that shall outlive the page.
  const KEEPALIVE_LENGTH_MAX = 60000;
  const LANDING_PARAMETERS = (
    "gclid ttclid msclkid twclid li_fat_id epik ScCid rdt_cid " +
    "utm_source utm_medium utm_campaign utm_content utm_term utm_id"
  ).split(" ");

  const startedAt = Date.now();
  const held = [];
  let privacy = init.customerPrivacy;
  let visitor = null;
  let eventCount = 0;
  let work = Promise.resolve();

  function warn(type, text) {
    console.warn("[Doublet pixel] " + type + ": " + text);
  }

  /** What the shop's page answers, or an error when it does not answer. */
  function soon(answer) {
    const late = new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error("no answer from the page")), SANDBOX_ANSWER_MS);
    });
    return Promise.race([answer, late]);
  }

  function pageOf(event) {
    return event?.context?.document || init.context?.document || {};
  }

  /** The first value that says something; zero does. */
  function first(...values) {
    return values.find((value) => (value ?? "") !== "") ?? "";
  }

  // --- cookies, and what the visitor came by -------------------------------------------------

  async function readCookie(name) {
    try {
      return decodeURIComponent((await soon(browser.cookie.get(name))) || "");
    } catch (error) {
      return "";
    }
  }

  async function setCookie(name, value, domain) {
    const cookie =
      name + "=" + encodeURIComponent(value) + "; max-age=" + COOKIE_DAYS * 86400 +
      "; path=/; samesite=lax" + (domain ? "; domain=." + domain : "");
    await soon(browser.cookie.set(cookie));
    return (await readCookie(name)) === value;
  }

  /** As in the page's pixel: the widest domain that the browser allows, whose number of dots is
   * part of the value. */
  async function writeCookie(name, parts, host) {
    const labels = host.split(".");
    const isAddress = /^[\d.]+$|:/.test(host);
    const valueAt = (index) => ["fb", index].concat(parts.slice(2)).join(".");
    for (let index = 0; index < labels.length && !isAddress; index++) {
      const domain = labels.slice(-1 - index).join(".");
      if (await setCookie(name, valueAt(index), domain)) return valueAt(index);
    }
    // A bare host name or an address gets a cookie of its own.
    return (await setCookie(name, valueAt(1), "")) ? valueAt(1) : "";
  }

  function parseId(text) {
    const parts = text.split(".");
    const known = parts[0] === "fb" && /^\d+$/.test(parts[1]) && /^\d+$/.test(parts[2]) && parts[3];
    return known && parts.length < 6 ? parts : null;
  }

  function queryOf(address) {
    return new URLSearchParams(String(address).split("#")[0].split("?")[1]);
  }

  function clickId(page) {
    const found = [page.location?.href, page.referrer]
      .map((address) => queryOf(address).get("fbclid"))
      .find(Boolean);
    return found && found.length <= CLICK_ID_LENGTH_MAX ? found.split(".").join("__DOT__") : "";
  }

  function randomDigits() {
    const half = () => Math.floor(Math.random() * 1e9);
    return String(half()) + half();
  }

  async function keepCookies(page) {
    const host = page.location?.hostname || "";
    const browserId = parseId(await readCookie("_fbp")) || ["fb", 1, Date.now(), randomDigits()];
    const fbp = await writeCookie("_fbp", browserId, host);
    let click = parseId(await readCookie("_fbc"));
    const id = clickId(page);
    if (id && (!click || click[3] !== id)) click = ["fb", 1, Date.now(), id];
    const fbc = click ? await writeCookie("_fbc", click, host) : "";
    return { fbp, fbc };
  }

  /** The last ad click or campaign that a page's address bore: this page's, or the kept one. */
  async function landing(query) {
    const found = {};
    const borne = LANDING_PARAMETERS.filter((name) => query.get(name));
    borne.forEach((name) => { found[name] = query.get(name).slice(0, CLICK_ID_LENGTH_MAX); });
    if (borne.length > 0) {
      found.ts = Date.now();
      await soon(browser.localStorage.setItem(LANDING_KEY, JSON.stringify(found)));
      return found;
    }
    const kept = JSON.parse((await soon(browser.localStorage.getItem(LANDING_KEY))) || "{}");
    return Date.now() - kept.ts < COOKIE_DAYS * DAY_MS ? kept : {};
  }

  /** A test_event_code in an address holds for the rest of the visit; an empty one ends it. */
  async function testCode(query) {
    const name = "test_event_code";
    if (query.get(name) === null) return (await soon(browser.sessionStorage.getItem(name))) || "";
    await soon(browser.sessionStorage.setItem(name, query.get(name)));
    return query.get(name);
  }

  async function meetVisitor() {
    const page = pageOf(null);
    const query = queryOf(page.location?.href);
    const orElse = (empty) => (error) => {
      warn("STORAGE", String(error));
      return empty;
    };
    const ids = await keepCookies(page).catch(orElse({ fbp: "", fbc: "" }));
    const tp = await landing(query).catch(orElse({}));
    return { ...ids, tp, code: await testCode(query).catch(orElse("")) };
  }

  // --- Shopify's events → Meta's -------------------------------------------------------------

  /** The number in `gid://shopify/Product/123`, by which webhooks call the same thing. */
  function bareId(id) {
    return String(first(id)).split("?")[0].split("/").pop();
  }

  function goods(lines) {
    const contents = lines
      .filter((line) => line?.variant)
      .map((line) => {
        const named = CONTENT_IDS === "product" ? line.variant.product : line.variant;
        const price = line.variant.price?.amount;
        return { id: bareId(named?.id), quantity: line.quantity, item_price: price };
      })
      .filter((entry) => entry.id);
    if (contents.length === 0) return {};
    return {
      content_type: CONTENT_IDS === "product" ? "product_group" : "product",
      content_ids: Array.from(new Set(contents.map((entry) => entry.id))),
      contents,
      num_items: contents.reduce((sum, entry) => sum + (entry.quantity || 0), 0),
    };
  }

  function money(price) {
    return price ? { value: price.amount, currency: price.currencyCode } : {};
  }

  function ofProduct(variant) {
    const product = variant?.product;
    const described = { content_name: product?.title, content_category: product?.type };
    return { ...described, ...goods([{ variant, quantity: 1 }]), ...money(variant?.price) };
  }

  function ofCartLine(line) {
    const variant = line?.merchandise;
    const several = goods([{ variant, quantity: line?.quantity }]);
    return { ...ofProduct(variant), ...several, ...money(line?.cost?.totalAmount) };
  }

  function ofCheckout(checkout) {
    const price = checkout.totalPrice || checkout.subtotalPrice;
    const currency = checkout.currencyCode || price?.currencyCode;
    return { ...goods(checkout.lineItems || []), value: price?.amount, currency };
  }

  function orderId(checkout) {
    return bareId(first(checkout.order?.id, checkout.token));
  }

  /** The id that the copy of the shop's webhook or server has too. */
  function sharedId({ name, data, customData }) {
    if (name === "checkout_completed") return orderId(data.checkout);
    const token = name === "checkout_started" && data.checkout?.token;
    return token ? "checkout." + token : customData?.event_id;
  }

  const EVENTS = {
    page_viewed: ["PageView", () => ({})],
    product_viewed: ["ViewContent", (data) => ofProduct(data.productVariant)],
    search_submitted: ["Search", (data) => ({ search_string: data.searchResult?.query })],
    product_added_to_cart: ["AddToCart", (data) => ofCartLine(data.cartLine)],
    checkout_started: ["InitiateCheckout", (data) => ofCheckout(data.checkout)],
    payment_info_submitted: ["AddPaymentInfo", (data) => ofCheckout(data.checkout)],
    checkout_completed: [
      "Purchase",
      (data) => ({ ...ofCheckout(data.checkout), order_id: orderId(data.checkout) }),
    ],
    // What a script of the theme publishes, with an id that the server's copy has too.
    doublet_lead: ["Lead", ({ event_id, ...params }) => params],
  };

  // @shopify_buyer

  // --- one event → parameters ----------------------------------------------------------------

  function addGroup(list, group, values) {
    Object.keys(values).forEach((key) => {
      const value = values[key];
      if ((value ?? "") === "") return;
      const text = typeof value === "object" ? JSON.stringify(value) : String(value);
      list.push([group + "[" + key + "]", text]);
    });
  }

  function word(allowed) {
    return allowed ? "granted" : "denied";
  }

  function consentOf() {
    const ads = word(privacy.marketingAllowed);
    return {
      ad_storage: ads,
      ad_user_data: ads,
      ad_personalization: privacy.saleOfDataAllowed === false ? "denied" : ads,
      analytics_storage: word(privacy.analyticsProcessingAllowed),
      source: "shopify",
      gpc: navigator.globalPrivacyControl ? "1" : "",
    };
  }

  async function parametersOf(event, eventId) {
    const [name, ofData] = EVENTS[event.name];
    const page = pageOf(event);
    const screen = event.context?.window?.screen;
    const list = [
      ["id", PIXEL_ID],
      ["ev", name],
      ["dl", page.location?.href || ""],
      ["rl", page.referrer || ""],
      ["if", "false"],
      ["ts", String(Date.parse(event.timestamp) || Date.now())],
    ];
    addGroup(list, "cd", ofData(event.data || event.customData || {}));
    if (screen) list.push(["sw", String(screen.width)], ["sh", String(screen.height)]);
    addGroup(list, "ud", await hashed(buyer(event)));
    list.push(["v", VERSION], ["a", "shopify"]);
    if (visitor.code) list.push(["test_event_code", visitor.code]);
    list.push(["ec", String(eventCount++)]);
    for (const key of ["fbc", "fbp"]) {
      if (visitor[key]) list.push([key, visitor[key].split("__DOT__").join(".")]);
    }
    list.push(["eid", eventId], ["it", String(startedAt)]);
    if (privacy.saleOfDataAllowed === false) {
      list.push(["dpo", "LDU"], ["dpoco", "0"], ["dpost", "0"]);
    }
    addGroup(list, "cs", consentOf());
    addGroup(list, "tp", visitor.tp);
    return list.concat([["rqm", "fetch"]]);
  }

  // --- the queue -----------------------------------------------------------------------------

  let stored = [];
  let storing = Promise.resolve();
  let timer = 0;

  async function readQueue() {
    try {
      return JSON.parse((await soon(browser.localStorage.getItem(QUEUE_KEY))) || "[]");
    } catch (error) {
      return stored;
    }
  }

  /** Change the queue, one after the other: other tabs write to it too, so it is read each time. */
  function changeQueue(edit) {
    storing = storing
      .then(async () => {
        stored = edit(await readQueue()).slice(-QUEUE_MAX);
        if (stored.length === 0) await soon(browser.localStorage.removeItem(QUEUE_KEY));
        else await soon(browser.localStorage.setItem(QUEUE_KEY, JSON.stringify(stored)));
      })
      .catch((error) => warn("STORAGE", String(error)));
    return storing;
  }

  /** Whether the request is done with: taken, or refused for good. */
  async function post(body) {
    try {
      const answer = await fetch(ADDRESS + "/px", {
        method: "POST",
        mode: "cors",
        credentials: "include",
        cache: "no-store",
        keepalive: body.length < KEEPALIVE_LENGTH_MAX,
        headers: { "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8" },
        body,
      });
      const refused = /^4/.test(answer.status) && ![408, 429].includes(answer.status);
      if (refused) warn("REFUSED", answer.status + " " + answer.headers.get("X-Doublet-Refused"));
      return answer.ok || refused;
    } catch (error) {
      return false;
    }
  }

  async function deliver(entry) {
    const done = await post(entry.body);
    const wait = Math.min(RETRY_MS * Math.pow(2, entry.tries), RETRY_MS_MAX);
    const later = { ...entry, tries: entry.tries + 1, due: Date.now() + wait };
    await changeQueue((queue) => {
      const others = queue.filter((other) => other.key !== entry.key);
      return done || others.length === queue.length ? others : others.concat([later]);
    });
    wakeUp();
  }

  /** Look again when the next request of the queue is due. */
  function wakeUp() {
    clearTimeout(timer);
    if (stored.length === 0) return;
    const due = Math.min.apply(null, stored.map((entry) => entry.due));
    timer = setTimeout(flush, Math.max(due - Date.now(), 100));
  }

  async function flush() {
    if (privacy?.marketingAllowed !== true) return;
    let due = [];
    await changeQueue((queue) => {
      const now = Date.now();
      const fresh = queue.filter((entry) => now - entry.at < QUEUE_AGE_MS_MAX);
      due = fresh.filter((entry) => entry.due <= now);
      // Other tabs leave alone what is on its way.
      due.forEach((entry) => { entry.due = now + IN_FLIGHT_MS; });
      return fresh;
    });
    for (const entry of due) await deliver(entry);
    wakeUp();
  }

  // --- consent, and the events as they come --------------------------------------------------

  async function report(event) {
    if (!visitor) visitor = await meetVisitor();
    const eventId = sharedId(event) || event.id;
    const list = await parametersOf(event, eventId);
    // Consent may be gone by now.
    if (privacy?.marketingAllowed !== true) return;
    const body = list.map((pair) => pair.map(encodeURIComponent).join("=")).join("&");
    const now = Date.now();
    const key = event.name + " " + eventId;
    const entry = { key, body, at: now, tries: 0, due: now + IN_FLIGHT_MS };
    // Kept before the answer is there: the next page sends it when this one is left too early.
    changeQueue((queue) => queue.concat([entry]));
    deliver(entry);
  }

  function take(event) {
    if (privacy?.marketingAllowed !== true) {
      if (held.length < HELD_MAX) held.push(event);
      return;
    }
    work = work.then(() => report(event)).catch((error) => warn("INTERNAL", String(error)));
  }

  function takeConsent(given) {
    privacy = given || {};
    if (privacy.marketingAllowed === true) {
      held.splice(0).forEach(take);
      flush();
    } else {
      // What waits was told under a consent that is no longer there.
      changeQueue(() => []);
    }
  }

  try {
    const shop = typeof customerPrivacy !== "undefined" ? customerPrivacy : api.customerPrivacy;
    shop.subscribe("visitorConsentCollected", (event) => takeConsent(event.customerPrivacy));
  } catch (error) {
    warn("CONSENT", "Shopify does not tell when consent changes: " + error);
  }
  Object.keys(EVENTS).forEach((name) => analytics.subscribe(name, take));
  takeConsent(privacy);
})();
