// The dialog that shows a plan before it is carried out.

import { byId, bytes, make, number, plural, say, statusOf } from "./format.js";
import { wordsOf } from "./problems.js";

const SHOWN = 300;
const VERBS = {
  sync: ["Sync", "Synced", "Syncing"],
  verify: ["Verify", "Verified", "Verifying"],
  push: ["Push", "Pushed", "Pushing"],
  pull: ["Pull", "Pulled", "Pulling"],
  repair: ["Repair", "Repaired", "Repairing"],
  evict: ["Evict", "Evicted", "Evicting"],
  rm: ["Remove", "Removed", "Removing"],
  undo: ["Undo", "Took back", "Taking back"],
};
const OPS = {
  upload: ["↑", "Upload"],
  download: ["↓", "Download"],
  evict: ["−", "Delete here what S3 holds"],
  trash_local: ["−", "Move to the trash, on this disk"],
  trash_s3: ["−", "Move to the trash, in S3"],
  restore_local: ["+", "Put back from the trash, on this disk"],
  restore_s3: ["+", "Put back from the trash, in S3"],
};

/** What a verb is called: to do, done, doing. */
export const verbWords = (verb) => VERBS[verb] ?? [verb, verb, verb];

/** Shows the plan of a dry run; whether to carry it out. */
export function confirmPlan(job) {
  const dialog = byId("plan");
  const plan = job.plan ?? { actions: [], refusals: [], marks: [] };
  const looking = job.verb === "sync" || job.verb === "verify";
  const actions = plan.actions ?? [];
  const refusals = plan.refusals ?? [];
  const refused = new Set(refusals.map(known));
  const problems = job.problems.filter((problem) => !refused.has(known(problem)));
  const images = new Set(actions.map((action) => `${action.actor}/${action.filename}`)).size;
  const [verb] = verbWords(job.verb);
  const anything = looking || actions.length + (plan.marks?.length ?? 0) > 0;
  const title = looking ? `${verb} ${job.actors.length ? plural(job.actors.length, "actor") : "all actors"}` : `${verb} ${plural(images, "image")}`;
  say(byId("plan-title"), anything ? title : `Nothing to ${verb.toLowerCase()}`);
  say(dialog.querySelector(".said"), looking ? foreseen(job.summary) : anything ? consequence(job.verb, actions) : nothing(problems, refusals));
  dialog.querySelector(".sums").replaceChildren(...sums(actions));
  const told = (problem) => make("li", {}, make("span", {}, problem.filename || problem.actor), make("span", { class: "why" }, wordsOf(problem, job.prefer)));
  const refusal = (problem) => make("li", {}, link(problem), make("span", { class: "why" }, wordsOf(problem, job.prefer)));
  list(dialog.querySelector(".troubles"), plural(problems.length, "problem"), problems, told);
  list(dialog.querySelector(".refusals"), `Refused: ${plural(refusals.length, "image")}`, refusals, refusal);
  const many = new Set(actions.map((action) => action.actor)).size > 1;
  list(dialog.querySelector(".steps"), "In order", actions, (action) => make("li", {},
    make("b", { "aria-label": OPS[action.op]?.[1] ?? action.op }, OPS[action.op]?.[0] ?? "·"),
    make("span", {}, action.filename, make("span", { class: "why" }, [many ? action.actor : "", action.reason].filter(Boolean).join(" · "))),
    make("span", { class: "amount" }, bytes(action.bytes))));
  const yes = dialog.querySelector(".yes");
  yes.hidden = !anything;
  say(yes, looking ? verb : title);
  yes.classList.toggle("danger", job.verb === "rm");
  say(dialog.querySelector(".no"), anything ? "Cancel" : "Close");
  return decided(dialog, anything ? yes : dialog.querySelector(".no"));
}

const link = ({ actor, filename }) => make("a", { href: `/actors/${encodeURIComponent(actor)}?image=${encodeURIComponent(filename)}` }, filename);

const known = (problem) => `${problem.actor}/${problem.filename}/${problem.code}`;

function decided(dialog, focused) {
  return new Promise((resolve) => {
    const yes = dialog.querySelector(".yes");
    dialog.returnValue = "";
    yes.onclick = () => dialog.close("yes");
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
    dialog.querySelector(".body").scrollTop = 0;
    focused.focus();
  });
}

function sums(actions) {
  const found = new Map();
  for (const action of actions) {
    const replaces = action.op === "upload" ? action.s3 : action.op === "download" ? action.local : null;
    const key = replaces ? `${action.op} replacing` : action.op;
    const sum = found.get(key) ?? { op: action.op, replaces, count: 0, bytes: 0 };
    sum.count += 1;
    sum.bytes += action.bytes;
    found.set(key, sum);
  }
  return [...found.values()].map((sum) => {
    const [sign, words] = OPS[sum.op] ?? ["·", sum.op];
    const what = sum.replaces ? `${words}, replacing what is there` : words;
    return make("li", {}, make("b", { "aria-hidden": "true" }, sign), make("span", {}, what), make("b", {}, number(sum.count)), make("span", { class: "amount" }, bytes(sum.bytes)));
  });
}

function consequence(verb, actions) {
  if (verb === "evict") return "The files are deleted here. S3 holds the same bytes, which is proven once more before each.";
  const replaces = actions.some((action) => (action.op === "upload" && action.s3) || (action.op === "download" && action.local));
  if (verb === "rm") return "They go from both sides into the trash. Undo brings them back.";
  if (replaces) return "What is replaced goes to the trash of its side. Undo brings it back.";
  return "Nothing is replaced. What has changed by then is left as it is, and told.";
}

/** Why there is nothing to do. */
function nothing(problems, refusals) {
  if (problems.length) return "What could not be looked at is left as it is.";
  return refusals.length ? "All of it is refused." : "Everything is as this would make it.";
}

function foreseen(summary) {
  const base = "A sync looks at both sides and brings the manifests up to date. It moves no image.";
  if (!summary) return base;
  const counts = ["synced", "local_only", "s3_only", "out_of_sync", "missing"].filter((name) => summary[name]).map((name) => `${number(summary[name])} ${statusOf(name).word}`);
  const changed = summary.manifests_updated;
  return `${base} It found ${plural(summary.images ?? 0, "image")}${counts.length ? `: ${counts.join(", ")}` : ""}${changed === undefined ? "" : `; ${plural(changed, "manifest")} would change`}.`;
}

function list(section, title, items, line) {
  section.hidden = !items.length;
  say(section.querySelector("h3"), title);
  const lines = items.slice(0, SHOWN).map(line);
  if (items.length > SHOWN) lines.push(make("li", { class: "muted" }, `and ${number(items.length - SHOWN)} more`));
  section.querySelector("ul").replaceChildren(...lines);
}
