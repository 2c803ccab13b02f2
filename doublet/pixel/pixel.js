/*
 * Doublet's browser pixel. It takes over the fbq() calls that the base code has queued, keeps the
 * _fbp and _fbc cookies, and sends each event to the /tr/ beside the address it was loaded from.
 * It never throws into the page: what is wrong is said on the console and nothing else happens.
 */
(function (window, document, navigator) {
  "use strict";

  const VERSION = "0.1.0";
  const COOKIE_DAYS = 90;
  const URL_LENGTH_MAX = 2048;
  const KEEPALIVE_LENGTH_MAX = 60000;
  const CLICK_ID_LENGTH_MAX = 500;
  const STANDARD_EVENTS = new Set(
    ("AddPaymentInfo AddToCart AddToWishlist CompleteRegistration Contact CustomizeProduct Donate " +
      "FindLocation InitiateCheckout Lead PageView Purchase Schedule Search StartTrial " +
      "SubmitApplication Subscribe ViewContent").split(" ")
  );

  const fbq = window.fbq || (window.fbq = function () { fbq.callMethod.apply(fbq, arguments); });
  if (fbq.instance) return;
  if (!window._fbq) window._fbq = fbq;

  const pixels = new Map();
  const state = {
    endpoint: besideScript(),
    cookies: true,
    revoked: false,
    waiting: [],
    dataProcessing: null,
    leaving: false,
  };

  /** `tr/` in the folder that this script came from, so that a path prefix works too. */
  function besideScript() {
    const script = document.currentScript || document.querySelector('script[src*="/px.js"]');
    return new URL("tr/", (script && script.src) || window.location.origin).href.split("?")[0];
  }

  function warn(type, text) {
    if (window.console) window.console.warn("[Doublet pixel] " + type + ": " + text);
  }

  // --- cookies -------------------------------------------------------------------------------

  function readCookie(name) {
    const found = document.cookie.split("; ").find((pair) => pair.startsWith(name + "="));
    try {
      return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
    } catch (error) {
      return "";
    }
  }

  function setCookie(name, value, domain) {
    document.cookie =
      name + "=" + encodeURIComponent(value) + "; max-age=" + COOKIE_DAYS * 86400 +
      "; path=/; samesite=lax" + (domain ? "; domain=." + domain : "");
    return readCookie(name) === value;
  }

  /**
   * Writes to the widest domain that the browser allows, trying `com`, then `example.com`, …
   * `make` gets the number of dots in that domain, which is part of the value.
   */
  function writeCookie(name, make) {
    const labels = window.location.hostname.split(".");
    const isAddress = /^[\d.]+$|:/.test(window.location.hostname);
    for (let index = 0; index < labels.length && !isAddress; index++) {
      const value = make(index);
      if (setCookie(name, value, labels.slice(-1 - index).join("."))) return value;
    }
    // A bare host name or an address gets a cookie of its own.
    const value = make(1);
    return setCookie(name, value, "") ? value : "";
  }

  /** The 4 (or 5) parts of a stored value, null for anything else. */
  function parseId(text) {
    const parts = text.split(".");
    const known = parts[0] === "fb" && /^\d+$/.test(parts[1]) && /^\d+$/.test(parts[2]) && parts[3];
    return known && parts.length < 6 ? parts : null;
  }

  function withIndex(parts) {
    return (index) => ["fb", index].concat(parts.slice(2)).join(".");
  }

  function clickId() {
    for (const address of [window.location.href, document.referrer]) {
      try {
        const id = new URL(address).searchParams.get("fbclid");
        if (id) return id.length > CLICK_ID_LENGTH_MAX ? "" : id;
      } catch (error) {
        // An empty referrer is no address.
      }
    }
    return "";
  }

  function randomDigits() {
    const half = () => Math.floor(Math.random() * 1e9);
    return String(half()) + half();
  }

  /** Makes or prolongs `_fbp`; makes `_fbc` for a new click, otherwise prolongs it. */
  function keepCookies() {
    const browser = parseId(readCookie("_fbp")) || ["fb", 1, Date.now(), randomDigits()];
    writeCookie("_fbp", withIndex(browser));
    let click = parseId(readCookie("_fbc"));
    // The dot separates the parts, so inside the id it is written as a word.
    const id = clickId().split(".").join("__DOT__");
    if (id && (!click || click[3] !== id)) click = ["fb", 1, Date.now(), id];
    if (click) writeCookie("_fbc", withIndex(click));
  }

  // --- one event → parameters ----------------------------------------------------------------

  function newEventId() {
    if (window.crypto && window.crypto.randomUUID) return window.crypto.randomUUID();
    return Date.now().toString(16) + "." + randomDigits();
  }

  function eventIdOf(options) {
    const given = options && (options.eventID !== undefined ? options.eventID : options.event_id);
    if (given === undefined || given === null || given === "") return newEventId();
    if (typeof given !== "string") warn("INVALID_EVENT_ID_FORMAT", "eventID should be a string.");
    return String(given);
  }

  /** Text on the wire; undefined for what cannot be sent. */
  function textOf(value) {
    if (value === null || value === undefined || typeof value === "function") return undefined;
    if (typeof value !== "object") return String(value);
    if (value instanceof Date) return value.toISOString();
    try {
      return JSON.stringify(value);
    } catch (error) {
      return undefined;
    }
  }

  /** A test_event_code in a page's address holds for the rest of the visit; an empty one ends it. */
  function testCode() {
    const name = "test_event_code";
    const given = new URLSearchParams(window.location.search).get(name);
    try {
      if (given !== null) window.sessionStorage.setItem(name, given);
      return window.sessionStorage.getItem(name);
    } catch (error) {
      return given;
    }
  }

  function addGroup(list, group, values) {
    for (const key of Object.keys(values || {})) {
      const text = textOf(values[key]);
      if (text !== undefined) list.push([group + "[" + key + "]", text]);
    }
  }

  function parametersOf(pixel, name, params, eventId) {
    const list = [
      ["id", pixel.id],
      ["ev", name],
      ["dl", window.location.href],
      ["rl", document.referrer],
      ["if", String(window.top !== window)],
      ["ts", String(Date.now())],
    ];
    addGroup(list, "cd", params);
    list.push(["sw", String(window.screen.width)], ["sh", String(window.screen.height)]);
    addGroup(list, "ud", pixel.userData);
    list.push(["v", VERSION], ["r", "stable"]);
    const agent = pixel.agent || fbq.agent;
    if (agent) list.push(["a", agent]);
    const code = testCode();
    if (code) list.push(["test_event_code", code]);
    list.push(["ec", String(pixel.eventCount++)]);
    // Bits: 8 defineProperty, 16 sendBeacon, 4096 first-party cookies.
    list.push(["o", String(8 | (navigator.sendBeacon ? 16 : 0) | (state.cookies ? 4096 : 0))]);
    for (const [key, cookie] of [["fbc", "_fbc"], ["fbp", "_fbp"]]) {
      const value = state.cookies && readCookie(cookie);
      if (value) list.push([key, value.split("__DOT__").join(".")]);
    }
    list.push(["eid", eventId], ["it", String(pixel.initializedAt)], ["coo", "false"]);
    return list.concat(state.dataProcessing || []);
  }

  // --- parameters → network ------------------------------------------------------------------

  function encode(list) {
    return list.map((pair) => pair.map(encodeURIComponent).join("=")).join("&");
  }

  function beacon(list) {
    if (!navigator.sendBeacon) return false;
    const form = new FormData();
    list.concat([["rqm", "SB"]]).forEach((pair) => form.append(pair[0], pair[1]));
    return navigator.sendBeacon(state.endpoint, form);
  }

  function post(list) {
    const body = encode(list.concat([["rqm", "fetch"]]));
    window.fetch(state.endpoint, {
      method: "POST",
      mode: "no-cors",
      credentials: "include",
      cache: "no-store",
      keepalive: body.length < KEEPALIVE_LENGTH_MAX,
      headers: { "Content-Type": "application/x-www-form-urlencoded" },
      body: body,
    }).catch((error) => warn("NOT_SENT", String(error)));
  }

  /** An image while the page stays; a beacon, which outlives the page, otherwise. */
  function send(list) {
    const url = state.endpoint + "?" + encode(list.concat([["rqm", "GET"]]));
    const isLeaving = state.leaving || document.visibilityState === "hidden";
    if (url.length < URL_LENGTH_MAX && !(isLeaving && navigator.sendBeacon)) {
      new Image(1, 1).src = url;
    } else if (!beacon(list)) {
      post(list);
    }
  }

  // --- verbs ---------------------------------------------------------------------------------

  function isPlain(value) {
    return Object.prototype.toString.call(value) === "[object Object]";
  }

  /** Only values that are SHA-256 already are sent; plain ones never leave the page. */
  function hashedOnly(userData) {
    const kept = {};
    for (const key of Object.keys(userData)) {
      const text = String(userData[key]).trim().toLowerCase();
      if (/^[0-9a-f]{64}$/.test(text)) kept[key] = text;
      else warn("PII_UNHASHED_PII", "'" + key + "' is not SHA-256 and is not sent.");
    }
    return kept;
  }

  function init(id, userData, options) {
    const key = String(id === undefined || id === null ? "" : id).trim();
    if (!/^\d+$/.test(key) || (typeof id === "number" && !Number.isSafeInteger(id))) {
      warn("INVALID_PIXEL_ID", "'" + key + "' is not a pixel id; give it as a string of digits.");
      return;
    }
    if (userData !== undefined && userData !== null && !isPlain(userData)) {
      warn("PII_INVALID_TYPE", "User data of pixel " + key + " is not a plain object.");
    }
    const hashed = isPlain(userData) ? hashedOnly(userData) : {};
    const known = pixels.get(key);
    if (!known) {
      const agent = options && options.agent;
      pixels.set(key, { id: key, userData: hashed, agent, eventCount: 0, initializedAt: Date.now() });
    } else if (Object.keys(known.userData).length === 0 && Object.keys(hashed).length > 0) {
      known.userData = hashed;
    } else {
      warn("DUPLICATE_PIXEL_ID", "Pixel " + key + " is initialised already.");
    }
    if (state.cookies) keepCookies();
  }

  function track(targets, name, params, options) {
    if (typeof name !== "string" || !name) {
      warn("NO_EVENT_NAME", "track needs the name of an event.");
      return;
    }
    if (targets.length === 0) {
      warn("PIXEL_NOT_INITIALIZED", "Call fbq('init', …) before '" + name + "'.");
      return;
    }
    // One id for all pixels: it names what happened, not the request.
    const eventId = eventIdOf(options);
    const values = isPlain(params) ? params : {};
    targets.forEach((pixel) => send(parametersOf(pixel, name, values, eventId)));
  }

  function standard(name) {
    if (typeof name === "string" && name && !STANDARD_EVENTS.has(name)) {
      warn("NONSTANDARD_EVENT", "'" + name + "' is not a standard event; use trackCustom.");
    }
  }

  function one(id) {
    return pixels.has(String(id)) ? [pixels.get(String(id))] : [];
  }

  function set(key, value, id) {
    const pixel = pixels.get(String(id));
    if (key === "endpoint") state.endpoint = new URL(value, window.location.href).href;
    else if (key === "firstPartyCookies") state.cookies = value !== false;
    else if (key === "agent" && pixel) pixel.agent = String(value);
    else if (key === "agent") warn("SET_METADATA_ON_UNINITIALIZED_PIXEL_ID", String(id));
  }

  function consent(action) {
    if (action === "revoke") {
      state.revoked = true;
    } else if (action === "grant") {
      state.revoked = false;
      state.waiting.splice(0).forEach((call) => fbq.callMethod.apply(fbq, call));
    } else {
      warn("INVALID_CONSENT_ACTION", "'" + action + "' is neither 'revoke' nor 'grant'.");
    }
  }

  function dataProcessingOptions(options, country, region) {
    const pairs = [["dpo", [].concat(options || []).join(",")], ["dpoco", country], ["dpost", region]];
    state.dataProcessing = pairs
      .filter((pair) => pair[1] !== undefined && pair[1] !== null)
      .map((pair) => [pair[0], String(pair[1])]);
  }

  const VERBS = {
    init,
    set,
    consent,
    dataProcessingOptions,
    track(name, params, options) {
      standard(name);
      track(Array.from(pixels.values()), name, params, options);
    },
    trackCustom(name, params, options) {
      track(Array.from(pixels.values()), name, params, options);
    },
    trackSingle(id, name, params, options) {
      standard(name);
      track(one(id), name, params, options);
    },
    trackSingleCustom(id, name, params, options) {
      track(one(id), name, params, options);
    },
  };

  function callMethod(verb) {
    try {
      const rest = Array.prototype.slice.call(arguments, 1);
      if (!Object.prototype.hasOwnProperty.call(VERBS, verb)) {
        warn("INVALID_FBQ_METHOD", "fbq('" + String(verb) + "', …) is not known.");
      } else if (state.revoked && verb !== "consent") {
        state.waiting.push(Array.prototype.slice.call(arguments));
      } else {
        VERBS[verb].apply(null, rest);
      }
    } catch (error) {
      warn("INTERNAL", String(error));
    }
  }

  window.addEventListener("pagehide", () => { state.leaving = true; });
  window.addEventListener("pageshow", () => { state.leaving = false; });

  fbq.instance = { pixelsByID: pixels };
  fbq.version = VERSION;
  fbq.loaded = true;
  fbq.getState = () => ({ pixels: Array.from(pixels.values(), (pixel) => Object.assign({}, pixel)) });
  const queued = fbq.queue || [];
  fbq.queue = [];
  fbq.callMethod = callMethod;
  Array.prototype.forEach.call(queued, (call) => callMethod.apply(fbq, call));
})(window, document, navigator);
