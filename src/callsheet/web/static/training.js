// The Training Data tab: puts the model, the grid, the viewer and the jobs together, and keeps all that is shown in the URL.

import { attribute, byId, bytes, debounced, icon, make, number, plural, say, time } from "./format.js";
import { Grid, plainCards } from "./grid.js";
import { Jobs } from "./jobs.js";
import { addKeys, showHelp } from "./keys.js";
import { Live } from "./live.js";
import { Marks } from "./marks.js";
import { Model } from "./model.js";
import { fail, tell } from "./notices.js";
import { showProblems } from "./problems.js";
import { Selection } from "./selection.js";
import { Triage } from "./triage.js";
import { Undo } from "./undo.js";
import { Viewer } from "./viewer.js";

const LARGEST = 5;
const MIDDLE = 2;
const AGAIN_MS = 60;
const DIMENSIONS_AFTER_MS = 1500;

const name = byId("actor").dataset.name;
const images = byId("images");
const model = new Model(name);
const selection = new Selection();
const live = new Live();
const undo = new Undo();
const jobs = new Jobs(live, undo);
const marks = new Marks(model, undo);
const grid = new Grid(images, model, selection, { onOpen: (filename) => open(filename), onGood: (filename) => good([filename]) });
const orphaned = plainCards(byId("orphaned").querySelector(".cards"), "orphaned");
const missing = plainCards(byId("missing").querySelector(".cards"), "missing");
undo.by(async (request) => {
  const job = await jobs.run(request);
  await model.load();
  return job;
});

// The URL

function query(filter, image) {
  const parts = new URLSearchParams();
  for (const status of filter.status) parts.append("status", status);
  if (filter.q) parts.set("q", filter.q);
  if (filter.good) parts.set("good", "1");
  if (image) parts.set("image", image);
  return parts.size ? `?${parts}` : location.pathname;
}

function fromUrl() {
  const parts = new URLSearchParams(location.search);
  const filter = { status: parts.getAll("status"), q: parts.get("q") ?? "", good: parts.has("good") };
  if (document.activeElement !== byId("search")) byId("search").value = filter.q;
  model.setFilter(filter);
  return parts.get("image");
}

function filterBy(change, push = true) {
  const filter = { ...model.filter, ...change };
  history[push ? "pushState" : "replaceState"](null, "", query(filter));
  model.setFilter(filter);
}

const clearFilter = () => {
  byId("search").value = "";
  filterBy({ status: [], q: "", good: false });
};

// The viewer and the triage

const viewer = new Viewer(model, {
  good: (filename) => good([filename]),
  verb: (verb, filename) => run(verb, [filename]),
  settle: (prefer, filename) => jobs.propose({ verb: "repair", actors: [name], filenames: [filename], prefer }),
  undo: () => undo.take(),
}, {
  onShow: (filename) => history.replaceState(history.state, "", query(model.filter, filename)),
  onClose: closed,
});
const triaging = new Triage(model, (decided) => marks.apply(decided));
const triage = () => triaging.start(chosenOrShown());

function open(filename) {
  if (new URLSearchParams(location.search).has("image")) return; // it is open, or will be once the images are loaded
  history.pushState({ opened: true }, "", query(model.filter, filename));
  viewer.show(filename);
}

/** The viewer is shut: the URL is as before it was opened, and the grid is where it was. */
function closed() {
  const shown = new URLSearchParams(location.search).get("image");
  if (shown && history.state?.opened) history.back();
  else if (shown) history.replaceState(null, "", query(model.filter));
  if (shown) grid.focus(shown);
}

function followUrl() {
  const image = fromUrl();
  if (image && model.byName.has(image)) viewer.show(image);
  else if (image) {
    tell(`${name} has no image ${image}`);
    history.replaceState(null, "", query(model.filter));
  } else if (byId("viewer").open) byId("viewer").close();
}

// What is done to images

/** What a verb or a mark is for: the selection, else the image that has the focus. */
function chosen() {
  if (selection.size) return model.images.map((image) => image.filename).filter((filename) => selection.has(filename));
  return grid.focused ? [grid.focused] : [];
}

const chosenOrShown = () => (selection.size ? chosen() : model.visible.map((image) => image.filename));

function run(verb, filenames) {
  if (filenames.length) return jobs.propose({ verb, actors: [name], filenames });
  tell("Select an image first", { hint: "Click it, or move to it with the arrow keys." });
  return null;
}

/** Marks all good, or, if all of them are, not good. */
function good(filenames) {
  if (filenames.length) marks.set(filenames, !filenames.every((filename) => model.byName.get(filename)?.good));
}

// What is shown

