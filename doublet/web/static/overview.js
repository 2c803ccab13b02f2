// Keeps the overview fresh: fetches the page again every two seconds and puts in what changed.
// Only the figures are exchanged, so that focus, scroll position and half-filled forms stay.
import { drawChart } from "./chart.js";

const INTERVAL_MS = 2000;
const PATIENCE = 5;

const report = document.getElementById("report");
const freshness = document.getElementById("freshness");
const age = document.getElementById("age");
const announcement = document.getElementById("announcement");

let chart = null;
let seen = report.innerHTML;
let updatedAt = Date.now();
let problem = "";
let timer = 0;
let isRefreshing = false;

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

class SignedOut extends Error {}

function exchange(fresh) {
  for (const part of report.querySelectorAll("[data-live]")) {
    const newer = fresh.querySelector(`#${part.id}`);
    if (newer && newer.innerHTML !== part.innerHTML) {
      part.replaceChildren(...document.importNode(newer, true).childNodes);
    }
  }
}

async function startChart() {
  const figure = document.getElementById("chart");
  chart = null;
  if (!figure) return;
  const picture = figure.querySelector("noscript").textContent;
  try {
    chart = await drawChart(figure);
  } catch (error) {
    console.error(error);
    const page = new DOMParser().parseFromString(picture, "text/html");
    figure.replaceChildren(...document.adoptNode(page.body).childNodes);
  }
}

async function turn() {
  clearTimeout(timer);
  if (document.hidden || isRefreshing) return;
  isRefreshing = true;
  const startedAt = Date.now();
  try {
    await refresh();
    updatedAt = Date.now();
    say("");
  } catch (error) {
    if (error instanceof SignedOut) {
      say("You are signed out. Load the page again to sign in.");
      return;
    }
    say("The server cannot be reached. Trying again.");
  } finally {
    isRefreshing = false;
  }
  // A report that takes long is asked for less often.
  timer = setTimeout(turn, Math.max(INTERVAL_MS, PATIENCE * (Date.now() - startedAt)));
}

function say(text) {
  if (text !== problem) announcement.textContent = text || "Connected again.";
  problem = text;
  tell();
}

function tell() {
  const seconds = Math.round((Date.now() - updatedAt) / 1000);
  const span = seconds < 60 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  const when = seconds < 4 ? "just now" : `${span} ago`;
  freshness.classList.toggle("stale", problem !== "");
  freshness.classList.toggle("live", problem === "");
  age.textContent = problem ? `${problem} Updated ${when}.` : `Updated ${when}`;
}

document.addEventListener("visibilitychange", turn);
setInterval(tell, 1000);
tell();
await startChart();
timer = setTimeout(turn, INTERVAL_MS);
