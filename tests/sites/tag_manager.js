// What Google Tag Manager does with a container of custom HTML: the data layer's events go through
// its triggers, and {{names}} in a tag become the variables' values. A tag that needs consent waits
// while a type of it is denied; one of which nothing was said counts as granted.
(function (container) {
  const { tag: tags, trigger: triggers, variable: variables } = container.containerVersion;
  const ALL_PAGES = "2147479553";
  const once = new Set();
  const consent = {};
  let model = {};
  let event = "";

  function merge(into, values) {
    Object.entries(values).forEach(([key, value]) => {
      const isPlain = (each) => !!each && typeof each === "object" && !Array.isArray(each);
      if (isPlain(value) && isPlain(into[key])) merge(into[key], value);
      else into[key] = isPlain(value) ? merge({}, value) : value;
    });
    return into;
  }

  function valueOf(name) {
    if (name === "Event") return event;
    const variable = variables.find((each) => each.name === name);
    const path = variable.parameter.find((each) => each.key === "name").value;
    return path.split(".").reduce((value, key) => value?.[key], model);
  }
  window.tagManager = { valueOf };

  function isDenied({ consentStatus, consentType }) {
    if (consentStatus !== "NEEDED") return false;
    return consentType.list.some(({ value }) => (consent[value] || "granted") !== "granted");
  }

  function fire(tag) {
    if (tag.tagFiringOption === "ONCE_PER_LOAD" && once.has(tag.name)) return;
    if (isDenied(tag.consentSettings)) return;
    (tag.setupTag || []).forEach((setup) => {
      fire(tags.find((each) => each.name === setup.tagName));
    });
    once.add(tag.name);
    const html = tag.parameter.find((each) => each.key === "html").value;
    const filled = html.replace(/\{\{([^}]+)\}\}/g, (all, name) => {
      return "window.tagManager.valueOf(" + JSON.stringify(name) + ")";
    });
    const holder = document.createRange().createContextualFragment(filled);
    document.body.appendChild(holder);
  }

  function isMet(id) {
    if (id === ALL_PAGES) return event === "gtm.js";
    const trigger = triggers.find((each) => each.triggerId === id);
    return trigger.customEventFilter.every((filter) => {
      const [, pattern] = filter.parameter;
      return new RegExp(pattern.value).test(event);
    });
  }

  let count = 0;
  function take(message) {
    if (message[0] === "consent") return Object.assign(consent, message[2]);
    // What gtag() has pushed, its arguments.
    if (message[0] === "event") message = { event: message[1], eventModel: message[2] };
    message["gtm.uniqueEventId"] = ++count;
    merge(model, message);
    merge(model, { gtm: { uniqueEventId: count } });
    event = message.event || "";
    if (event) tags.filter((tag) => tag.firingTriggerId.some(isMet)).forEach(fire);
  }

  const layer = (window.dataLayer = window.dataLayer || []);
  layer.slice().forEach(take);
  layer.push = (...messages) => {
    Array.prototype.push.apply(layer, messages);
    messages.forEach(take);
  };
  take({ event: "gtm.js" });
})(CONTAINER);