function show() {
  const { document: data } = model;
  if (!data) return;
  attribute(images, "aria-busy", null);
  selection.keep(model.byName);
  picked();
  grid.show();
  viewer.update();
  for (const tile of document.querySelectorAll("[data-filter]")) {
    const { filter } = tile.dataset;
    const count = data[`${filter || "total"}_count`];
    say(tile.querySelector("b"), number(count));
    tile.classList.toggle("zero", !count);
    attribute(tile, "aria-pressed", String(filter ? model.filter.status.includes(filter) : !model.filter.status.length));
  }
  const goods = model.images.filter((image) => image.good).length;
  say(byId("good").querySelector("b"), number(goods));
  attribute(byId("good"), "aria-pressed", String(model.filter.good));
  for (const link of document.querySelectorAll(".pair a[href]")) link.search = new URLSearchParams(model.filter.status.map((status) => ["status", status]));
  others(data);
  showProblems(byId("notes"), data.problems);
  base(data.base_image_url);
  const when = make("time", {});
  time(when, data.manifest_updated);
  const parts = [model.filtered ? `${number(model.visible.length)} of ${plural(data.total_count, "image")}` : plural(data.total_count, "image")];
  const size = model.visible.reduce((sum, image) => sum + (image.size_bytes ?? 0), 0);
  if (size) parts.push(bytes(size));
  if (data.changed_since_sync) parts.push("changed since the last sync");
  byId("sum").replaceChildren(`${parts.join(", ")} · synced `, when);
  empty(data);
}

function others(data) {
  const files = data.orphaned_files.map((filename) => ({ filename, url: `${byId("actor").dataset.files}/${encodeURIComponent(filename)}`, title: filename }));
  const lost = data.missing_images.map((image) => ({
    ...image, url: null, title: [image.filename, image.removed_by && `Removed by run ${image.removed_by}`, ...image.s3_urls].filter(Boolean).join("\n"),
  }));
  for (const [id, items, fill] of [["orphaned", files, orphaned], ["missing", lost, missing]]) {
    byId(id).hidden = byId(`to-${id}`).hidden = !items.length;
    say(byId(id).querySelector(".count"), number(items.length));
    say(byId(`to-${id}`).querySelector("b"), number(items.length));
    fill(items);
  }
}

function picked() {
  byId("picked").hidden = selection.size === 0;
  document.body.classList.toggle("picking", selection.size > 0);
  const unseen = [...selection.names].filter((filename) => model.indexOf(filename) < 0).length;
  say(byId("picked").querySelector(".count"), `${number(selection.size)} selected${unseen ? `, ${number(unseen)} not shown` : ""}`);
}

function base(url) {
  const image = byId("base").querySelector("img");
  if (url && image) attribute(image, "src", `${url}&width=256`);
  else if (url) byId("base").replaceChildren(make("img", { src: `${url}&width=256`, alt: `Base image of ${name}` }));
  else if (image) byId("base").replaceChildren(icon("picture"), make("span", { class: "none" }, "No base image"));
}

function empty(data) {
  const place = byId("empty");
  place.hidden = model.visible.length > 0;
  if (!place.hidden) {
    const nothing = data.total_count === 0;
    const button = make("button", { type: "button" }, nothing ? "Sync this actor" : "Show all images");
    button.addEventListener("click", () => (nothing ? jobs.propose({ verb: "sync", actors: [name] }) : clearFilter()));
    place.replaceChildren(make("h2", {}, nothing ? "No images yet" : "No image matches"), make("p", {}, nothing ? "The manifest records none. A sync looks at both sides." : "Take a filter away, or search for less."), button);
  }
}

function resize(by) {
  const size = Math.max(0, Math.min(LARGEST, Number(images.dataset.size) + by));
  for (const cards of document.querySelectorAll(".cards")) cards.dataset.size = size;
  byId("size").value = size;
  localStorage.setItem("size", size);
  grid.show();
  if (grid.active) grid.windowed.reveal(model.indexOf(grid.active));
}

// Events

model.addEventListener("change", show);
model.addEventListener("failed", ({ detail }) => {
  attribute(images, "aria-busy", null);
  showProblems(byId("notes"), [{ actor: "", filename: "", code: detail.code, message: `${detail.message}. ${detail.hint ?? ""}` }]);
});
selection.addEventListener("change", picked);
const reload = debounced(() => model.load(), AGAIN_MS);
live.addEventListener("actor", ({ detail }) => detail.actor_name === name && reload());
live.addEventListener("reload", reload);
jobs.addEventListener("ended", reload);
live.addEventListener("problem", ({ detail }) => (!detail.actor || detail.actor === name) && fail(detail));
addEventListener("popstate", followUrl);

