// What this page did and can take back, the last first.

import { tell } from "./notices.js";

export class Undo {
  constructor() {
    this.runs = [];
    this.busy = false;
  }

  /** `start(request)` carries out an undo and gives its job. */
  by(start) {
    this.start = start;
  }

  /** `what` says what was done, as in "Pushed". */
  add(run, what) {
    this.runs = [...this.runs.filter((known) => known.run !== run), { run, what }];
  }

  /** Takes a run back: the last one unless named. */
  async take(run = this.runs.at(-1)?.run) {
    if (this.busy) return;
    if (!run) {
      tell("There is nothing to undo on this page");
      return;
    }
    this.busy = true;
    const job = await this.start({ verb: "undo", run });
    if (job?.state === "done") this.runs = this.runs.filter((known) => known.run !== run);
    this.busy = false;
  }
}
