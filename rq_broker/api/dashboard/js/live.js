// Live updates: one stream of the API's events for the page, of all types, told four times a second, and whether it flows.
// It is read by fetch: an EventSource hides pings, statuses and the events whose names it was not told.
import { useCallback, useEffect, useMemo, useRef, useState } from "./dom.js";
import { readSession, signedIn } from "./api.js";
import { isAway, pause, reach } from "./reach.js";
import { sleep } from "./waits.js";

const BATCH_MS = 250; // between two renders
const MOST = 1000; // events that wait for a render: where there are more, everything is read anew
const LOST_MS = 3000; // until a lost stream is told
const AWAY_MS = 10000; // until what changes something is not offered any more
const QUIET_MS = 40000; // without a byte, where the API sends one every 15 s: the connection is dead

// Reads the events of one answer: calls `onEvent` with the name, the data and the id of each. The first block may
// be an id alone, which is where the stream begins: it has no data.
async function read(body, onEvent, onBytes) {
  let text = "";
  const decoder = new TextDecoder();
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    onBytes();
    const blocks = (text + decoder.decode(value, { stream: true }).replaceAll("\r", "")).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = {};
      for (const line of block.split("\n")) {
        const colon = line.indexOf(":");
        if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, "");
      }
      onEvent(fields.event, fields.data && JSON.parse(fields.data), fields.id);
    }
  }
}

// Follows the stream until it is closed, and comes back with the id of the last event after a break.
class Follower {
  constructor({ tell, flows }) {
    Object.assign(this, { tell, flows, type: "", tooMany: false, last: "", pending: [], timer: null, abort: null });
  }

  // What is shown: the events of one type, or of all. One connection serves every view, so this opens none,
  // unless there are more types than one stream has: then it is of the shown type only.
  shows(type = "") {
    const isOther = type !== this.type;
    this.type = type;
    if (!isOther || !this.tooMany) return;
    this.last = "";
    if (this.abort) { this.close(); this.open(); }
  }

  open() {
    if (this.abort) return;
    this.abort = new AbortController();
    this.follow(this.abort.signal);
  }

  close() {
    this.abort?.abort();
    this.abort = null;
    clearTimeout(this.timer);
    this.timer = null;
  }

  async follow(signal) {
    for (let failures = 0; !signal.aborted;) {
      await reach.rest(signal).catch(() => {});
      if (signal.aborted || (this.tooMany && !this.type)) return; // too many: the views read anew by themselves
      const ended = await this.once(signal, () => { failures = 0; reach.answered(); this.flows(true); }).catch((error) => error);
      if (signal.aborted) return;
      if (ended === 400 && (this.last || !this.tooMany)) { // it answers: either this id is of no use, or there are too many types
        if (!this.last) this.tooMany = true;
        this.last = "";
        continue;
      }
      this.flows(false);
      if (ended === 401) { // the sign-in is shown by then
        await readSession().catch(() => {});
        await signedIn(signal).catch(() => {});
      } else {
        failures += 1;
        await this.wait(ended, failures, signal);
      }
    }
  }

  // Waits after a break, where the API answers: it is the stream alone that failed then, and so often in a row.
  async wait(ended, failures, signal) {
    if (ended && isAway(ended)) reach.failed();
    const answers = await reach.tried(signal).catch(() => false);
    if (answers) await sleep(pause(failures));
  }

  // Reads until the stream breaks; returns the status of a refusal.
  async once(signal, onOpen) {
    const dead = new AbortController();
    let alarm = null;
    const alive = () => { clearTimeout(alarm); alarm = setTimeout(() => dead.abort(), QUIET_MS); };
    alive();
    try {
      const headers = { Accept: "text/event-stream", ...(this.last && { "Last-Event-ID": this.last }) };
      const url = this.tooMany ? `events?${new URLSearchParams({ type: this.type })}` : "events";
      const answer = await fetch(url, { headers, cache: "no-store", signal: AbortSignal.any([signal, dead.signal]) });
      if (!answer.ok) return answer.status;
      onOpen();
      // What happened between the first read of the view and now has no id to come back with.
      // It is told at once, so that the events of the next batch are not lost in it.
      if (!this.last) this.tell(null);
      await read(answer.body, (name, event, id) => this.gather(name, event, id), alive);
      return null;
    } finally { clearTimeout(alarm); dead.abort(); }
  }

  gather(name, event, id) {
    this.last = id || this.last;
    if (!event || (this.type && event.type !== this.type)) return;
    if (name === "lost" && event.reason !== "slow") { this.miss(); return; }
    if (name === "lost") return; // it ends, and goes on with nothing missing
    if (this.pending) this.pending.push(event);
    if (this.pending?.length > MOST) this.pending = null;
    this.timer ??= setTimeout(() => this.flush(), BATCH_MS);
  }

  miss() {
    this.pending = null;
    this.timer ??= setTimeout(() => this.flush(), BATCH_MS);
  }

  flush() {
    this.timer = null;
    const events = this.pending;
    this.pending = [];
    this.tell(events);
  }
}

// Keeps what is told until it is rendered. A batch is new events, or null where some may be missing.
function useBatches() {
  const [, redraw] = useState(0);
  const { current: kept } = useRef({ waiting: [], shown: [] });
  if (kept.waiting === null && kept.shown === null) kept.shown = []; // so that a second null is a change
  else if (kept.waiting === null || kept.waiting.length) { kept.shown = kept.waiting; kept.waiting = []; }
  useEffect(() => { if (kept.waiting === null) redraw((n) => n + 1); });
  const tell = useCallback((events) => {
    kept.waiting = events && kept.waiting && [...kept.waiting, ...events];
    redraw((n) => n + 1);
  }, []);
  return [kept.shown, tell];
}

// Follows what happens, in one type or, without one, in all. It rests while the tab is hidden.
// Returns the newest batch, and whether the stream flows.
export function useEvents(type) {
  const [flows, setFlows] = useState(true);
  const [batch, tell] = useBatches();
  const { current: kept } = useRef({});
  kept.follower ??= new Follower({ tell, flows: setFlows });
  useEffect(() => kept.follower.shows(type), [type]);
  useEffect(() => {
    const { follower } = kept;
    const turn = () => { if (document.hidden) { follower.close(); setFlows(true); } else follower.open(); };
    turn();
    document.addEventListener("visibilitychange", turn);
    return () => { document.removeEventListener("visibilitychange", turn); follower.close(); };
  }, []);
  const shown = useMemo(() => (batch && type ? batch.filter((event) => event.type === type) : batch), [batch, type]);
  return [shown, flows];
}

// Whether the API is away, and when it is tried next.
export function useReach() {
  const [, redraw] = useState(0);
  useEffect(() => {
    const changed = () => redraw((n) => n + 1);
    reach.addEventListener("change", changed);
    return () => reach.removeEventListener("change", changed);
  }, []);
  return reach;
}

// Since when the API is not reached: null, or { since, away } once that is told. `away`: nothing is offered.
export function useLost(flows) {
  const [lost, setLost] = useState(null);
  useEffect(() => {
    if (flows) { setLost(null); return undefined; }
    const since = Date.now();
    const timers = [setTimeout(() => setLost({ since, away: false }), LOST_MS), setTimeout(() => setLost({ since, away: true }), AWAY_MS)];
    return () => timers.forEach(clearTimeout);
  }, [flows]);
  return lost;
}

// Ticks: renders anew each second, for what counts time.
export function useTick(ms = 1000) {
  const [, set] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => { if (!document.hidden) set((n) => n + 1); }, ms);
    return () => clearInterval(timer);
  }, [ms]);
}
