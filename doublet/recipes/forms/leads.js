/*
 * A Lead for each form that was taken. A form is a lead's when it asks for an e-mail address or a
 * phone number and no password; data-doublet="lead" or data-doublet="off" on the form says
 * otherwise, data-doublet-value="25" what its lead is worth.
 */
const CURRENCY = "@CURRENCY@";
const PENDING = "doublet_lead";
const PENDING_MS_MAX = 1800000;
const waiting = new WeakMap();

function cookie(name) {
  const found = document.cookie.split("; ").find((pair) => pair.startsWith(name + "="));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
}

function newId() {
  if (window.crypto && crypto.randomUUID) return crypto.randomUUID();
  return Date.now() + "." + String(Math.random()).slice(2);
}

function isLead(form) {
  if (form.dataset.doublet) return form.dataset.doublet === "lead";
  const asks = 'input[type="email"], input[type="tel"], input[name*="mail" i]';
  return !form.querySelector('input[type="password"]') && !!form.querySelector(asks);
}

/** A hidden field, by which the server's copy is known as the same Lead. */
function put(form, name, value) {
  let field = form.querySelector('input[name="' + name + '"]');
  if (!field) {
    field = document.createElement("input");
    field.type = "hidden";
    field.name = name;
    form.appendChild(field);
  }
  field.value = value;
}

function keep(lead) {
  try {
    if (lead) sessionStorage.setItem(PENDING, JSON.stringify(lead));
    else sessionStorage.removeItem(PENDING);
  } catch (error) { /* Without storage only forms that stay on their page are known. */ }
}

function kept() {
  try {
    const lead = JSON.parse(sessionStorage.getItem(PENDING));
    return lead && Date.now() - lead.at < PENDING_MS_MAX ? lead : null;
  } catch (error) {
    return null;
  }
}

function report(lead) {
  keep(null);
  if (lead) tell(lead);
}

// In the capture phase: before the scripts that send a form themselves read it.
window.addEventListener("submit", (event) => {
  const form = event.target;
  if (!isLead(form)) return;
  const params = {};
  const name = ["data-name", "name", "id"].map((key) => form.getAttribute(key)).find(Boolean);
  if (name) params.content_name = name;
  const value = Number(form.dataset.doubletValue);
  if (value > 0) Object.assign(params, { value, currency: CURRENCY });
  const lead = { id: newId(), at: Date.now(), params };
  put(form, fieldName("doublet_event_id"), lead.id);
  put(form, fieldName("fbp"), cookie("_fbp"));
  put(form, fieldName("fbc"), cookie("_fbc"));
  waiting.set(form, lead);
  keep(lead);
}, true);

/** For scripts that send a form themselves: call it once the form was taken. */
window.doubletLead = (form) => {
  report(waiting.get(form));
  waiting.delete(form);
};

document.addEventListener("DOMContentLoaded", () => {
  if (isTaken() || document.querySelector("[data-doublet-thanks]")) report(kept());
  // The form has come again: it was not taken.
  else if (Array.from(document.forms).some(isLead)) keep(null);
});
