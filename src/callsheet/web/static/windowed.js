// A long list through a window: only what is in view, and a little beyond, is in the document.
// The container is a CSS grid whose rows all have one height; what is left out is padding above and below.

const BEYOND = 3;

/** The key of an item that is not loaded yet. */
export const unloaded = (index) => `#${index}`;

export class Windowed {
  /**
   * `make()` gives an empty element, `fill(element, item, index)` shows an item in it and must cope with being called again.
   * `onRange(from, to)` tells which items are shown.
   */
  constructor(container, { make, fill, onRange = () => {} }) {
    this.container = container;
    this.make = make;
    this.fill = fill;
    this.onRange = onRange;
    this.nodes = new Map(Array.from(container.children, (node) => [node.dataset.key, node]));
    this.list = { length: 0, at: () => undefined, key: String, has: () => false };
    this.from = this.to = 0;
    this.planned = this.stale = false;
    const plan = () => this.plan();
    addEventListener("scroll", plan, { passive: true });
    new ResizeObserver(plan).observe(container);
    addEventListener("resize", plan);
  }

  /** Shows `list`: its `length`, `at(index)` (undefined for what is not loaded yet) and `key(index)` (then `unloaded(index)`), and whether it `has(key)`. */
  show(list) {
    this.list = list;
    this.render(true);
  }

  plan() {
    if (this.planned) return;
    this.planned = true;
    requestAnimationFrame(() => {
      this.planned = false;
      this.render(false);
    });
  }

  node(key) {
    return this.nodes.get(key);
  }

  /** Columns, and the height of a row with its gap. */
  measure() {
    const style = getComputedStyle(this.container);
    const columns = style.gridTemplateColumns.split(" ").length;
    const sample = this.container.querySelector(":scope > :not(.kept)");
    const gap = Number.parseFloat(style.rowGap) || 0;
    return { columns, row: sample ? sample.getBoundingClientRect().height + gap : 0 };
  }

  /** Puts into the document what is in view; `anew` fills all of it again. What is hidden waits until it is shown. */
  render(anew) {
    const { length } = this.list;
    this.stale ||= anew;
    if (length && !this.container.querySelector(":scope > :not(.kept)")) this.place(0, 1, true); // something to measure
    const { columns, row } = length ? this.measure() : { columns: 1, row: 0 };
    if (length && !row) return; // not laid out: hidden
    this.columns = columns;
    const rows = Math.ceil(length / columns);
    const above = row ? -this.container.getBoundingClientRect().top / row : 0;
    const first = Math.min(Math.max(0, Math.floor(above) - BEYOND), Math.max(0, rows - 1));
    const last = Math.max(first, Math.min(rows, Math.ceil(above + (row ? innerHeight / row : 0)) + BEYOND));
    const from = first * columns;
    const to = Math.min(length, last * columns);
    const { style } = this.container; // no custom properties: those are inherited, and every card would be styled anew
    style.setProperty("padding-block-start", `${first * row}px`);
    style.setProperty("padding-block-end", `${(rows - last) * row}px`);
    if (!this.stale && from === this.from && to === this.to) return;
    this.place(from, to, this.stale);
    this.stale = false;
    this.onRange(from, to);
  }

  place(from, to, anew) {
    [this.from, this.to] = [from, to];
    const shown = new Map();
    for (let index = from; index < to; index += 1) {
      const key = this.list.key(index);
      const known = this.nodes.get(key) ?? this.nodes.get(unloaded(index)); // whoever has the focus keeps it when it is loaded
      const node = known ?? this.make();
      if (!known || anew || node.dataset.key !== key) {
        node.dataset.key = key;
        this.fill(node, this.list.at(index), index);
      }
      shown.set(key, node);
    }
    const inside = new Set(shown.values());
    for (const [key, node] of this.nodes) {
      const keeps = !inside.has(node) && node.contains(document.activeElement) && this.list.has(key);
      node.classList.toggle("kept", keeps); // out of sight, it keeps the focus
      if (keeps) shown.set(key, node);
      else if (!inside.has(node)) node.remove();
    }
    let cursor = this.container.firstElementChild;
    for (const node of shown.values()) {
      if (node === cursor) cursor = cursor.nextElementSibling;
      else this.container.insertBefore(node, cursor);
    }
    this.nodes = shown;
  }

  /** Fills the cards that are shown anew. */
  refresh() {
    for (let index = this.from; index < this.to; index += 1) {
      const node = this.nodes.get(this.list.key(index));
      if (node) this.fill(node, this.list.at(index), index);
    }
  }

  /** Scrolls as far as needed for an item to be in view below `top` pixels, and gives its element. */
  reveal(index, top = 110, bottom = 90) {
    const { row } = this.measure();
    const start = this.container.getBoundingClientRect().top + Math.floor(index / this.columns) * row;
    if (start < top) scrollBy(0, start - top);
    else if (start + row > innerHeight - bottom) scrollBy(0, start + row - innerHeight + bottom);
    this.render(false);
    return this.nodes.get(this.list.key(index));
  }
}
