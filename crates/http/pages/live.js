// The live numbers: one stream of events per tab, closed while nobody looks, opened again by itself. Keeps
// what the charts show, and no more.

import { address } from "./api.js";

/** Samples kept: ten minutes, one a second. */
export const SAMPLES = 600;
/** Without an event for so long the numbers are old, in milliseconds. */
const STALE = 5_000;
/** A tab that is hidden for so long lets go of its stream. */
const HIDDEN = 60_000;
/** Between tries to open it again. */
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 30_000;

export class Live {
  /** The last overview, or null. */
  last = null;
  /** When it came. */
  at = 0;
  /** "connecting", "live", "lost" */
  state = "connecting";
  /** For the charts: {time, in, out, connections}, or null where some are missing. */
  samples = [];
  #listeners = new Set();
  #source = null;
  #wait = FIRST_WAIT;
  #retry = 0;
  #hide = 0;

  constructor() {
    document.addEventListener("visibilitychange", () => this.#look());
    addEventListener("pagehide", () => this.#close());
    addEventListener("pageshow", (event) => event.persisted && this.#open());
    setInterval(() => this.#check(), 1_000);
    this.#open();
  }

  /** Calls `listener` after each event and each change of the state, until `signal`. */
  listen(listener, signal) {
    this.#listeners.add(listener);
    signal?.addEventListener("abort", () => this.#listeners.delete(listener), { once: true });
    if (this.last) listener(this);
  }

  /** Tries again at once. */
  retryNow() {
    this.#wait = FIRST_WAIT;
    this.#open();
  }

  #open() {
    this.#close();
    const source = new EventSource(address("api/live/events"));
    this.#source = source;
    source.addEventListener("overview", (event) => this.#take(event.data));
    source.addEventListener("error", () => this.#failed());
  }

  #close() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
  }

  #failed() {
    this.#close();
    if (this.state === "live" || !this.last) this.#turn("lost");
    const jitter = 0.75 + Math.random() / 2;
    this.#retry = setTimeout(() => this.#open(), this.#wait * jitter);
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
  }

  #take(data) {
    let overview;
    try { overview = JSON.parse(data); } catch { return; }
    this.#sample(overview);
    this.last = overview;
    this.at = Date.now();
    this.#wait = FIRST_WAIT;
    this.state = "live";
    this.#tell();
  }

  #sample(now) {
    const before = this.last;
    const seconds = before ? (now.now - before.now) / 1000 : 0;
    if (!before || now.startedAt !== before.startedAt || seconds > 10) {
      if (this.samples.length > 0) this.#push(null);
      return;
    }
    if (seconds <= 0) return;
    this.#push({
      time: now.now,
      in: Math.max(0, now.trafficIn - before.trafficIn) / seconds,
      out: Math.max(0, now.trafficOut - before.trafficOut) / seconds,
      connections: now.connections,
    });
  }

  #push(sample) {
    this.samples.push(sample);
    if (this.samples.length > SAMPLES) this.samples.splice(0, this.samples.length - SAMPLES);
  }

  #check() {
    if (this.state === "live" && this.#source && Date.now() - this.at > STALE) this.#turn("lost");
  }

  #look() {
    clearTimeout(this.#hide);
    if (document.hidden) this.#hide = setTimeout(() => this.#close(), HIDDEN);
    else if (!this.#source) this.retryNow();
  }

  #turn(state) {
    this.state = state;
    this.#tell();
  }

  #tell() {
    for (const listener of [...this.#listeners]) listener(this);
  }
}
