// Values as people read them, and the small helpers that put them into the page. Data is only ever set as text.

export const WORDS = JSON.parse(document.getElementById("words").textContent);

const UNITS = ["B", "KB", "MB", "GB", "TB"];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const STEPS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];

/** 328059 → "320 KB"; units of 1024. */
export function bytes(count) {
  if (count === null || count === undefined) return "";
  let unit = 0;
  for (; count >= 1024 && unit < UNITS.length - 1; unit += 1) count /= 1024;
  return `${count >= 100 || unit === 0 ? Math.round(count) : count.toFixed(1)} ${UNITS[unit]}`;
}

export const number = (count) => count.toLocaleString("en");

/** "1 image", "5 images". */
export const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

/** "3 hours ago". */
export function ago(iso) {
  if (!iso) return "never";
  const seconds = (Date.parse(iso) - Date.now()) / 1000;
  for (const [unit, length] of STEPS) {
    if (Math.abs(seconds) >= length) return relative.format(Math.trunc(seconds / length), unit);
  }
  return "just now";
}

/** The moment in the reader's own zone. */
export const exactly = (iso) => (iso ? moment.format(Date.parse(iso)) : "");

export const statusOf = (status) => WORDS.statuses[status] ?? WORDS.statuses.unknown;

export const byId = (id) => document.getElementById(id);

/** The dialog that lies above all else, or null. Those that can lie above others come later in the document. */
export const topDialog = () => [...document.querySelectorAll("dialog:modal")].at(-1) ?? null;

/** The first element of a template, anew. */
export const clone = (id) => byId(id).content.firstElementChild.cloneNode(true);

/** Sets an element's text, and touches nothing if that is what it says already. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function attribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** An element with text or children; null ones are left out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) attribute(element, name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Sign and word of a status, as in the macro `sign`. */
export function signed(element, status) {
  const words = statusOf(status);
  if (!element.firstElementChild) element.append(make("span", { class: "sign", "aria-hidden": "true" }), make("span", { class: "word" }));
  say(element.firstElementChild, words.sign);
  say(element.lastElementChild, words.word);
  attribute(element, "title", words.meaning);
}

export function time(element, iso) {
  say(element, ago(iso));
  attribute(element, "datetime", iso);
  attribute(element, "title", exactly(iso));
}

/** Calls `act` once things have been quiet for `delay` milliseconds. */
export function debounced(act, delay) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(act, delay);
  };
}
