// One actor's training data as the page knows it: loaded, kept up to date, filtered.

import { ask, actorPath } from "./api.js";

export class Model extends EventTarget {
  /** Tells `change` whenever something is to be shown anew, and `failed` with the error in `detail`. */
  constructor(name) {
    super();
    this.name = name;
    this.images = [];
    this.byName = new Map();
    this.filter = { status: [], q: "", good: false };
    this.visible = [];
    this.document = null;
    this.etag = null;
    this.asking = this.again = this.failed = false;
    this.pending = new Map(); // marks on their way: they hold until the server has answered
  }

  /** Asks for what has changed since. A question that comes while one is asked is asked after it. */
  async load() {
    if (this.asking) {
      this.again = true;
      return;
    }
    this.asking = true;
    try {
      const headers = this.etag ? { "If-None-Match": this.etag } : {};
      const answer = await ask("GET", actorPath(this.name), { headers });
      if (answer) this.take(answer);
      else if (this.failed) this.changed();
      this.failed = false;
    } catch (error) {
      this.failed = true;
      this.dispatchEvent(new CustomEvent("failed", { detail: error }));
    } finally {
      this.asking = false;
    }
    if (this.again) {
      this.again = false;
      await this.load();
    }
  }

  take({ document, etag }) {
    this.document = document;
    this.etag = etag;
    this.images = document.training_images;
    for (const image of this.images) this.hold(image);
    this.byName = new Map(this.images.map((image) => [image.filename, image]));
    this.changed();
  }

  /** Shows images as they are by now; a mark that is on its way goes before. */
  replace(images) {
    for (const image of images) {
      const known = this.byName.get(image.filename);
      if (known) this.hold(Object.assign(known, image));
    }
    this.changed();
  }

  hold(image) {
    if (this.pending.has(image.filename)) image.good = this.pending.get(image.filename);
  }

  setFilter(filter) {
    this.filter = filter;
    this.changed();
  }

  get filtered() {
    const { status, q, good } = this.filter;
    return status.length > 0 || q !== "" || good;
  }

  changed() {
    const { status, q, good } = this.filter;
    const wanted = q.toLowerCase();
    this.visible = this.images.filter((image) =>
      (!status.length || status.includes(image.status))
      && (!good || image.good)
      && (!wanted || image.filename.toLowerCase().includes(wanted) || image.prompt?.toLowerCase().includes(wanted)));
    this.places = new Map(this.visible.map((image, index) => [image.filename, index]));
    this.dispatchEvent(new Event("change"));
  }

  /** The place of an image among those that are shown; -1 if it is not. */
  indexOf(filename) {
    return this.places?.get(filename) ?? -1;
  }
}
