// Short messages in the tray: what was done, with its undo, or what went wrong, with the hint.

import { byId, clone, say, topDialog } from "./format.js";

const STAYS_MS = 6000;

function toast(title, hint, action, bad) {
  const node = clone("t-toast");
  say(node.querySelector(".title"), title);
  say(node.querySelector(".hint"), hint ?? "");
  node.classList.toggle("bad", bad);
  const button = node.querySelector(".act");
  if (action) {
    button.hidden = false;
    say(button, action.label);
    button.addEventListener("click", () => {
      node.remove();
      action.run();
    });
  }
  node.querySelector(".shut").addEventListener("click", () => node.remove());
  tray().append(node);
  if (bad) return;
  const leave = () => (node.matches(":hover, :focus-within") ? setTimeout(leave, 1000) : node.remove());
  setTimeout(leave, STAYS_MS);
}

/** The tray lies in the topmost dialog while one is open: what is outside of it cannot be reached. */
export function tray() {
  const node = byId("tray");
  const home = topDialog() ?? document.body;
  if (node.parentElement !== home) home.append(node);
  return node;
}
document.addEventListener("close", () => tray(), true);

/** `action` is `{label, run}`. */
export const tell = (title, { hint, action } = {}) => toast(title, hint, action, false);

export const fail = (error) => toast(error.message, error.hint, null, true);
