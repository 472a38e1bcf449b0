// One image in full: zoom and pan, what is known of it, and, of one that differs, both versions and what settles it.

import { Compare } from "./compare.js";
import { attribute, byId, number, say, signed, WORDS } from "./format.js";
import { addKeys, showHelp } from "./keys.js";
import { fillPanel } from "./panel.js";
import { pane, Stage } from "./stage.js";

const MODES = ["beside", "flicker", "difference"];

export class Viewer {
  /**
   * `actions` are those of the page for the image that is shown: `good(name)`, `verb(verb, name)`, `settle(side, name)`, `undo()`;
   * `onShow(name)` and `onClose()` tell where it is.
   */
  constructor(model, actions, { onShow, onClose }) {
    Object.assign(this, { model, actions, onShow });
    this.dialog = byId("viewer");
    this.view = this.dialog.querySelector(".view");
    this.panel = this.dialog.querySelector(".panel");
    this.stage = new Stage(this.view, (scale) => say(this.dialog.querySelector(".lens output"), `${Math.round(scale * 100)} %`));
    this.compare = new Compare(this.view, (text) => this.tell(text));
    this.mode = "beside";
    this.panel.classList.toggle("away", localStorage.getItem("panel") === "away" || innerWidth < 760);
    this.dialog.addEventListener("click", ({ target }) => this.click(target));
    this.dialog.addEventListener("close", () => {
      this.removeKeys();
      this.compare.stop();
      this.view.replaceChildren();
      this.name = null;
      onClose();
    });
    this.dialog.addEventListener("keyup", ({ key }) => key === " " && this.compare.hold(false));
  }

  get image() {
    return this.model.byName.get(this.name);
  }

  /** Shows an image, opening the viewer if it is not. False if there is no such image. */
  show(name) {
    if (!this.model.byName.has(name)) return false;
    if (!this.dialog.open) {
      this.dialog.showModal();
      this.removeKeys = addKeys("Viewer", this.bindings(), this.dialog);
      this.dialog.querySelector(".stage").focus();
    }
    this.name = name;
    this.at = this.model.indexOf(name);
    this.shown = "";
    this.update();
    return true;
  }

  /** Shows the same image as it is now; nothing flashes if it did not change. */
  update() {
    const { image, dialog } = this;
    if (!this.name) return;
    if (!image) {
      this.leave();
      return;
    }
    const at = this.model.indexOf(this.name);
    if (at >= 0) this.at = at;
    const differs = image.status === "out_of_sync" && image.local_exists && image.s3;
    say(byId("viewer-title").firstElementChild, image.filename);
    say(dialog.querySelector(".place"), at < 0 ? "" : `${number(at + 1)} of ${number(this.model.visible.length)}`);
    const status = dialog.querySelector("header .status");
    attribute(status, "data-status", image.status ?? "unknown");
    signed(status, image.status);
    attribute(dialog.querySelector('[data-act="good"]'), "aria-pressed", String(image.good));
    attribute(dialog.querySelector('[data-act="panel"]'), "aria-pressed", String(!this.panel.classList.contains("away")));
    dialog.querySelector(".prev").disabled = !this.neighbour(-1);
    dialog.querySelector(".next").disabled = !this.neighbour(1);
    dialog.querySelector(".modes").hidden = !differs;
    dialog.querySelector(".settle").hidden = !differs;
    if (differs) say(dialog.querySelector(".settle .told"), `${WORDS.changes[image.change] ?? ""}. Whichever is replaced goes to the trash.`);
    for (const button of dialog.querySelectorAll("[data-mode]")) attribute(button, "aria-pressed", String(button.dataset.mode === this.mode));
    const shown = JSON.stringify([this.name, image.content_url, image.status, image.s3?.etag, image.size_bytes, image.local_exists, differs && this.mode]);
    if (shown !== this.shown) {
      this.shown = shown;
      this.paint(image, differs);
    }
    const { good: _, ...known } = image;
    if (this.panelled !== JSON.stringify(known)) fillPanel(this.panel, this.model.name, image);
    this.panelled = JSON.stringify(known);
  }

