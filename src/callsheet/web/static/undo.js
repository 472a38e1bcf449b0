// What this page did and can take back, the last first.

import { tell } from "./notices.js";

export class Undo {
  constructor() {
    this.runs = [];
    this.settling = null; // what was done, but is not recorded yet
    this.busy = false;
  }

  /** `start(request)` carries out an undo and gives its job. */
  by(start) {
    this.start = start;
  }

  /** A run can be taken back. */
  add(run) {
    this.runs = [...this.runs.filter((known) => known !== run), run];
  }

  /** What was done is a run once `promise` is kept: to take it back waits for that. */
  expect(promise) {
    this.settling = Promise.allSettled([this.settling, promise]);
  }

  /** Takes a run back: the last one unless named. One at a time. */
  async take(named) {
    if (this.busy) return;
    this.busy = true;
    try {
      await this.settling;
      const run = named ?? this.runs.at(-1);
      if (run) await this.back(run);
      else tell("There is nothing to undo on this page");
    } finally {
      this.busy = false;
    }
  }

  async back(run) {
    const job = await this.start({ verb: "undo", run });
    if (job?.state === "done") this.runs = this.runs.filter((known) => known !== run);
  }
}
