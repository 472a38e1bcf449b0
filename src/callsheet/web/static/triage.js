// Triage: one image at a time, good or not by single keys; nothing is recorded before the end.

import { attribute, byId, make, number, plural, say } from "./format.js";
import { addKeys, showHelp } from "./keys.js";
import { pane, Stage } from "./stage.js";

export class Triage {
  /** `commit(marks)` records a Map of filename → good and tells whether that worked. */
  constructor(model, commit) {
    Object.assign(this, { model, commit });
    this.dialog = byId("triage");
    this.view = this.dialog.querySelector(".view");
    this.summary = this.dialog.querySelector(".summary");
    this.stage = new Stage(this.view);
    this.dialog.addEventListener("click", ({ target }) => this.act(target.closest("[data-act]")?.dataset.act));
    this.dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.escape();
    });
    const guard = (event) => this.changes.size && event.preventDefault();
    this.guard = (on) => (on ? addEventListener : removeEventListener)("beforeunload", guard);
    this.dialog.addEventListener("close", () => {
      this.removeKeys();
      this.guard(false);
    });
  }

  /** Begins with `names`, in their order. */
  start(names) {
    if (!names.length || this.dialog.open) return;
    this.names = names;
    this.place = 0;
    this.decided = new Map();
    this.dialog.showModal();
    this.removeKeys = addKeys("Triage", this.bindings(), this.dialog);
    this.guard(true);
    this.show();
  }

  get over() {
    return this.dialog.classList.contains("over");
  }

  show() {
    const { names, place, dialog } = this;
    this.toggle(place >= names.length);
    dialog.querySelector("progress").value = Math.min(1, place / names.length);
    say(dialog.querySelector(".place"), `${number(Math.min(place + 1, names.length))} of ${number(names.length)}`);
    const { good, bad } = this.counts();
    dialog.querySelector(".tally").replaceChildren(make("span", {}, `${number(good)} good`), make("span", {}, `${number(bad)} not good`));
    if (this.over) {
      this.summarize();
      return;
    }
    const image = this.model.byName.get(names[place]);
    const decided = this.decided.get(names[place]);
    attribute(dialog.querySelector('[data-act="back"]'), "disabled", place === 0 ? "" : null);
    for (const [act, value] of [["good", true], ["bad", false]]) attribute(dialog.querySelector(`footer [data-act="${act}"]`), "aria-pressed", String(decided === value));
    this.stage.fit();
    const caption = dialog.querySelector(".caption");
    const unseen = () => this.names[this.place] === names[place] && say(caption, `${names[place]} cannot be shown`);
    this.view.replaceChildren(image ? pane(image, unseen) : make("figure", { class: "pane" }));
    const now = image?.good ? "now good" : "";
    say(caption, [names[place], now, image?.prompt].filter(Boolean).join(" · "));
    const next = this.model.byName.get(names[place + 1]);
    if (next) new Image().src = next.content_url;
    dialog.querySelector(".stage").focus();
  }

  toggle(over) {
    this.dialog.classList.toggle("over", over);
    this.summary.hidden = !over;
  }

  counts() {
    const values = [...this.decided.values()];
    const good = values.filter(Boolean).length;
    return { good, bad: values.length - good };
  }

  /** What would be changed. */
  get changes() {
    return new Map([...this.decided].filter(([name, good]) => this.model.byName.has(name) && this.model.byName.get(name).good !== good));
  }

  decide(good) {
    if (this.over) return;
    this.decided.set(this.names[this.place], good);
    this.step(1);
  }

  step(by) {
    if (this.place + by < 0) return;
    this.place = Math.min(this.place + by, this.names.length);
    this.show();
  }

  summarize() {
    const { good, bad } = this.counts();
    const { size } = this.changes;
    say(this.summary.querySelector("h3"), size ? `${plural(size, "mark")} would change` : "No mark would change");
    const rows = [["Good", good], ["Not good", bad], ["Skipped or not seen", this.names.length - good - bad]];
    this.summary.querySelector("ul").replaceChildren(...rows.map(([name, count]) => make("li", {}, make("span", {}, name), make("b", {}, number(count)))));
    const save = this.summary.querySelector('[data-act="save"]');
    save.hidden = !size;
    say(save, `Save ${plural(size, "mark")}`);
    (size ? save : this.summary).focus();
  }

  /** Peels one layer: the picture, then the summary; without decisions there is none. */
  escape() {
    if (this.over) this.act("resume");
    else if (this.decided.size) this.finish();
    else this.dialog.close();
  }

  finish() {
    this.toggle(true);
    this.summarize();
  }

  async act(act) {
    if (act === "good" || act === "bad") this.decide(act === "good");
    else if (act === "skip") this.step(1);
    else if (act === "back") this.step(-1);
    else if (act === "discard") this.dialog.close();
    else if (act === "resume") {
      this.place = Math.min(this.place, this.names.length - 1);
      this.show();
    } else if (act === "save") await this.save();
  }

  /** Records what was decided. If that fails, all of it is kept, to be tried again. */
  async save() {
    if (this.saving) return;
    this.saving = true;
    if (await this.commit(this.changes)) this.dialog.close();
    this.saving = false;
  }

  bindings() {
    const unlessOver = (run) => () => (this.over ? false : run());
    return [
      { keys: ["g"], does: "Good", run: unlessOver(() => this.decide(true)) },
      { keys: ["n"], does: "Not good", run: unlessOver(() => this.decide(false)) },
      { keys: ["s", " ", "ArrowRight"], does: "Skip", run: unlessOver(() => this.step(1)) },
      { keys: ["ArrowLeft", "Backspace", "b"], does: "Back", run: () => (this.over ? this.act("resume") : this.step(-1)) },
      { keys: ["+", "="], does: "Zoom in", run: () => this.stage.step(true) },
      { keys: ["-"], does: "Zoom out", run: () => this.stage.step(false) },
      { keys: ["Enter"], does: "Save, once at the end", run: () => (this.over && this.changes.size ? this.act("save") : false) },
      { keys: ["Escape"], does: "To the summary, or back", run: () => this.escape() },
      { keys: ["?"], does: "These keys", run: showHelp },
    ];
  }
}
