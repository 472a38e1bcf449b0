// The list of actors: searched, filtered and sorted by the server, loaded a page at a time as it comes into view.

import { get } from "./api.js";
import { attribute, byId, clone, debounced, make, number, plural, say, statusOf, time } from "./format.js";
import { Jobs } from "./jobs.js";
import { addKeys, showHelp } from "./keys.js";
import { Live } from "./live.js";
import { fail } from "./notices.js";
import { showProblems } from "./problems.js";
import { Undo } from "./undo.js";
import { unloaded, Windowed } from "./windowed.js";

const PER_PAGE = 100;
const PARTS = ["synced", "local_only", "s3_only", "out_of_sync"];
const TOLD = [...PARTS.slice(1), "missing"];
const AGAIN_MS = 400;

const state = { q: "", status: [], sort: "name" };
let pages = new Map(); // number → its rows, null while it is asked for
let total = 0;
let asked = 0; // counts the questions: an answer to an earlier one is dropped

const list = byId("actors");
const windowed = new Windowed(list, { make: () => clone("t-actor"), fill, onRange: (from, to) => need(from, to) });
const live = new Live();
const undo = new Undo();
const jobs = new Jobs(live, undo);
undo.by((request) => jobs.run(request));

function fromUrl() {
  const query = new URLSearchParams(location.search);
  state.q = query.get("q") ?? "";
  state.status = query.getAll("status");
  state.sort = query.get("sort") ?? "name";
  byId("search").value = state.q;
  byId("sort").value = state.sort;
  for (const button of document.querySelectorAll("[data-filter]")) attribute(button, "aria-pressed", String(state.status.includes(button.dataset.filter)));
}

function question() {
  const query = new URLSearchParams();
  if (state.q) query.set("q", state.q);
  for (const status of state.status) query.append("status", status);
  if (state.sort !== "name") query.set("sort", state.sort);
  return query;
}

function changed(push) {
  const query = question().toString();
  const url = query ? `?${query}` : location.pathname;
  if (push) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
  fromUrl();
  scrollTo(0, 0);
  load();
}

/** Asks for the pages in view anew, and drops the others. */
async function load() {
  asked += 1;
  const first = Math.floor(windowed.from / PER_PAGE) + 1;
  const last = Math.max(first, Math.ceil(windowed.to / PER_PAGE));
  const wanted = [];
  for (let page = first; page <= last; page += 1) wanted.push(page);
  const mine = asked;
  try {
    const answers = await Promise.all(wanted.map((page) => ask(page)));
    if (mine !== asked) return;
    pages = new Map(answers.map((answer) => [answer.page, answer.actors]));
    show(answers[0]);
  } catch (error) {
    if (mine === asked) trouble(error);
  }
}

function ask(page) {
  const query = question();
  query.set("page", page);
  query.set("per_page", PER_PAGE);
  return get(`/api/actors?${query}`);
}

async function need(from, to) {
  for (let page = Math.floor(from / PER_PAGE) + 1; (page - 1) * PER_PAGE < to; page += 1) {
    if (pages.has(page)) continue;
    pages.set(page, null);
    const mine = asked;
    ask(page).then((answer) => {
      if (mine !== asked) return;
      pages.set(page, answer.actors);
      windowed.show(rows());
    }, (error) => {
      pages.delete(page);
      if (mine === asked) fail(error);
    });
  }
}

const at = (index) => pages.get(Math.floor(index / PER_PAGE) + 1)?.[index % PER_PAGE];

const rows = () => ({ length: total, at, key: (index) => at(index)?.actor_name ?? unloaded(index), has: () => total > 0 });

function show(answer) {
  total = answer.total;
  attribute(list, "aria-busy", null);
  windowed.show(rows());
  const { totals, indexing } = answer;
  for (const tile of document.querySelectorAll("[data-count], [data-filter]")) {
    const count = totals[tile.dataset.count ?? tile.dataset.filter];
    say(tile.querySelector("b"), number(count));
    tile.classList.toggle("zero", !count);
  }
  const shown = total === totals.actors ? plural(total, "actor") : `${number(total)} of ${plural(totals.actors, "actor")}`;
  say(byId("sum"), indexing ? `Reading the manifests: ${number(indexing.done)} of ${number(indexing.total)}` : shown);
  showProblems(byId("notes"), answer.problems, "not in the list");
  empty(totals.actors);
  if (indexing) setTimeout(load, 1000);
}

function empty(actors) {
  const place = byId("empty");
  place.hidden = total > 0;
  if (total) return;
  const nothing = actors === 0;
  const button = nothing ? null : make("button", { type: "button" }, "Show all actors");
  button?.addEventListener("click", clear);
  place.replaceChildren(
    make("h2", {}, nothing ? "No actors yet" : "No actor matches"),
    make("p", {}, nothing ? "Put images into data/actors/NAME/training_data, or point callsheet at a bucket, and sync." : "Search for less, or take a filter away."),
    ...(button ? [button] : []),
  );
}

