// The server's events. A lost connection is told, and mended.

import { byId, say } from "./format.js";

const TRY_EVERY_MS = 2000;
const TOLD_AFTER_MS = 1500;

export class Live extends EventTarget {
  /** Events: `actor`, `job` and `problem` with `detail`, and `reload` when everything is to be loaded anew. */
  constructor() {
    super();
    this.state("connecting", "Connecting");
    if (!document.hidden) this.connect();
    addEventListener("pagehide", () => this.source?.close());
    addEventListener("pageshow", (event) => event.persisted && this.connect());
    addEventListener("offline", () => this.lose());
    document.addEventListener("visibilitychange", () => (document.hidden ? this.source?.close() : this.connect())); // a browser keeps six connections to a server, for all of its tabs
  }

  connect() {
    this.source?.close();
    const source = new EventSource("/api/events");
    this.source = source;
    source.addEventListener("hello", (event) => this.greet(JSON.parse(event.data)));
    source.addEventListener("reset", () => this.dispatchEvent(new Event("reload")));
    for (const kind of ["actor", "job", "problem"]) {
      source.addEventListener(kind, (event) => this.dispatchEvent(new CustomEvent(kind, { detail: JSON.parse(event.data) })));
    }
    source.addEventListener("error", () => this.lose());
  }

  greet({ watching }) {
    this.watching = watching;
    this.lost = false;
    clearTimeout(this.timer);
    byId("lost").hidden = true;
    this.state("on", watching ? "Live" : "Connected");
    byId("live").title = watching ? "Changes are shown as they happen" : "Changes on disk are seen when something asks: the server does not watch";
    this.dispatchEvent(new Event("reload")); // events are told from now on: whatever came before is asked for
  }

  /** The browser tries again by itself, but not after every failure; so the server is asked, too. */
  lose() {
    if (this.lost) return;
    this.lost = true;
    this.state("off", "Connection lost");
    this.timer = setTimeout(() => this.mend(), TOLD_AFTER_MS);
  }

  async mend() {
    if (!this.lost) return;
    const answer = await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(TRY_EVERY_MS) }).catch(() => null);
    if (!this.lost) return;
    if (answer?.ok && !document.hidden && this.source?.readyState !== EventSource.CONNECTING) this.connect();
    else {
      byId("lost").hidden = false;
      say(byId("lost"), "The connection to the server is lost. What is shown may be old; it is tried again.");
    }
    this.timer = setTimeout(() => this.mend(), TRY_EVERY_MS);
  }

  state(state, words) {
    byId("live").dataset.state = state;
    say(byId("live").querySelector(".words"), words);
  }
}
