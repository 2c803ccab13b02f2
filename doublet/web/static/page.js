// Keeps a page fresh: when the tables are newer it is fetched again, and what changed is put in.
// Only the parts that are marked are exchanged, so that focus, scroll position and half-filled forms
// stay; a part in which somebody is at work waits.
import { listen } from "./live.js";

const PATIENCE = 5;

const report = document.getElementById("report");
const freshness = document.getElementById("freshness");
const age = document.getElementById("age");
const announcement = document.getElementById("announcement");

let chart = null;
let seen = report.innerHTML;
let updatedAt = Date.now();
let problem = "";
let isRefreshing = false;
let isStale = false;
let restsUntil = 0;
let timer = 0;

class SignedOut extends Error {}

async function refresh() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (answer.status === 401) throw new SignedOut();
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("report");
  if (fresh.innerHTML === seen) return;
  seen = fresh.innerHTML;
  if (fresh.dataset.state === report.dataset.state) {
    exchange(fresh);
    await chart?.update();
  } else {
    chart?.close();
    report.replaceChildren(...document.adoptNode(fresh).childNodes);
    report.dataset.state = fresh.dataset.state;
    await startChart();
  }
}

function exchange(fresh) {
  for (const part of report.querySelectorAll("[data-live]")) {
    const newer = fresh.querySelector(`#${part.id}`);
    if (!newer || newer.innerHTML === part.innerHTML) continue;
    if (part.querySelector(":focus, details[open]")) {
      seen = "";
      continue;
    }
    part.replaceChildren(...document.importNode(newer, true).childNodes);
  }
}

async function startChart() {
  const figure = document.getElementById("chart");
  chart = null;
  if (!figure) return;
  const picture = figure.querySelector("noscript").textContent;
  try {
    const { drawChart } = await import("./chart.js");
    chart = await drawChart(figure);
  } catch (error) {
    console.error(error);
    const page = new DOMParser().parseFromString(picture, "text/html");
    figure.replaceChildren(...document.adoptNode(page.body).childNodes);
  }
}

async function turn() {
  isStale = true;
  clearTimeout(timer);
  if (document.hidden || isRefreshing) return;
  const rest = restsUntil - Date.now();
  if (rest > 0) {
    timer = setTimeout(turn, rest);
    return;
  }
  isRefreshing = true;
  isStale = false;
  const startedAt = Date.now();
  try {
    await refresh();
    updatedAt = Date.now();
    say("");
  } catch (error) {
    say(
      error instanceof SignedOut
        ? "You are signed out. Load the page again to sign in."
        : "The server cannot be reached. Trying again.",
    );
  } finally {
    isRefreshing = false;
  }
  // A page that takes long is asked for less often.
  restsUntil = Date.now() + PATIENCE * (Date.now() - startedAt);
  if (isStale) turn();
}

function say(text) {
  if (text !== problem) announcement.textContent = text || "Connected again.";
  problem = text;
  tell();
}

function hear(isThere) {
  if (isThere) {
    updatedAt = Date.now();
    if (problem) turn();
    else tell();
  } else if (!problem) {
    say("The server cannot be reached. Trying again.");
  }
}

function tell() {
  const seconds = Math.round((Date.now() - updatedAt) / 1000);
  const span = seconds < 60 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  const when = seconds < 12 ? "just now" : `${span} ago`;
  freshness.classList.toggle("stale", problem !== "");
  freshness.classList.toggle("live", problem === "");
  age.textContent = problem ? `${problem} Updated ${when}.` : `Updated ${when}`;
}

document.addEventListener("visibilitychange", () => isStale && turn());
setInterval(tell, 1000);
tell();
await startChart();
listen(freshness.dataset.stream, turn, hear);
