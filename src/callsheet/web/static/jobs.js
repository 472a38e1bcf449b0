// Jobs of this page: the plan first, then progress with a cancel, then what came of it, with an undo.

import { cancelJob, get, postJob } from "./api.js";
import { bytes, clone, icon, make, number, plural, say } from "./format.js";
import { fail, tray } from "./notices.js";
import { confirmPlan, verbWords } from "./plan.js";
import { wordsOf } from "./problems.js";

const LOOKS = new Set(["sync", "verify"]);
const STEPS = new Set(["rm", "undo"]); // may take several steps for an image
const ENDED = new Set(["done", "cancelled", "failed", "interrupted"]);
const ASK_EVERY_MS = 1000;
const SHOWN = 500;

export class Jobs extends EventTarget {
  /** Tells `ended` with the job in `detail`. `undo` is where runs that can be taken back are put. */
  constructor(live, undo) {
    super();
    this.undo = undo;
    this.waiting = new Map();
    this.planning = new Set();
    this.answered = Promise.resolve(); // kept once the plan that is shown was answered
    live.addEventListener("job", ({ detail }) => this.waiting.get(detail.id)?.(detail));
  }

  /** Plans `request`, shows the plan, and carries it out if that is wanted. Gives the ended job, or null. A second click is no second proposal. */
  async propose(request) {
    const key = JSON.stringify(request);
    if (this.planning.has(key)) return null;
    this.planning.add(key);
    const planned = await this.plan(request).finally(() => this.planning.delete(key));
    if (!planned) return null;
    this.answered = this.answered.then(() => confirmPlan(planned)); // plans are shown one after another
    if (!(await this.answered)) return null;
    return this.run(LOOKS.has(request.verb) ? request : { plan_of: planned.id }, request.verb);
  }

  /** The dry run of `request`; null, and told, if it did not end well. */
  async plan(request) {
    const [, , doing] = verbWords(request.verb);
    const card = this.card(LOOKS.has(request.verb) ? "Looking at both sides" : `Planning: ${doing}`);
    try {
      const planned = await this.follow(await postJob({ ...request, dry_run: true }), card);
      if (planned.state === "failed" || planned.state === "interrupted") fail(told(planned));
      return planned.state === "done" ? planned : null;
    } catch (error) {
      fail(error);
      return null;
    } finally {
      card.remove();
    }
  }

  /** Carries out `request` at once. */
  async run(request, verb = request.verb) {
    const card = this.card(verbWords(verb)[2]);
    try {
      const job = await this.see(await postJob(request), card);
      if (job.run && verb !== "undo") this.undo.add(job.run);
      return job;
    } catch (error) {
      card.remove();
      fail(error);
      return null;
    }
  }

  /** Shows the jobs that wait or run already, about `actor` if one is named: of other windows, or of this one before it was loaded anew. */
  async join(actor = null) {
    const concerns = (job) => !job.dry_run && !this.waiting.has(job.id) && (!actor || !job.actors.length || job.actors.includes(actor));
    const lists = await Promise.all(["running", "queued"].map((state) => get(`/api/jobs?state=${state}`)));
    for (const job of lists.flatMap((list) => list.jobs).filter(concerns)) {
      const card = this.card(verbWords(job.verb)[2]);
      this.see(job, card).catch((error) => {
        card.remove();
        fail(error);
      });
    }
  }

  /** Follows a job to its end, and tells what came of it. */
  async see(begun, card) {
    const job = await this.follow(begun, card);
    if (STEPS.has(job.verb)) await complete(job);
    this.conclude(job, card);
    return job;
  }

  card(title) {
    const card = clone("t-job");
    say(card.querySelector(".title"), title);
    card.querySelector("progress").setAttribute("aria-label", title);
    card.querySelector(".shut").hidden = true;
    tray().append(card);
    return card;
  }

  /** Waits for a job's end, however long the server is away meanwhile, and shows how it goes on. */
  async follow(job, card) {
    const button = card.querySelector(".act");
    say(button, "Cancel");
    button.onclick = () => {
      button.disabled = true;
      cancelJob(job.id).catch((error) => error.code !== "job_ended" && fail(error));
    };
    const news = this.listen(job.id);
    progress(card, job);
    for (let event = null; ; event = await news.next()) {
      const known = event && !ENDED.has(event.state) ? event : await whole(job.id);
      if (known && ENDED.has(known.state)) {
        this.waiting.delete(job.id);
        return known;
      }
      if (known) progress(card, known);
    }
  }

  /** The events of a job from now on: `next()` gives the latest that was not given yet, or null if none comes for a while. */
  listen(id) {
    let latest = null;
    let wake = () => {};
    this.waiting.set(id, (job) => {
      latest = job;
      wake();
    });
    return {
      async next() {
        if (!latest) await new Promise((resolve) => (wake = resolve) && setTimeout(resolve, ASK_EVERY_MS));
        const given = latest;
        latest = null;
        return given;
      },
    };
  }

