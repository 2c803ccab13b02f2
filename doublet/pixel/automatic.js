/*
 * The automatic parts. They stand inside the pixel's function, where it says so, and use its names:
 * plain user data is hashed; forms are read for it (opt in); clicks on buttons are reported, and the
 * page's product data complete an event that has none (opt out).
 */

  /** Names of keys, as sites and forms (HTML, autofill) write them. */
  const ALIASES = {
    em: /e-?mail/,
    ph: /phone|^(pn|tel|mobile)$/,
    ln: /^(last|family).?name|^surname$/,
    fn: /^(f(irst)?|given).?name|^(profile_|account_|fbq_custom_)?name$/,
    ge: /^\$?gen(der)?$|^sex$/,
    db: /^(dob|bd|b(irth)?day|d0b)$/,
    ct: /^\$?city$|level2$/,
    st: /^\$?state$|level1$/,
    zp: /^zip|^post(al)?.?code$/,
    country: /^cn$|^country/,
  };
  const only = (form, text) => (form.test(text) ? text : "");
  const letters = (text) => text.normalize("NFC").replace(/[^\p{L}\p{N}\p{Mn}\p{Mc}]/gu, "");
  /** The documented form of each key, as the collector makes it; empty for what is unusable. */
  const RULES = {
    em: (text) => only(/^[^\s@,;]+@[^\s@,;]+\.[^\s@,;]{2,}$/, text.replace(/,$/, "")),
    ph: (text) => only(/^\d{7,15}$/, text.replace("(0)", "").replace(/\D/g, "").replace(/^0+/, "")),
    fn: letters,
    ln: letters,
    ct: letters,
    st: letters,
    zp: (text) => letters(text).replace(/^(\d{5})\d{4}$/, "$1"),
    ge: (text) => only(/^(m(ale)?|f(emale)?)$/, text)[0],
    db(text) {
      const [, year, month, day] = /^(\d{4})\D?(\d\d)\D?(\d\d)$/.exec(text) || [];
      const [, first, second, last] = /^(\d\d?)\D(\d\d?)\D(\d{4})$/.exec(text) || [];
      if (year) return year + month + day;
      // Slash and dash are read as American, dots as European, unless that is no date.
      const isDayFirst = first > 12 || (/\./.test(text) && second <= 12);
      const pair = isDayFirst ? [second, first] : [first, second];
      return last ? last + pair.map((part) => part.padStart(2, "0")).join("") : "";
    },
    country(text) {
      // Some names are those of codes of old as well, such as DD for Germany.
      const code = (region) => new Intl.Locale("und-" + region).region.toLowerCase();
      if (text.length < 3) return code(text);
      const names = new Intl.DisplayNames("en", { type: "region" });
      for (let at = 0; at < 676; at++) {
        const region = String.fromCharCode(65 + at / 26, 65 + (at % 26));
        if (names.of(region).toLowerCase() === text) return code(region);
      }
      return "";
    },
    external_id: (text) => text,
  };

  /**
   * SHA-256 (FIPS 180-4) as hex. The browser's own is missing on pages without TLS, and answers
   * later: an event of a page that is being left could not wait for it.
   */
  function sha256(text) {
    const bytes = new TextEncoder().encode(text);
    const words = new Uint32Array(((bytes.length + 72) >> 6) << 4);
    bytes.forEach((byte, at) => { words[at >> 2] |= byte << (24 - (at % 4) * 8); });
    words[bytes.length >> 2] |= 0x80 << (24 - (bytes.length % 4) * 8);
    words[words.length - 1] = bytes.length * 8;
    const fraction = (root) => ((root % 1) * 4294967296) | 0;
    const primes = [];
    for (let n = 2; primes.length < 64; n++) if (primes.every((prime) => n % prime)) primes.push(n);
    const rounds = primes.map((prime) => fraction(Math.cbrt(prime)));
    let state = primes.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));
    const turn = (x, n) => (x >>> n) | (x << (32 - n));
    for (let start = 0; start < words.length; start += 16) {
      const w = Array.from(words.subarray(start, start + 16));
      let [a, b, c, d, e, f, g, h] = state;
      for (let i = 0; i < 64; i++) {
        if (i > 15) {
          const x = w[i - 15];
          const y = w[i - 2];
          w[i] = (w[i - 16] + w[i - 7] + (turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) +
            (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10))) | 0;
        }
        const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) +
          rounds[i] + w[i]) | 0;
        const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
      }
      state = state.map((value, at) => (value + [a, b, c, d, e, f, g, h][at]) | 0);
    }
    return state.map((value) => (value >>> 0).toString(16).padStart(8, "0")).join("");
  }

  keyOf = (name) => Object.keys(ALIASES).find((key) => ALIASES[key].test(name)) || name;
  hash = (key, text) => {
    const plain = RULES[key](text);
    return plain && sha256(plain);
  };

  /** `AutomaticMatching` is opt in, the others are on until autoConfig or optOut says no. */
  function isOn(pixel, feature) {
    if (feature in pixel) return pixel[feature];
    return feature !== "AutomaticMatching" && pixel.autoConfig;
  }

  function withFeature(feature) {
    return everyPixel().filter((pixel) => isOn(pixel, feature));
  }

  // --- the site's consent tool -----------------------------------------------------------------

  /** IAB TCF 2.2, with the purposes that Google's mapping names. */
  function readTcf(data) {
    if (!data || !/tcloaded|useractioncomplete/.test(data.eventStatus)) return;
    const given = (data.purpose && data.purpose.consents) || {};
    const all = (...purposes) => word(!data.gdprApplies || purposes.every((each) => given[each]));
    consentSaid("tcf", {
      ad_storage: all(1), ad_user_data: all(1, 7), ad_personalization: all(3, 4),
    });
  }

  /** IAB GPP: in the sections of US states 1 is an opt-out. */
  function readGpp(message) {
    const sections = (message && message.pingData && message.pingData.parsedSections) || {};
    const parts = [].concat(...Object.keys(sections).map((key) => sections[key]));
    if (!parts.length) return;
    const isOut = parts.some((part) =>
      Object.keys(part).some((key) => /OptOut$/.test(key) && part[key] === 1));
    consentSaid("gpp", { ad_user_data: word(!isOut), ad_personalization: word(!isOut) });
  }

  const updated = {};

  /** Google Consent Mode: gtag('consent', 'default' | 'update', …) in the data layer. */
  function readConsentMode(entry) {
    const values = entry && entry[0] === "consent" && entry[2];
    // Defaults for some regions say nothing of a visitor whose region is unknown here.
    if (!values || values.region) return;
    const state = { ...tools.gcm };
    PURPOSES.forEach((purpose) => {
      // An update outlasts defaults that come later.
      if (!values[purpose] || (entry[1] === "default" && updated[purpose])) return;
      state[purpose] = values[purpose];
      updated[purpose] = entry[1] !== "default";
    });
    consentSaid("gcm", state);
  }

  function readShopify() {
    const tool = window.Shopify.customerPrivacy;
    const ads = word(tool.marketingAllowed());
    consentSaid("shopify", {
      ad_storage: ads,
      ad_user_data: ads,
      ad_personalization: word(tool.marketingAllowed() && tool.saleOfDataAllowed()),
      analytics_storage: word(tool.analyticsProcessingAllowed()),
    });
  }

  let layerRead;

  /** What the tools have said so far counts as a whole: an earlier yes may have become a no. */
  askTools = () => {
    tools.all = { ad_storage: "" };
    attempt(askEach);
    delete tools.all;
    if (held[0]) consentSaid();
  };

  function askEach() {
    if (!tools.tcf && window.__tcfapi) {
      tools.tcf = { ad_storage: "" };
      attempt(() => window.__tcfapi("addEventListener", 2, readTcf));
    }
    if (!tools.gpp && window.__gpp) {
      tools.gpp = {};
      attempt(() => window.__gpp("addEventListener", readGpp));
    }
    if (!tools.shopify && window.Shopify && window.Shopify.customerPrivacy) {
      tools.shopify = {};
      attempt(readShopify);
      document.addEventListener("visitorConsentCollected", () => attempt(readShopify));
    }
    const layer = window.dataLayer;
    if (Array.isArray(layer) && layer !== layerRead) {
      layerRead = layer;
      layer.forEach(readConsentMode);
      const push = layer.push;
      layer.push = (...entries) => {
        attempt(() => entries.forEach(readConsentMode));
        return push.apply(layer, entries);
      };
    }
  }

  // --- ad clicks and campaigns -----------------------------------------------------------------

  const TOUCH_KEYS = (
    "gclid ttclid msclkid twclid li_fat_id epik ScCid rdt_cid " +
    "utm_source utm_medium utm_campaign utm_content utm_term utm_id"
  ).split(" ");

  /** The last landing from an ad or a campaign is kept for as long as this browser keeps it. */
  keepTouch = () => {
    if (TOUCH_KEYS.some((key) => landing.get(key))) {
      const touch = { ts: Date.now() };
      TOUCH_KEYS.forEach((key) => {
        if (landing.get(key)) touch[key] = landing.get(key);
        landing.delete(key);
      });
      remember("_dbt", touch);
    }
  };

  /** The apps of Facebook and Instagram know a click that the page's address does not bear. */
  if (!clickId && /FBA[NV]|Instagram/.test(navigator.userAgent)) {
    const take = (text) => {
      if (!text || clickId) return;
      clickId = text;
      if (pixels.size && !isHeld()) keepIds();
    };
    attempt(() => {
      if (/Android/.test(navigator.userAgent)) {
        const request = new XMLHttpRequest();
        request.onload = () => take(request.responseText);
        request.open("GET", "properties://browser/clickID");
        request.send();
      } else {
        const app = window.webkit.messageHandlers.browserProperties;
        app.postMessage("clickID").then(take, () => {});
      }
    });
  }

  // --- advanced matching from form fields ----------------------------------------------------

  const fields = attempt(() => JSON.parse(storage("sessionStorage").getItem("_dbf")), null) || {};

  function readField(field) {
    if (!/^(text|email|tel|date|select-one)$/.test(field.type) || !field.value) return;
    const { autocomplete, name, id, type } = field;
    const words = [autocomplete, name, id, type].join(" ").toLowerCase();
    // Numbers of cards and codes are nobody's telephone.
    if (/card|\bcc|c[sv][cv]|otp|one-time|pin\b/.test(words)) return;
    // Of `customer[email]` and `billing.email` the last part.
    const key = words.split(" ").map((each) => keyOf(each.replace(/^.*[[.]|\W+$/g, "")))
      .find((each) => RULES[each]);
    const digest = key && attempt(() => hash(key, field.value.trim().toLowerCase()), "");
    if (!digest) return;
    fields[key] = digest;
    if (!isHeld()) {
      attempt(() => storage("sessionStorage").setItem("_dbf", JSON.stringify(fields)));
    }
  }

  fieldsOf = (pixel) => (isOn(pixel, "AutomaticMatching") ? fields : {});
  ["change", "submit"].forEach((kind) => document.addEventListener(kind, (happened) => {
    if (!withFeature("AutomaticMatching").length) return;
    const from = happened.target;
    attempt(() => Array.from(from.elements || [from]).forEach(readField));
  }, true));

  // --- clicks on buttons ---------------------------------------------------------------------

  const BUTTONS =
    "button,[role=button],[type=submit],[type=button],a[class*=btn],a[class*=button]";

  document.addEventListener("click", (happened) => attempt(() => {
    const button = happened.target.closest(BUTTONS);
    const targets = button ? withFeature("InferredEvents") : [];
    if (!targets.length) return;
    const { id, name, type, tagName, form, href } = button;
    const text = (button.innerText || button.value || "").trim().slice(0, 100);
    track(targets, "SubscribedButtonClick", {
      buttonText: text,
      buttonFeatures: { id, name, type, tag: tagName.toLowerCase(), destination: href },
      formFeatures: [...((form && form.elements) || [])].slice(0, 20).map((field) => (
        { id: field.id, name: field.name, tag: field.tagName.toLowerCase(), inputType: field.type }
      )),
      pageFeatures: { title: document.title },
    }, {}, { category: "automatic" });
  }), true);

  // --- product data of the page --------------------------------------------------------------

  function findAll(selector) {
    return Array.from(document.querySelectorAll(selector));
  }

  /** schema.org products in JSON-LD, wherever they stand in it. */
  function linkedProducts(value) {
    if (Array.isArray(value)) return [].concat(...value.map(linkedProducts));
    if (!isPlain(value)) return [];
    if (![].concat(value["@type"]).includes("Product")) return linkedProducts(value["@graph"]);
    const offer = [].concat(value.offers || {})[0];
    const price = offer.price || offer.lowPrice;
    return [[value.sku || value.productID || value.mpn, price, offer.priceCurrency]];
  }

  /** Identifier, price and currency of the one product of this page, if it has just one. */
  function product() {
    const found = [].concat(...findAll('script[type="application/ld+json"]').map((block) =>
      attempt(() => linkedProducts(JSON.parse(block.textContent)), [])));
    findAll('[itemtype$="schema.org/Product"]').forEach((item) => {
      found.push(["sku", "price", "priceCurrency"].map((name) => {
        const part = item.querySelector("[itemprop=" + name + "]");
        return part && (part.content || part.textContent.trim());
      }));
    });
    const meta = (...names) => names.map((name) =>
      (document.querySelector('meta[property="' + name + '"]') || {}).content).find(Boolean);
    const graph = [
      meta("product:retailer_item_id"),
      meta("product:price:amount", "og:price:amount"),
      meta("product:price:currency", "og:price:currency"),
    ];
    if (!found.length && (graph[0] || graph[1])) found.push(graph);
    const ids = found.map((each) => each[0]);
    return found.length && ids.every((id) => id === ids[0]) ? found[0] : [];
  }

  complete = (event) => {
    const { name, params, targets } = event;
    if (!/^(ViewContent|AddToCart)$/.test(name)) return;
    if (!targets.some((pixel) => isOn(pixel, "Microdata"))) return;
    const [id, price, currency] = product();
    const given = textOf(params.content_ids || params.contents) || "";
    // The page shows one product, and the event may be of another.
    if (given && !given.includes(id)) return;
    const value = Number(price);
    if (id && !params.content_ids && !params.contents) {
      params.content_ids = [String(id)];
      params.content_type = params.content_type || "product";
    }
    if (value >= 0 && price && currency && params.value === undefined) params.value = value;
    if (params.value !== undefined && currency && !params.currency) params.currency = currency;
  };

  if (debugging) {
    const panel = document.createElement("script");
    panel.dataset.name = NAME;
    panel.src = endpoint + "-debug.js";
    panel.nonce = (script && script.nonce) || "";
    document.head.append(panel);
  }