function trouble(error) {
  attribute(list, "aria-busy", null);
  total = 0;
  windowed.show(rows());
  const again = make("button", { type: "button" }, "Try again");
  again.addEventListener("click", load);
  byId("empty").hidden = false;
  byId("empty").replaceChildren(make("h2", {}, error.message), make("p", {}, error.hint), again);
}

function fill(row, actor) {
  row.classList.toggle("waiting", !actor);
  if (!actor) return;
  attribute(row, "href", `/actors/${encodeURIComponent(actor.actor_name)}`);
  attribute(row.querySelector("img"), "src", actor.base_image_url && `${actor.base_image_url}&width=128`);
  say(row.querySelector(".name"), actor.actor_name);
  say(row.querySelector(".total b"), number(actor.total_count));
  say(row.querySelector(".total i"), ` image${actor.total_count === 1 ? "" : "s"}`);
  const bad = actor.problem_count;
  say(row.querySelector(".trouble"), bad ? `! ${plural(bad, "problem")}` : "");
  attribute(row, "data-trouble", bad || null);
  time(row.querySelector(".when"), actor.manifest_updated);
  const counts = TOLD.filter((status) => actor[`${status}_count`]).map((status) =>
    make("span", { "data-status": status, title: statusOf(status).meaning }, make("i", {}, statusOf(status).sign), `${number(actor[`${status}_count`])} ${statusOf(status).word}`));
  row.querySelector(".counts").replaceChildren(...(counts.length || !actor.total_count ? counts : ["All synced"]));
  const stack = row.querySelector(".stack");
  const parts = PARTS.map((status) => [status, actor[`${status}_count`]]).filter(([, count]) => count);
  attribute(stack, "aria-label", parts.map(([status, count]) => `${number(count)} ${statusOf(status).word}`).join(", ") || "No images");
  stack.replaceChildren(...parts.map(([status, count]) => {
    const part = make("span", { "data-status": status });
    part.style.setProperty("--part", count);
    return part;
  }));
}

function clear() {
  Object.assign(state, { q: "", status: [] });
  changed(true);
}

function move(step) {
  const current = document.activeElement.closest?.(".actor");
  const nodes = [...list.children].filter((node) => !node.classList.contains("kept"));
  const index = current && !current.classList.contains("kept") ? nodes.indexOf(current) + step : nodes.findIndex((node) => node.getBoundingClientRect().top > 100);
  const place = windowed.from + Math.max(0, index);
  if (place >= total) return;
  windowed.reveal(place)?.focus({ preventScroll: true });
}

function edge(index) {
  if (!total) return;
  windowed.reveal(index)?.focus({ preventScroll: true });
}

byId("search").addEventListener("input", debounced(() => {
  state.q = byId("search").value.trim();
  changed(false);
}, 150));
byId("sort").addEventListener("change", () => {
  state.sort = byId("sort").value;
  changed(true);
});
byId("tiles").addEventListener("click", ({ target }) => {
  const filter = target.closest("[data-filter]")?.dataset.filter;
  if (!filter) return;
  state.status = state.status.includes(filter) ? state.status.filter((status) => status !== filter) : [...state.status, filter];
  changed(true);
});
document.querySelector(".head .verbs").addEventListener("click", ({ target }) => {
  const verb = target.closest("[data-verb]")?.dataset.verb;
  if (verb) jobs.propose({ verb });
});
list.addEventListener("error", ({ target }) => target.classList.add("failed"), true);
list.addEventListener("load", ({ target }) => target.classList.remove("failed"), true);
addEventListener("popstate", () => {
  fromUrl();
  load();
});

const again = debounced(load, AGAIN_MS);
live.addEventListener("actor", again);
live.addEventListener("reload", again);
jobs.addEventListener("ended", again);
setInterval(() => windowed.refresh(), 60000);

addKeys("Actors", [
  { keys: ["ArrowDown", "j"], does: "Next actor", run: () => move(1) },
  { keys: ["ArrowUp", "k"], does: "Previous actor", run: () => move(-1) },
  { keys: ["Home"], does: "First actor", run: () => edge(0) },
  { keys: ["End"], does: "Last actor", run: () => edge(total - 1) },
  { keys: ["Enter"], does: "Open the actor", run: () => false },
  { keys: ["/"], does: "Search", run: () => byId("search").select() },
  { keys: ["Escape"], typing: true, does: "Leave the search, then show all", run: () => {
    if (document.activeElement === byId("search")) byId("search").blur();
    else if (state.q || state.status.length) clear();
    else return false;
    return true;
  } },
  { keys: ["Mod+z"], does: "Undo the last job of this page", run: () => undo.take() },
  { keys: ["?"], does: "These keys", run: showHelp },
]);

fromUrl();
load();
jobs.join().catch(fail);
