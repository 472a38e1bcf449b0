// The grid of images: a listbox whose options are cards, one of which has the focus, whatever is in view.

import { attribute, bytes, clone, exactly, make, say, signed, WORDS } from "./format.js";
import { Windowed } from "./windowed.js";

const DRIFT = { touched: "changed since the last sync", gone: "gone since the last sync" };

/** Shows an image in a card. */
function fillCard(card, image, selected) {
  attribute(card, "data-status", image.status ?? "unknown");
  card.classList.toggle("good", image.good);
  attribute(card, "aria-selected", String(selected));
  picture(card, image.thumbnail_url);
  say(card.querySelector(".name bdi"), image.filename);
  signed(card.querySelector(".status"), image.status);
  card.querySelector(".status").classList.toggle("loud", image.status !== "synced");
  say(card.querySelector(".since"), image.corrupt ? "corrupt" : (DRIFT[image.changed_since_sync] ?? ""));
  const size = image.size_bytes ?? image.s3?.size_bytes;
  say(card.querySelector(".dims"), image.width ? `${image.width}×${image.height}` : "");
  say(card.querySelector(".size"), bytes(size));
  say(card.querySelector(".prompt"), image.prompt ?? "");
  attribute(card, "title", hover(image));
  attribute(card, "aria-label", label(image));
}

function hover(image) {
  const known = image.evidence ? `Known by: ${WORDS.evidence[image.evidence]}\nSince: ${exactly(image.checked_at)}` : "";
  const size = [image.width && `${image.width} × ${image.height}`, bytes(image.size_bytes ?? image.s3?.size_bytes)].filter(Boolean).join(", ");
  return [image.filename, size, image.status && WORDS.statuses[image.status].meaning, image.change && WORDS.changes[image.change], known, image.prompt && `“${image.prompt}”`].filter(Boolean).join("\n");
}

function label(image) {
  const words = WORDS.statuses[image.status] ?? WORDS.statuses.unknown;
  return [image.filename, words.word, image.good && "good", DRIFT[image.changed_since_sync], image.corrupt && "corrupt"].filter(Boolean).join(", ");
}

function picture(card, url) {
  const image = card.querySelector("img");
  const width = Number(card.parentElement?.dataset.size ?? 2) > 3 ? 512 : 256;
  attribute(image, "src", url && `${url}&width=${width}`);
}

/** A list of cards that are no options: orphaned files, missing images. */
export function plainCards(container, status) {
  const windowed = new Windowed(container, {
    make() {
      const card = clone("t-card");
      attribute(card, "role", "listitem");
      for (const name of ["tabindex", "aria-selected"]) attribute(card, name, null);
      card.append(make("a", { class: "cover", target: "_blank", rel: "noopener" }));
      return card;
    },
    fill(card, item) {
      attribute(card, "data-status", status);
      attribute(card.querySelector("img"), "src", item.url);
      say(card.querySelector(".name bdi"), item.filename);
      signed(card.querySelector(".status"), status);
      say(card.querySelector(".size"), bytes(item.size_bytes));
      say(card.querySelector(".prompt"), item.prompt ?? "");
      attribute(card, "title", item.title);
      attribute(card.querySelector(".cover"), "href", item.url);
      attribute(card.querySelector(".cover"), "aria-label", item.url && `Open ${item.filename}`);
    },
  });
  return (items) => windowed.show({ length: items.length, at: (index) => items[index], key: (index) => items[index].filename, has: () => false });
}

export class Grid {
  /** Calls `onOpen(filename)` and `onGood(filename)`. */
  constructor(container, model, selection, { onOpen, onGood }) {
    Object.assign(this, { container, model, selection, onOpen, onGood, active: null });
    this.windowed = new Windowed(container, {
      make: () => clone("t-card"),
      fill: (card, image, index) => this.fill(card, image, index),
      onRange: () => this.hold(),
    });
    container.addEventListener("click", (event) => this.click(event));
    container.addEventListener("dblclick", ({ target }) => {
      const card = target.closest(".card");
      if (card && !target.closest("[data-act]")) onOpen(card.dataset.key);
    });
    container.addEventListener("focusin", ({ target }) => target.matches(".card") && this.rove(target.dataset.key));
    selection.addEventListener("change", () => this.refresh());
  }

