// Which images are selected, by name: survives filters and changes.

export class Selection extends EventTarget {
  constructor() {
    super();
    this.names = new Set();
    this.anchor = null;
  }

  get size() {
    return this.names.size;
  }

  has(name) {
    return this.names.has(name);
  }

  set(names) {
    this.names = new Set(names);
    this.dispatchEvent(new Event("change"));
  }

  toggle(name) {
    if (!this.names.delete(name)) this.names.add(name);
    this.anchor = name;
    this.dispatchEvent(new Event("change"));
  }

  only(name) {
    this.anchor = name;
    this.set([name]);
  }

  /** Adds all from the anchor to `name`, in the order that is shown. */
  range(name, shown) {
    const places = [this.anchor, name].map((end) => shown.indexOf(end));
    if (places[0] < 0) [places[0], this.anchor] = [places[1], name];
    const [from, to] = [Math.min(...places), Math.max(...places)];
    this.set([...this.names, ...shown.slice(from, to + 1)]);
  }

  invert(shown) {
    this.set(shown.filter((name) => !this.names.has(name)));
  }

  clear() {
    this.set([]);
  }

  /** Forgets what is not there any more. */
  keep(known) {
    const left = [...this.names].filter((name) => known.has(name));
    if (left.length !== this.names.size) this.set(left);
  }
}
