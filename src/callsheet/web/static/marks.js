// Good marks: shown at once, then told to the server; one run for all, which can be taken back.

import { actorPath, patch } from "./api.js";
import { plural } from "./format.js";
import { fail, tell } from "./notices.js";

export class Marks {
  constructor(model, undo) {
    this.model = model;
    this.undo = undo;
    this.last = Promise.resolve();
  }

  /** Marks images good or not; those that are it already are left out. */
  set(names, good) {
    return this.apply(new Map(names.map((name) => [name, good])));
  }

  /** `marks` says of each filename whether it is good. True once that is recorded. */
  apply(marks) {
    const { model } = this;
    const changes = [...marks].filter(([name, good]) => model.byName.has(name) && model.byName.get(name).good !== good);
    if (!changes.length) return true;
    this.show(changes);
    this.last = this.last.then(() => this.send(changes)); // in the order in which they were made
    this.undo.expect(this.last);
    return this.last;
  }

  async send(changes) {
    const { model } = this;
    try {
      const body = { images: Object.fromEntries(changes.map(([name, good]) => [name, { good }])) };
      const answer = await patch(actorPath(model.name), body);
      this.settle(changes);
      model.replace(answer.images);
      if (answer.run) this.tell(changes, answer.run);
      return true;
    } catch (error) {
      this.settle(changes);
      model.replace(changes.map(([name, good]) => ({ filename: name, good: !good })));
      fail(error);
      return false;
    }
  }

  show(changes) {
    for (const [name, good] of changes) this.model.pending.set(name, good);
    this.model.replace(changes.map(([name, good]) => ({ filename: name, good })));
  }

  settle(changes) {
    for (const [name, good] of changes) {
      if (this.model.pending.get(name) === good) this.model.pending.delete(name);
    }
  }

  tell(changes, run) {
    const goods = changes.filter(([, good]) => good).length;
    const others = changes.length - goods;
    const parts = [goods && `${plural(goods, "image")} marked good`, others && `${plural(others, "image")} marked not good`];
    const what = parts.filter(Boolean).join(", ");
    this.undo.add(run);
    tell(what, { action: { label: "Undo", run: () => this.undo.take(run) } });
  }
}
