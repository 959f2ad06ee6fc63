// Whether the API answers. Where it does not, one request asks for the whole page, more and more rarely; what the page
// repeats by itself waits for that answer.
import { until } from "./waits.js";

const FIRST_MS = 500; // least wait after the first failure
const MOST_MS = 15000; // most wait between two tries
const ASK_MS = 10000; // without an answer, a try has failed
const AWAY = [502, 503, 504]; // statuses of an API without its Redis, and of a proxy without the API

// How long to wait after some failures in a row, ms: at first some `least`, then about twice as long each time. It is
// partly random, so that not all pages of an installation come back at once.
export function pause(failures, least = FIRST_MS) {
  const longest = Math.min(Math.max(MOST_MS, 2 * least), least * 2 ** failures);
  return longest * (0.5 + Math.random() / 2);
}

// Whether an error or a status says that the API is away, and nothing about the call itself.
export const isAway = (failed) => (failed instanceof Error ? !failed.status || AWAY.includes(failed.status) : AWAY.includes(failed));

async function answers() {
  try {
    const signal = AbortSignal.timeout(ASK_MS);
    const { status } = await fetch("v1/", { headers: { Accept: "application/json" }, credentials: "same-origin", cache: "no-store", signal });
    return !AWAY.includes(status);
  } catch { return false; }
}

// Tells "change" each time that something of it changes: a try begins or ends, the page is hidden or seen.
class Reach extends EventTarget {
  away = false;
  next = null; // when the API is tried next, ms since 1970; null while it answers, and during a try
  #failures = 0;
  #timer = null;
  #trying = null; // what a try has found, once it ends

  constructor() {
    super();
    window.addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.retry(); this.#tell(); });
  }

  // A call of the page had no answer. One try finds out whether that is so of all calls.
  failed() { if (!this.away) this.#try(); }

  // A call of the page has an answer.
  answered() { if (this.away) this.#settle(true); }

  // Tries at once, if the API is away: somebody asks, or there is reason to hope.
  retry() { if (this.away) this.#try(); }

  // Whether the API answers, by the try that runs or the next one.
  async tried(signal) {
    if (this.#trying) return this.#trying;
    await until(this, () => !this.away || this.#trying, signal);
    return this.#trying || true;
  }

  // Waits until the page is seen and the API answers. Rejects where the signal aborts.
  rest(signal) { return until(this, () => !this.away && !document.hidden, signal); }

  #try() {
    clearTimeout(this.#timer);
    this.next = null;
    this.#trying ??= answers().then((found) => { this.#trying = null; this.#settle(found); return found; });
    this.#tell();
  }

  #settle(found) {
    clearTimeout(this.#timer);
    this.away = !found;
    this.#failures = found ? 0 : this.#failures + 1;
    this.next = null;
    if (!found) {
      const wait = pause(this.#failures);
      this.next = Date.now() + wait;
      this.#timer = setTimeout(() => { if (!document.hidden) this.#try(); }, wait);
    }
    this.#tell();
  }

  #tell() { this.dispatchEvent(new Event("change")); }
}

export const reach = new Reach();
