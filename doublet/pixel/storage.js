  // --- cookies and storage -------------------------------------------------------------------

  function readCookie(name) {
    const start = name + "=";
    return attempt(() => {
      const found = document.cookie.split("; ").find((pair) => pair.startsWith(start));
      return found ? decodeURIComponent(found.slice(start.length)) : "";
    }, "");
  }

  function setCookie(name, value, domain) {
    attempt(() => {
      document.cookie =
        name + "=" + encodeURIComponent(value) + "; max-age=" + COOKIE_S +
        "; path=/; samesite=lax" + (domain ? "; domain=." + domain : "");
    });
    return readCookie(name) === value;
  }

  /**
   * Writes to the widest domain that the browser allows, trying `com`, then `example.com`, …
   * The number of dots in that domain is part of the value.
   */
  function writeCookie(name, parts) {
    const host = location.hostname;
    const labels = /^[\d.]+$|:/.test(host) ? [] : host.split(".");
    const withIndex = (index) => ["fb", index].concat(parts.slice(2)).join(".");
    for (let index = 0; index < labels.length; index++) {
      const value = withIndex(index);
      if (setCookie(name, value, labels.slice(-1 - index).join("."))) return value;
    }
    // A bare host name or an address gets a cookie of its own.
    return setCookie(name, withIndex(1), "") ? withIndex(1) : "";
  }

  /** The 4 (or 5) parts of a stored value, null for anything else. */
  function parseId(text) {
    return /^fb(\.\d+){2}\.[^.]+(\.[^.]+)?$/.test(text) ? text.split(".") : null;
  }

  function randomDigits() {
    return Math.random().toFixed(17).slice(2);
  }

  const memory = new Map();

  function storage(kind) {
    return window[kind || "localStorage"];
  }

  function stored(name) {
    return attempt(() => storage().getItem(name));
  }

  /** What this browser keeps under a name; what it cannot keep lasts as long as the page. */
  function recall(name) {
    return attempt(() => JSON.parse(stored(name) || memory.get(name)));
  }

  function remember(name, value) {
    const text = JSON.stringify(value);
    memory.set(name, text);
    attempt(() => storage().setItem(name, text));
  }

  function forget(name) {
    memory.delete(name);
    attempt(() => storage().removeItem(name));
  }

