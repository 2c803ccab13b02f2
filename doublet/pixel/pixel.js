/*
 * Doublet's browser pixel. It takes over the fbq() calls that the base code has queued, keeps the
 * _fbp and _fbc cookies, and posts each event to its own address without the `.js`.
 * It never throws into the page: what is wrong is said on the console and nothing else happens.
 * A line `// @name` is the place of `name.js`, which is served as a part of this script.
 */
(function (window, document, navigator, location) {
  "use strict";

  const VERSION = "0.2.0";
  const COOKIE_S = 90 * 86400;
  const URL_LENGTH_MAX = 2048;
  const KEEPALIVE_LENGTH_MAX = 60000;
  const CLICK_ID_LENGTH_MAX = 500;
  // The page's own scripts need room in the same five megabytes.
  const STORED_LENGTH_MAX = 15000;
  const QUEUE_MAX = 100;
  // Copies join for 48 hours: a later one would count as another event.
  const QUEUE_AGE_MS_MAX = 47 * 3600000;
  const RETRY_MS_MAX = 600000;
  // A page that calls PageView itself after a change of route does so within this time.
  const ROUTE_MS = 150;
  const STANDARD_EVENTS = (
    "AddPaymentInfo AddToCart AddToWishlist CompleteRegistration Contact CustomEvent " +
    "CustomizeProduct Donate FindLocation InitiateCheckout Lead PageView Purchase Schedule " +
    "Search StartTrial SubmitApplication Subscribe ViewContent"
  ).split(" ");
  const script = document.currentScript || document.querySelector('script[src*="/px"]');
  // Beside another library that owns fbq, data-name gives this one a name of its own.
  const NAME = (script && script.dataset.name) || "fbq";
  const fbq = window[NAME] || (window[NAME] = function () {
    return fbq.callMethod.apply(fbq, arguments);
  });
  if (fbq.instance) return;
  if (NAME === "fbq") {
    if (!window._fbq) window._fbq = fbq;
    else if (window._fbq !== fbq) warn("CONFLICTING_VERSIONS", "_fbq");
  }

  // What the automatic parts do, where they are present.
  let keyOf = (name) => name;
  let hash = () => "";
  let askTools = () => {};
  let keepTouch = () => {};
  let fieldsOf = () => ({});
  let complete = () => {};

  const pixels = new Map();
  const listeners = [];
  const debugging = /[?&]doublet_debug/.test(location.search);
  let endpoint = new URL(
    ((script && script.src) || "/px.js").replace(/(-core)?\.js([?#].*)?$/, ""),
    location.href
  ).href;
  /** What fbq('set', …) says of all pixels, and of one, before its `init` too; pixels inherit it. */
  const defaults = { autoConfig: true, firstPartyCookies: true };
  const settings = {};
  let dataProcessing = [];
  let isLeaving = false;
  if (debugging) fbq.log = [];

  function attempt(action, otherwise) {
    try {
      return action();
    } catch (error) {
      return otherwise;
    }
  }

  function tell(record) {
    record.at = Date.now();
    if (debugging) fbq.log.push(record);
    listeners.forEach((listener) => attempt(() => listener(record)));
  }

  function warn(type, text) {
    attempt(() => window.console.warn("[Doublet] " + type + ": " + text));
    tell({ type: "warning", id: type, text });
  }

  // @storage
  // --- ad clicks -----------------------------------------------------------------------------

  const landing = new URLSearchParams(location.search);
  let clickId = attempt(
    () => landing.get("fbclid") || new URL(document.referrer).searchParams.get("fbclid"), ""
  ) || "";
  const ids = {};

  /** Makes or prolongs `_fbp`; makes `_fbc` for a new click, otherwise prolongs it. */
  function keepIds() {
    if (![...pixels.values()].some((pixel) => pixel.firstPartyCookies)) return;
    const browser = parseId(readCookie("_fbp")) || ["fb", 1, Date.now(), randomDigits()];
    ids.fbp = writeCookie("_fbp", browser);
    let click = parseId(readCookie("_fbc") || ids.fbc || "");
    // The dot separates the parts, so inside the id it is written as a word.
    const id = clickId.length > CLICK_ID_LENGTH_MAX ? "" : clickId.split(".").join("__DOT__");
    if (id && (!click || click[3] !== id)) click = ["fb", 1, Date.now(), id];
    // Where no cookie is possible, the click of this page is still known.
    if (click) ids.fbc = writeCookie("_fbc", click) || click.join(".");
    keepTouch();
  }

  // --- consent -------------------------------------------------------------------------------

  const PURPOSES = ["ad_storage", "ad_user_data", "ad_personalization", "analytics_storage"];
  /** What the site's consent tools have said: source → purpose → granted or denied. */
  const tools = {};
  let said = "";
  let held = [];

  function word(isGranted) {
    return isGranted ? "granted" : "denied";
  }

  /** The state per purpose, in the words of Google Consent Mode; one tool's no outweighs. */
  function consentState() {
    const state = {};
    const sources = Object.keys(tools);
    PURPOSES.forEach((purpose) => {
      const saying = sources.filter((source) => tools[source][purpose]);
      if (!saying[0]) return;
      state[purpose] = word(saying.every((source) => tools[source][purpose] === "granted"));
      state.source = saying[0];
    });
    if (navigator.globalPrivacyControl) state.gpc = 1;
    return state;
  }

  /** fbq('consent', …) is the site's own word; without it a tool's counts, if it has one. */
  function isHeld() {
    // Nobody has seen a page that the browser only prepares.
    if (document.prerendering) return true;
    if (said) return said === "revoke";
    return Object.values(tools).some((tool) => /^$|^d/.test(tool.ad_storage));
  }

  function consentSaid(source, state) {
    if (source) tools[source] = state;
    if (isHeld() || !pixels.size) return;
    keepIds();
    held.splice(0).forEach((event) => event.targets.forEach((pixel) => emit(pixel, event)));
    flush();
  }

  // --- user data -----------------------------------------------------------------------------


  /** Plain values never leave the page: they are hashed, or dropped where that part is missing. */
  function hashed(userData) {
    const kept = {};
    Object.keys(userData).forEach((name) => {
      const key = keyOf(name.toLowerCase());
      const text = (textOf(userData[name]) || "").trim().toLowerCase();
      const digest = /^[0-9a-f]{64}$/.test(text) ? text : text && attempt(() => hash(key, text));
      if (digest && !(kept[key] && key !== name)) kept[key] = digest;
      else if (text) warn("PII_UNHASHED_PII", name);
    });
    return kept;
  }

  // --- one event → parameters ----------------------------------------------------------------

  function newEventId() {
    return Date.now() + "." + randomDigits();
  }

  /** Text on the wire; undefined for what cannot be sent. */
  function textOf(value) {
    if (value === null || typeof value === "function") return undefined;
    const text = attempt(() => JSON.stringify(value));
    // Texts and dates go without the quotes.
    return text && text[0] === '"' ? JSON.parse(text) : text;
  }

  /** A test_event_code in a page's address holds for the rest of the visit; an empty one ends it. */
  function testCode() {
    const name = "test_event_code";
    const given = new URLSearchParams(location.search).get(name);
    return attempt(() => {
      if (given !== null) storage("sessionStorage").setItem(name, given);
      return storage("sessionStorage").getItem(name);
    }, given);
  }

  function parametersOf(pixel, event) {
    const list = [];
    const add = (name, value) => {
      const text = textOf(value);
      if (text !== undefined) list.push([name, text]);
    };
    const group = (name, values) =>
      Object.keys(values || {}).forEach((key) => add(name + "[" + key + "]", values[key]));
    add("id", pixel.id);
    add("dl", event.href);
    add("rl", document.referrer);
    add("if", window.top !== window);
    add("ts", event.at);
    group("cd", event.params);
    add("sw", window.screen.width);
    add("sh", window.screen.height);
    group("ud", pixel.userData);
    group("udff", fieldsOf(pixel));
    add("v", VERSION);
    add("a", pixel.agent || fbq.agent);
    add("test_event_code", testCode() || null);
    add("ec", pixel.eventCount++);
    if (pixel.firstPartyCookies) {
      ["fbc", "fbp"].forEach((key) => {
        const value = readCookie("_" + key) || ids[key];
        if (value) add(key, value.split("__DOT__").join("."));
      });
    }
    add("eid", event.eventID);
    const isOptOut = defaults.globalPrivacyControl && navigator.globalPrivacyControl;
    const limits = !dataProcessing.length && isOptOut ? [["LDU"], 0, 0] : dataProcessing;
    if (limits.length) add("dpo", [].concat(limits[0] || []).join(","));
    add("dpoco", limits[1]);
    add("dpost", limits[2]);
    add("es", event.category);
    group("cs", consentState());
    group("tp", recall("_dbt"));
    // At the end, since filter lists look for `&ev=PageView&` in addresses.
    add("ev", event.name);
    return list;
  }

  // @delivery
  // --- events --------------------------------------------------------------------------------

  function isPlain(value) {
    return !!value && typeof value === "object" && !Array.isArray(value);
  }

  function orderOf(event) {
    return event.name === "Purchase" && event.params.order_id;
  }

  function eventIdOf(event, options) {
    let given = options.eventID !== undefined ? options.eventID : options.event_id;
    if (isPlain(given)) given = given.eventID || given.event_id;
    if (given === undefined || given === null || given === "") {
      // The order's own id: its confirmation page may be loaded again, and the server knows it too.
      return orderOf(event) ? String(orderOf(event)) : newEventId();
    }
    if (typeof given !== "string") warn("INVALID_EVENT_ID_FORMAT", given);
    return String(given);
  }

  function check(name, params) {
    if (params.eventID || params.event_id) warn("INVALID_PARAM", "eventID");
    const rules = { value: /^[+-]?\d+(\.\d+)?$/, currency: /^[a-z]{3}$/i };
    Object.keys(name === "Purchase" ? rules : {}).forEach((key) => {
      if (params[key] === undefined) warn("REQUIRED_PARAM_MISSING", key);
      else if (!rules[key].test(params[key])) warn("INVALID_PARAM_FORMAT", key);
    });
    if (params.value < 0) warn("NEGATIVE_EVENT_PARAM", "value");
  }

  /** The id of an order's first Purchase, when this browser has reported it before. */
  function known(pixel, event) {
    const order = orderOf(event);
    if (!order) return "";
    const orders = recall("_dbo") || [];
    const mark = pixel.id + " " + order;
    const found = orders.find((each) => each[0] === mark);
    if (!found) remember("_dbo", orders.concat([[mark, event.eventID]]).slice(-QUEUE_MAX));
    return found ? found[1] : "";
  }

  /** One event for one pixel: held, left out or sent. Gives the id that it has. */
  function emit(pixel, event) {
    if (event.name === "PageView") {
      const { href, eventID } = pixel.viewed || {};
      if (href === event.href && !event.mayRepeat && !fbq.allowDuplicatePageViews) return eventID;
      pixel.viewed = event;
    }
    const first = attempt(() => known(pixel, event));
    if (first) return first;
    enqueue(pixel, event);
    return event.eventID;
  }

  function track(targets, name, params, options, more) {
    if (name === "CustomEvent" && isPlain(params) && params.event) name = params.event;
    if (!name || typeof name === "object") return warn("NO_EVENT_NAME", name);
    if (!targets.length) return warn("PIXEL_NOT_INITIALIZED", name);
    const event = {
      name: String(name),
      params: isPlain(params) ? { ...params } : {},
      at: Date.now(),
      href: location.href,
      targets,
      ...more,
    };
    attempt(() => complete(event));
    check(event.name, event.params);
    // One id for all pixels: it names what happened, not the request.
    event.eventID = eventIdOf(event, isPlain(options) ? options : {});
    if (event.name === "PageView" && targets.length >= everyPixel().length) {
      window.clearTimeout(routeTimer);
      routeTimer = 0;
    }
    askTools();
    let id = event.eventID;
    if (isHeld()) {
      if (held.length < QUEUE_MAX) held.push(event);
      tell({ type: "held", id: targets[0].id, name: event.name, eventID: id });
    } else {
      if (!isLoaded) consentSaid();
      targets.forEach((pixel) => { id = emit(pixel, event); });
    }
    if (options && typeof options.callback === "function") attempt(() => options.callback(id));
    return id;
  }

  // --- single-page sites ---------------------------------------------------------------------

  let address = location.href;
  let routeTimer = 0;

  function everyPixel() {
    return [...pixels.values()].filter((pixel) => !pixel.trackSingleOnly);
  }

  function reportView(more) {
    if (everyPixel()[0]) track(everyPixel(), "PageView", {}, {}, more);
  }

  /** Reports the route that waits: the page's own call, which may bear an id, comes first. */
  let reportNow = () => {};

  function reportRoute() {
    const href = location.href;
    if (fbq.disablePushState === true || href === address) return;
    if (routeTimer) reportNow();
    address = href;
    reportNow = () => reportView({ href });
    routeTimer = window.setTimeout(reportNow, ROUTE_MS);
  }

  ["pushState", "replaceState"].forEach((name) => attempt(() => {
    const original = window.history[name];
    window.history[name] = function (...rest) {
      const result = original.apply(this, rest);
      attempt(reportRoute);
      return result;
    };
  }));
  window.addEventListener("popstate", () => attempt(reportRoute));
  document.addEventListener("prerenderingchange", () => attempt(consentSaid));
  window.addEventListener("online", () => attempt(flush));
  window.addEventListener("pagehide", () => {
    isLeaving = true;
    if (routeTimer) attempt(reportNow);
    // What the next page could not know of goes now.
    queue.forEach((entry) => {
      if (!entry.isBusy && !stored(entry.key) && !isHeld()) attempt(() => send(entry));
    });
  });
  window.addEventListener("pageshow", (shown) => {
    isLeaving = false;
    if (!shown.persisted) return;
    address = location.href;
    if (fbq.disablePushState !== true) attempt(() => reportView({ mayRepeat: true }));
    attempt(flush);
  });

  // --- verbs ---------------------------------------------------------------------------------

  function init(id, userData, options) {
    const key = String(id).trim();
    if (!/^\d+$/.test(key) || id > Number.MAX_SAFE_INTEGER && typeof id === "number") {
      warn("INVALID_PIXEL_ID", key);
      return;
    }
    if (userData && !isPlain(userData)) warn("PII_INVALID_TYPE", key);
    const given = isPlain(userData) ? hashed(userData) : {};
    const pixel = pixels.get(key);
    if (!pixel) {
      const { agent } = options || {};
      if (agent) set("agent", agent, key);
      pixels.set(key, Object.assign(Object.create(settingsOf(key)), {
        id: key, userData: given, eventCount: 0,
      }));
    } else if (!Object.keys(pixel.userData)[0] && Object.keys(given)[0]) {
      pixel.userData = given;
    } else {
      warn("DUPLICATE_PIXEL_ID", key);
    }
    askTools();
    consentSaid();
  }

  function standard(name) {
    // An event of digits alone is the id of a conversion pixel of old.
    if (name && !STANDARD_EVENTS.includes(name) && !/^\d+$/.test(name)) {
      warn("NONSTANDARD_EVENT", name);
    }
  }

  function one(id) {
    return pixels.has(String(id)) ? [pixels.get(String(id))] : [];
  }

  const SETTINGS = /^(agent|autoConfig|firstPartyCookies|trackSingleOnly|globalPrivacyControl)$/;

  function settingsOf(id) {
    return (settings[id] = settings[id] || Object.create(defaults));
  }

  function set(key, value, id) {
    const isForAll = id === undefined;
    if (key === "endpoint") {
      endpoint = new URL(value, location.href).href;
    } else if (key === "userData" && isPlain(value)) {
      (isForAll ? pixels : one(id)).forEach((pixel) =>
        Object.assign(pixel.userData, hashed(value)));
    } else if (SETTINGS.test(key)) {
      (isForAll ? defaults : settingsOf(id))[key] = value !== "false" && value;
    } else {
      warn("UNSUPPORTED_METADATA_ARGUMENT", key);
    }
  }

  function feature(isOn) {
    return (id, name) => { settingsOf(id)[name] = isOn; };
  }

  const VERBS = {
    __proto__: null,
    init,
    set,
    addPixelId: init,
    optIn: feature(true),
    optOut: feature(false),
    consent(action) {
      if (!/^(revoke|grant)$/.test(action)) return warn("INVALID_CONSENT_ACTION", action);
      said = action;
      const [ad_storage, ad_user_data, ad_personalization] = Array(3).fill(word(said === "grant"));
      return consentSaid("fbq", { ad_storage, ad_user_data, ad_personalization });
    },
    dataProcessingOptions(...limits) {
      dataProcessing = limits;
    },
    on(name, listener) {
      if (name === "doublet" && typeof listener === "function") listeners.push(listener);
    },
    track(name, params, options) {
      standard(name);
      return track(everyPixel(), name, params, options);
    },
    trackCustom(name, params, options) {
      return track(everyPixel(), name, params, options);
    },
    trackSingle(id, name, params, options) {
      standard(name);
      return track(one(id), name, params, options);
    },
    trackSingleCustom(id, name, params, options) {
      return track(one(id), name, params, options);
    },
    trackSingleSystem(id, category, name, params, options) {
      return track(one(id), name, params, options, { category });
    },
    trackShopify(id, name, params, options, extra) {
      const { contents, order_id } = extra || {};
      return track(one(id), name, { contents, order_id, ...params }, options);
    },
    setUserProperties(id, properties) {
      if (String(dataProcessing[0]).includes("LDU")) return undefined;
      return track(one(id), "UserProperties", properties, {}, { category: "user_properties" });
    },
  };
  function callMethod(verb, ...rest) {
    try {
      // The oldest form: _fbq.push(['track', name, params]).
      if (Array.isArray(verb)) return callMethod(...verb);
      const call = VERBS[/^report/.test(verb) ? "track" : verb];
      if (call) return call(...rest);
      warn("INVALID_FBQ_METHOD", verb);
    } catch (error) {
      warn("INTERNAL", error);
    }
  }

  // @automatic

  fbq.instance = { pixelsByID: pixels };
  fbq.version = VERSION;
  fbq.getState = () => ({ pixels: [...pixels.values()].map((pixel) => ({ ...pixel })) });
  const queued = fbq.queue || [];
  fbq.queue = [];
  fbq.callMethod = callMethod;
  if (fbq.pixelId) callMethod("init", fbq.pixelId);
  Array.from(queued).forEach((call) => attempt(() => callMethod(...call)));
})(window, document, navigator, location);