const sizesKnown = debounced(() => model.load(), DIMENSIONS_AFTER_MS); // making its thumbnail is what tells an image's dimensions
document.addEventListener("load", ({ target }) => {
  target.classList?.remove("failed");
  if (model.byName.get(target.closest?.("#images .card")?.dataset.key)?.width === null) sizesKnown();
}, true);
document.addEventListener("error", ({ target }) => target.matches?.(".card img, .face img") && target.classList.add("failed"), true);

byId("tiles").addEventListener("click", ({ target }) => {
  const filter = target.closest("[data-filter]")?.dataset.filter;
  if (filter === undefined) return;
  const { status } = model.filter;
  filterBy({ status: !filter ? [] : status.includes(filter) ? status.filter((known) => known !== filter) : [...status, filter] });
});
byId("search").addEventListener("input", () => filterBy({ q: byId("search").value.trim() }, false));
byId("good").addEventListener("click", () => filterBy({ good: !model.filter.good }));
byId("size").addEventListener("input", () => resize(Number(byId("size").value) - Number(images.dataset.size)));
byId("triage-button").addEventListener("click", triage);
document.addEventListener("click", ({ target }) => {
  const { verb, mark, select } = target.closest("[data-verb], [data-mark], [data-select]")?.dataset ?? {};
  if (mark) marks.set(chosen(), mark === "good");
  else if (select === "none") selection.clear();
  else if (select === "invert") selection.invert(grid.names());
  else if (verb && target.closest("#picked")) run(verb, chosen());
  else if (verb) jobs.propose({ verb, actors: [name] });
});

/** Esc peels one layer: the search, the selection, the filter. */
function escape() {
  if (document.activeElement === byId("search")) byId("search").blur();
  else if (selection.size) selection.clear();
  else if (model.filtered) clearFilter();
  else return false;
  return true;
}

const go = (id) => byId(id).href && byId(id).click();
const steps = [["ArrowLeft", -1, 0], ["ArrowRight", 1, 0], ["ArrowUp", 0, -1], ["ArrowDown", 0, 1]];
addKeys("Images", [
  { keys: steps.map(([key]) => key), named: ["←", "→", "↑", "↓"], does: "Move", run: ({ key }) => grid.move(...steps.find(([known]) => known === key).slice(1)) },
  { keys: steps.map(([key]) => `Shift+${key}`), named: ["Shift+←", "→", "↑", "↓"], does: "Move and select", run: ({ key }) => grid.move(...steps.find(([known]) => known === key).slice(1), true) },
  { keys: ["Home"], does: "First image", run: () => grid.go(0) },
  { keys: ["End"], does: "Last image", run: () => grid.go(Infinity) },
  { keys: ["Enter"], does: "Look at it in full", run: () => (grid.focused ? open(grid.focused) : false) },
  { keys: ["x", " "], does: "Select, or not", run: () => (grid.focused ? selection.toggle(grid.focused) : false) },
  { keys: ["Mod+a"], does: "Select all that are shown", run: () => selection.set(grid.names()) },
  { keys: ["i"], does: "Invert the selection", run: () => selection.invert(grid.names()) },
  { keys: ["g"], does: "Good, or not", run: () => good(chosen()) },
  { keys: ["u"], does: "Push: upload what is only here", run: () => run("push", chosen()) },
  { keys: ["d"], does: "Pull: download what is only in S3", run: () => run("pull", chosen()) },
  { keys: ["r"], does: "Repair what differs", run: () => run("repair", chosen()) },
  { keys: ["Delete"], does: "Remove from both sides", run: () => run("rm", chosen()) },
  { keys: ["t"], does: "Triage", run: triage },
], null);
addKeys("Page", [
  { keys: ["/"], does: "Search", run: () => byId("search").select() },
  { keys: ["["], does: "Previous actor", run: () => go("prev-actor") },
  { keys: ["]"], does: "Next actor", run: () => go("next-actor") },
  { keys: ["+", "="], does: "Larger", run: () => resize(1) },
  { keys: ["-"], does: "Smaller", run: () => resize(-1) },
  { keys: ["Mod+z"], does: "Undo the last job or marks of this page", run: () => undo.take() },
  { keys: ["Escape"], typing: true, does: "Leave the search, the selection, the filter", run: escape },
  { keys: ["?"], does: "These keys", run: showHelp },
]);

const kept = localStorage.getItem("size");
for (const cards of document.querySelectorAll(".cards")) cards.dataset.size = /^[0-5]$/.test(kept) ? kept : MIDDLE;
byId("size").value = images.dataset.size;
setInterval(show, 60000);
await model.load();
followUrl();
jobs.join(name).catch(fail);
