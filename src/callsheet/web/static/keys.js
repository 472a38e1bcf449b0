// The live key map: layers of bindings; while a dialog is open, only its own is alive. The help is made from it.

import { byId, make, topDialog } from "./format.js";

const NAMES = {
  ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", Delete: "Del", " ": "Space", Backspace: "⌫",
};
const layers = [];

/**
 * Adds a layer of bindings `{keys, does, run, named?, typing?}`; gives what takes it away again.
 * `named` is what the help calls the keys, `typing` binds them in fields, too.
 * `dialog` is the one that they belong to, if any.
 * A key is what `KeyboardEvent.key` says, after `Mod+` (Ctrl or ⌘) and, for named keys, `Shift+`. `run` that returns false has not handled it.
 */
export function addKeys(title, bindings, dialog = null) {
  const layer = { title, bindings, dialog };
  layers.push(layer);
  return () => {
    if (layers.includes(layer)) layers.splice(layers.indexOf(layer), 1);
  };
}

function name(event) {
  const named = event.key.length > 1 || event.key === " ";
  const key = named ? event.key : event.key.toLowerCase();
  return `${event.ctrlKey || event.metaKey ? "Mod+" : ""}${event.shiftKey && named ? "Shift+" : ""}${key}`;
}

const typing = (target) => target.matches?.("input:not([type=range]), textarea, select");
const presses = (target, key) => target.matches?.("button, a, summary, input, select") && (key === "Enter" || key === " ");
const steers = (target, key) => target.matches?.("input[type=range], .panel, .body") && /^(Arrow|Home|End)/.test(key);

function handle(event) {
  if (event.defaultPrevented || event.isComposing || event.altKey) return;
  const key = name(event);
  const { target } = event;
  const dialog = topDialog();
  for (const layer of [...layers].reverse()) {
    if (layer.dialog !== dialog) continue;
    const found = layer.bindings.find((binding) => binding.keys.includes(key));
    const blocked = found && ((typing(target) && !found.typing) || presses(target, key) || steers(target, key));
    if (found && !blocked && found.run(event) !== false) {
      event.preventDefault();
      return;
    }
  }
}
document.addEventListener("keydown", handle);

const apple = /Mac|iP/.test(navigator.platform);
const shown = (key) => key.split(/\+(?=.)/).map((part) => (part === "Mod" ? (apple ? "⌘" : "Ctrl") : (NAMES[part] ?? part))).join("+");

/** Shows every binding that is alive, layer by layer. */
export function showHelp() {
  const dialog = byId("help");
  if (dialog.open) return;
  const sections = layers.filter((layer) => layer.title).map((layer) => {
    const lines = layer.bindings.filter((binding) => binding.does).map((binding) =>
      make("div", {}, make("span", {}, binding.does), make("span", {}, ...(binding.named ?? binding.keys.map(shown)).map((key) => make("kbd", {}, key)))));
    return make("section", {}, make("h3", {}, layer.title), ...lines);
  });
  dialog.querySelector(".keys").replaceChildren(...sections.reverse());
  dialog.showModal();
}

/** Asks a dialog to close, as Esc does. */
function leave(dialog) {
  if (dialog.dispatchEvent(new Event("cancel", { cancelable: true }))) dialog.close();
}

document.addEventListener("click", (event) => {
  const { target } = event;
  if (target.closest("#help-button")) showHelp();
  else if (target.closest("[data-close]")) leave(target.closest("dialog"));
  else if (target.matches("dialog.sheet")) target.close(); // its backdrop
});