  /** The name of the image that has the focus, else null. */
  get focused() {
    return this.container.contains(document.activeElement) ? this.active : null;
  }

  fill(card, image, index) {
    fillCard(card, image, this.selection.has(image.filename));
    attribute(card, "aria-posinset", index + 1);
    attribute(card, "aria-setsize", this.model.visible.length);
    card.tabIndex = image.filename === this.active ? 0 : -1;
  }

  /** Shows what the model has. If the card that has the focus is gone, the one in its place gets it. */
  show() {
    const { visible } = this.model;
    const gone = this.active !== null && this.model.indexOf(this.active) < 0;
    const { focused } = this;
    if (gone) this.active = null;
    this.windowed.show({
      length: visible.length, at: (index) => visible[index], key: (index) => visible[index].filename, has: (key) => this.model.indexOf(key) >= 0,
    });
    this.hold();
    if (gone && focused) this.go(this.place);
    this.place = this.model.indexOf(this.active);
  }

  refresh() {
    this.container.classList.toggle("choosing", this.selection.size > 0);
    this.windowed.refresh();
    this.hold();
  }

  /** Tab leads into the grid whatever part of it is shown. */
  hold() {
    if (this.container.querySelector('.card[tabindex="0"]')) return;
    const first = this.container.querySelector(".card:not(.kept)");
    if (first) first.tabIndex = 0;
  }

  rove(name) {
    if (name === this.active) return;
    for (const card of this.container.querySelectorAll('.card[tabindex="0"]')) card.tabIndex = -1;
    this.active = name;
    this.place = this.model.indexOf(name);
    const card = this.windowed.node(name);
    if (card) card.tabIndex = 0;
  }

  /** Makes an image the active one, scrolls it into view and gives it the focus. */
  focus(name) {
    const index = this.model.indexOf(name);
    if (index < 0) return;
    this.rove(name);
    const card = this.windowed.reveal(index);
    if (!card) return;
    card.tabIndex = 0;
    card.focus({ preventScroll: true });
  }

  /** Moves by columns and rows; with `extend`, the selection goes along. At an edge it stays. */
  move(columns, rows, extend) {
    const last = this.model.visible.length - 1;
    const at = this.model.indexOf(this.active);
    if (at < 0) {
      this.go(this.windowed.from, extend);
      return;
    }
    const wide = this.windowed.columns;
    const to = at + columns + rows * wide;
    if (to >= 0 && to <= last) this.go(to, extend);
    else if (rows > 0 && Math.floor(at / wide) < Math.floor(last / wide)) this.go(last, extend);
  }

  /** Moves to a place, or the nearest that there is. */
  go(place, extend) {
    const { visible } = this.model;
    if (!visible.length) return;
    const name = visible[Math.max(0, Math.min(visible.length - 1, place))].filename;
    if (extend) {
      this.selection.anchor ??= this.active;
      this.selection.range(name, this.names());
    }
    this.focus(name);
  }

  names() {
    return this.model.visible.map((image) => image.filename);
  }

  click(event) {
    const card = event.target.closest(".card");
    if (!card) return;
    const name = card.dataset.key;
    const act = event.target.closest("[data-act]")?.dataset.act;
    this.rove(name);
    card.focus({ preventScroll: true });
    if (act === "good") this.onGood(name);
    else if (event.shiftKey) this.selection.range(name, this.names());
    else if (act === "select" || event.ctrlKey || event.metaKey) this.selection.toggle(name);
    else if (event.pointerType !== "touch") this.selection.only(name);
    else if (this.selection.size) this.selection.toggle(name);
    else this.onOpen(name);
  }
}
