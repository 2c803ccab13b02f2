  // --- the buyer -----------------------------------------------------------------------------

  // Country code of phone numbers as dialled at home. Behind the slash what is dialled before the
  // area code, where that is not a zero; Italians keep theirs.
  const PHONE_CODES = (
    "AE971 AR54 AT43 AU61 BE32 BG359 BR55 CA1/1 CH41 CL56 CO57 CY357 CZ420 DE49 DK45 EE372 EG20 " +
    "ES34 FI358 FR33 GB44 GR30 HK852 HR385 HU36/06 ID62 IE353 IL972 IN91 IS354 IT39/- JP81 KE254 " +
    "KR82 LT370/8 LU352 LV371 MA212 MT356 MX52 MY60 NG234 NL31 NO47 NZ64 PE51 PH63 PK92 PL48 PT351 " +
    "RO40 RS381 RU7/8 SA966 SE46 SG65 SI386 SK421 TH66 TR90 TW886 UA380 US1/1 VN84 ZA27"
  ).split(" ");

  /** Letters and digits of any script, in lower case; accents stay, emoji do not. */
  function letters(text) {
    const lower = String(text).toLowerCase();
    const kept = lower.replace(/[^\p{L}\p{N}\p{Mn}\p{Mc}]|[\ufe00-\ufe0f]/gu, "");
    return kept.replace(/^[\p{Mn}\p{Mc}]+/u, "").normalize("NFC");
  }

  function email(text) {
    const address = String(text).trim().toLowerCase();
    const form = /^[^\s@,;:<>()[\]\\"]+@([^\s@,;:<>()[\]\\".]+\.)+[^\s@.]{2,}$/;
    return form.test(address) ? address : "";
  }

  function phone(text, country) {
    const given = String(text).trim();
    const digits = given.replace(/\(0\)/, "").replace(/\D/g, "");
    const row = PHONE_CODES.find((entry) => country && entry.startsWith(country.toUpperCase()));
    let number = digits;
    if (!/^(\+|00)/.test(given) && row) {
      const [code, dialled = "0"] = row.slice(2).split("/");
      if (digits.startsWith(dialled) && (dialled !== "1" || digits.length === 11)) {
        number = code + digits.slice(dialled.length);
      } else if (!digits.startsWith(code) || digits.length < 10 || code === "1") {
        number = code + digits;
      }
    }
    number = number.replace(/^0+/, "");
    return number.length >= 7 && number.length <= 15 ? number : "";
  }

  function zipCode(text) {
    const code = letters(text);
    if (/^\d{9}$/.test(code)) return code.slice(0, 5);
    return code.length < 2 ? "" : code;
  }

  /** What the checkout says of the buyer, otherwise the customer who has signed in, in plain. */
  function buyer(event) {
    const checkout = event.data?.checkout || {};
    const customer = init.data?.customer || {};
    const billing = checkout.billingAddress || {};
    const shipping = checkout.shippingAddress || {};
    // One address, never half of each.
    const home = billing.city || billing.zip ? billing : shipping;
    const country = first(home.countryCode, checkout.localization?.country?.isoCode);
    const byCode = country === "US" || country === "CA";
    const dialled = [checkout.phone, checkout.smsMarketingPhone, home.phone, shipping.phone];
    return {
      em: email(first(checkout.email, customer.email)),
      ph: phone(first(...dialled, customer.phone), country),
      fn: letters(first(home.firstName, shipping.firstName, customer.firstName)),
      ln: letters(first(home.lastName, shipping.lastName, customer.lastName)),
      ct: letters(first(home.city)),
      st: letters(first(byCode ? home.provinceCode : home.province)),
      zp: zipCode(first(home.zip)),
      country: home.countryCode ? country.toLowerCase() : "",
      external_id: bareId(first(checkout.order?.customer?.id, customer.id)).toLowerCase(),
    };
  }

  async function sha256(text) {
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    const hex = (byte) => byte.toString(16).padStart(2, "0");
    return Array.from(new Uint8Array(digest), hex).join("");
  }

  async function hashed(person) {
    const result = {};
    // Without the hash function, as on a page without TLS, nothing is said of the buyer.
    if (!crypto.subtle) return result;
    for (const key of Object.keys(person)) {
      if (person[key]) result[key] = await sha256(person[key]);
    }
    return result;
  }