  /** The image is gone: the one in its place is shown, if there is one. */
  leave() {
    if (!this.go(this.model.visible[Math.min(this.at, this.model.visible.length - 1)])) this.dialog.close();
  }

  paint(image, differs) {
    this.stage.fit();
    this.tell("");
    if (differs) {
      this.compare.show(this.model.name, image, this.mode);
      return;
    }
    this.compare.stop();
    this.view.classList.remove("beside");
    this.view.replaceChildren(pane(image, () => this.name === image.filename && this.tell("This image cannot be shown")));
  }

  tell(text) {
    const place = this.dialog.querySelector(".trouble");
    say(place, text);
    place.hidden = !text;
  }

  /** The image so many places on; from where it was, if a filter does not show this one any more. */
  neighbour(step) {
    const at = this.model.indexOf(this.name);
    return this.model.visible[at >= 0 ? at + step : this.at + step - (step > 0 ? 1 : 0)];
  }

  turn(step) {
    if (!this.go(this.neighbour(step))) return;
    const beyond = this.neighbour(step);
    if (beyond) new Image().src = beyond.content_url; // so that the next turn is instant
  }

  /** Shows another image and tells where that is; false if there is none. */
  go(image) {
    if (!image) return false;
    this.show(image.filename);
    this.onShow(image.filename);
    return true;
  }

  setMode(mode) {
    this.mode = mode;
    this.update();
  }

  togglePanel() {
    const away = this.panel.classList.toggle("away");
    localStorage.setItem("panel", away ? "away" : "");
    attribute(this.dialog.querySelector('[data-act="panel"]'), "aria-pressed", String(!away));
    this.stage.fit();
  }

  click(target) {
    const { act, mode, prefer } = target.closest("[data-act], [data-mode], [data-prefer]")?.dataset ?? {};
    if (mode) this.setMode(mode);
    if (prefer) this.actions.settle(prefer, this.name);
    const acts = {
      prev: () => this.turn(-1), next: () => this.turn(1), good: () => this.actions.good(this.name), panel: () => this.togglePanel(),
      in: () => this.stage.step(true), out: () => this.stage.step(false), fit: () => this.stage.fit(),
    };
    acts[act]?.();
  }

  bindings() {
    const verb = (name) => () => this.actions.verb(name, this.name);
    return [
      { keys: ["ArrowRight", "ArrowDown"], does: "Next image", run: () => this.turn(1) },
      { keys: ["ArrowLeft", "ArrowUp"], does: "Previous image", run: () => this.turn(-1) },
      { keys: ["Home"], does: "First image", run: () => this.go(this.model.visible[0]) },
      { keys: ["End"], does: "Last image", run: () => this.go(this.model.visible.at(-1)) },
      { keys: ["+", "="], does: "Zoom in", run: () => this.stage.step(true) },
      { keys: ["-"], does: "Zoom out", run: () => this.stage.step(false) },
      { keys: ["0"], does: "Fit", run: () => this.stage.fit() },
      { keys: ["i"], does: "Details", run: () => this.togglePanel() },
      { keys: ["c"], does: "Compare: side by side, flicker, difference", run: () => this.setMode(MODES[(MODES.indexOf(this.mode) + 1) % MODES.length]) },
      { keys: [" "], does: "While flickering: hold S3's version", run: () => this.compare.hold(true) },
      { keys: ["g"], does: "Good, or not", run: () => this.actions.good(this.name) },
      { keys: ["u"], does: "Push", run: verb("push") },
      { keys: ["d"], does: "Pull", run: verb("pull") },
      { keys: ["r"], does: "Repair", run: verb("repair") },
      { keys: ["Delete"], does: "Remove", run: verb("rm") },
      { keys: ["Mod+z"], does: "Undo", run: () => this.actions.undo() },
      { keys: ["Enter"], run: () => this.dialog.close() },
      { keys: ["Escape"], does: "Close", run: () => this.dialog.close() },
      { keys: ["?"], does: "These keys", run: showHelp },
    ];
  }
}