  conclude(job, card) {
    const { verb } = job;
    const [, done] = verbWords(verb);
    const { marked = 0 } = job.summary ?? {};
    const { count, failed } = counts(job);
    const parts = LOOKS.has(verb) ? [looked(job)] : [`${done} ${plural(count || marked, count || !marked ? "image" : "mark")}`];
    if (failed) parts.push(`${number(failed)} failed`);
    const title = job.state === "done" ? parts.join(", ") : job.state === "cancelled" ? `Cancelled: ${parts.join(", ")}` : told(job).message;
    say(card.querySelector(".title"), title);
    say(card.querySelector(".told"), job.error?.hint ?? "");
    card.classList.toggle("bad", failed > 0 || job.state === "failed" || job.state === "interrupted");
    card.querySelector("progress").hidden = true;
    const button = card.querySelector(".act");
    button.hidden = !job.run;
    button.disabled = false;
    button.replaceChildren(icon("undo"), "Undo");
    button.onclick = () => {
      card.remove();
      this.undo.take(job.run);
    };
    const shut = card.querySelector(".shut");
    shut.hidden = false;
    shut.addEventListener("click", () => card.remove());
    outcomes(card.querySelector(".outcomes"), job, failed > 0);
    if (!failed && job.state === "done") setTimeout(() => card.matches(":hover, :focus-within, :has([open])") || card.remove(), 12000);
    this.dispatchEvent(new CustomEvent("ended", { detail: job }));
  }
}

/** A job with its plan and outcomes from a place on; null if the server does not answer. */
async function whole(id, from = 0) {
  try {
    return await get(`/api/jobs/${encodeURIComponent(id)}?outcomes_from=${from}`);
  } catch (error) {
    if (error.code === "offline") return null;
    throw error;
  }
}

/** Asks for the outcomes that the first answer leaves out, so that they can be counted by image. */
async function complete(job) {
  while (job.outcomes.length < job.outcome_count) {
    const more = await whole(job.id, job.outcomes.length);
    if (!more?.outcomes.length) return;
    job.outcomes.push(...more.outcomes);
  }
}

/** What came of each image: of its steps, the one that failed. */
function byImage(job) {
  const found = new Map();
  for (const outcome of job.outcomes) {
    const key = `${outcome.actor}/${outcome.filename}`;
    if (!found.has(key) || outcome.outcome !== "done") found.set(key, outcome);
  }
  return [...found.values()];
}

/** How many images a job is done with, and how many failed. */
function counts(job) {
  if (job.outcome_count > job.outcomes.length) return { count: job.summary?.done ?? 0, failed: job.summary?.failed ?? 0 };
  const images = byImage(job);
  const count = images.filter((outcome) => outcome.outcome === "done").length;
  return { count, failed: images.length - count };
}

const told = (job) => job.error ?? { message: `The job is ${job.state}`, hint: "" };

function looked(job) {
  const { summary } = job;
  return summary ? `Looked at ${plural(summary.actors ?? 0, "actor")}, ${plural(summary.images ?? 0, "image")}` : "Looked at both sides";
}

function progress(card, job) {
  const bar = card.querySelector("progress");
  const { moved, looked } = job;
  const moving = job.phase === "moving" && moved?.actions_total;
  const total = moving ? moved.bytes_total || moved.actions_total : looked?.actors_total;
  const part = moving ? (moved.bytes_total ? moved.bytes_done : moved.actions_done) : looked?.actors_done;
  if (total) bar.value = part / total;
  else bar.removeAttribute("value");
  let text = job.state === "queued" ? "waiting for another job" : "";
  if (moving) text = `${number(moved.actions_done)} of ${number(moved.actions_total)}${STEPS.has(job.verb) ? " steps" : ""}, ${bytes(moved.bytes_done)} of ${bytes(moved.bytes_total)}`;
  else if (total && job.state === "running") text = `${number(part)} of ${plural(total, "actor")}`;
  say(card.querySelector(".told"), text);
}

function outcomes(details, job, open) {
  const problems = job.problems.filter((problem) => !job.outcomes.some((outcome) => outcome.filename === problem.filename && outcome.code === problem.code));
  const lines = [
    ...byImage(job).map((outcome) => [outcome.outcome === "done", outcome.filename, wordsOf(outcome, job.prefer) ?? ""]),
    ...problems.map((problem) => [false, problem.filename || problem.actor, wordsOf(problem, job.prefer)]),
  ].sort((one, other) => one[0] - other[0]);
  const more = Math.max(0, job.outcome_count - job.outcomes.length) + Math.max(0, lines.length - SHOWN);
  details.hidden = !lines.length;
  details.open = open;
  say(details.querySelector("summary"), problems.length && !job.outcomes.length ? plural(problems.length, "problem") : "What came of each image");
  details.querySelector("ul").replaceChildren(...lines.slice(0, SHOWN).map(([done, name, message]) =>
    make("li", {}, make("b", { "aria-label": done ? "done" : "failed" }, done ? "✓" : "✗"), make("span", {}, name, message ? make("span", { class: "why" }, message) : null))), more ? make("li", { class: "muted" }, `and ${number(more)} more`) : "");
}
