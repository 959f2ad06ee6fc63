// What happens to the line while it is shown: it is read anew, without a jump, and not while a person points at it.
import { useEffect, useRef, useState } from "../dom.js";
import { pause, reach } from "../reach.js";

const REST_MS = 1000; // between two times that the rows are read anew
const GONE_MS = 4000; // for which a row that left stays
const UNTOLD_MS = 500; // for which a row that left waits for its event: it may be in the next batch
const UNREAD_MS = 2000; // after which rows are read anew that no plan has looked at yet; twice as long each time
const DRIFT_MS = 15000; // after which forecasts and reasons are read anew though nothing happened
const MARGIN = 10; // rows read beyond those in sight

const ORDERS = new Set(["job.queued", "job.granted", "job.running", "job.done", "job.error", "job.deleted", "job.reordered"]);

// Returns { waiting, above, gone, now }: changes that wait, changes above the view, jobs that left, and what shows them at once.
export function useLive({ source, events, held, view, onRead }) {
  const [, redraw] = useState(0);
  const state = useRef({ waiting: 0, above: 0, gone: new Map(), busy: false, timer: null, last: 0, until: 0, untold: false, tries: 0, failures: 0 }).current;
  const latest = useRef({});
  latest.current = { source, held, view, onRead };

  async function apply(asked = false) {
    const { source: shown, view: { first, last } } = latest.current;
    if (state.busy || (latest.current.held && !asked)) return;
    state.busy = true;
    const counted = state.waiting;
    try {
      const fresh = await shown.fresh(Math.max(0, first - MARGIN), last + MARGIN);
      const waits = !asked && (latest.current.held || leavesSoon(shown, fresh));
      if (shown === latest.current.source && !waits) {
        const moved = shift(shown, fresh);
        shown.show(fresh);
        const { view: now } = latest.current;
        if (moved) { state.above += Math.abs(moved); now.place(now.at() + moved * now.height); }
        state.waiting -= counted;
        state.gone.clear();
        state.until = 0;
        state.untold = false;
        state.tries = isUnread() ? state.tries + 1 : 0;
        state.failures = 0;
        latest.current.onRead();
      }
    } catch { state.failures += 1; } // the rows stay as they are; the lost connection is told elsewhere
    state.last = Date.now();
    state.busy = false;
    redraw((n) => n + 1);
    plan();
  }

  // Whether what was read lacks a row in sight that has to stay: one that is told as gone since the reading began, or
  // that left so recently that its event is still to come. That is waited for once.
  function leavesSoon(shown, fresh) {
    if (state.until > Date.now()) return true;
    if (state.untold) return false;
    const { view: { first, last } } = latest.current;
    for (let index = first; index <= last; index += 1) {
      const job = shown.row(index);
      if (job && !job.other && !state.gone.has(job.RequestID) && shown.find(fresh, job.RequestID) < 0) {
        state.untold = true;
        return true;
      }
    }
    return false;
  }

  // By how many places the first row in full sight, or the next one that is still there, has moved.
  function shift(shown, fresh) {
    const { view: { at, height, last } } = latest.current;
    const top = Math.ceil(at() / height);
    if (top === 0) return 0; // who looks at the front sees the front
    for (let index = top; index <= last; index += 1) {
      const job = shown.row(index);
      const found = job ? shown.find(fresh, job.RequestID) : -1;
      if (found >= 0) return found - index;
    }
    return 0;
  }

  function plan() {
    clearTimeout(state.timer);
    if (document.hidden || reach.away || latest.current.held) return;
    const rest = isUnread() ? Math.min(DRIFT_MS, UNREAD_MS * 2 ** state.tries) : DRIFT_MS;
    const soon = state.failures ? pause(state.failures, REST_MS) : state.untold ? UNTOLD_MS : REST_MS;
    const due = state.untold || state.waiting > 0 ? Math.max(state.last + soon, state.until) : state.last + rest;
    state.timer = setTimeout(apply, Math.max(0, due - Date.now()));
  }

  useEffect(() => {
    if (events !== null && !events.length) return;
    if (events === null) state.waiting += 1;
    for (const event of events || []) {
      if (ORDERS.has(event.event) && (event.from !== event.to || event.event === "job.reordered")) {
        state.waiting += 1;
        if (event.from === "queued" && event.to !== "queued" && inSight(event.request_id)) {
          state.gone.set(event.request_id, event.to || "deleted");
          if (!state.until) state.until = Date.now() + GONE_MS;
        }
      }
    }
    redraw((n) => n + 1);
    plan();
  }, [events]);

  // Whether the first row in sight waits without a reason: the API had no plan yet when it answered.
  function isUnread() {
    const { source: shown, view: { first } } = latest.current;
    const job = shown.row(Math.max(0, first));
    return job?.Status === "queued" && !job.other && !job.Why;
  }

  function inSight(name) {
    const { source: shown, view: { first, last } } = latest.current;
    for (let index = first; index <= last; index += 1) if (shown.row(index)?.RequestID === name) return true;
    return false;
  }

  useEffect(() => { if (!held) state.until = 0; plan(); }, [held]);
  useEffect(() => { state.waiting = 0; state.above = 0; state.gone.clear(); state.last = Date.now(); plan(); }, [source]);
  useEffect(() => {
    reach.addEventListener("change", plan);
    return () => { reach.removeEventListener("change", plan); clearTimeout(state.timer); };
  }, []);
  return {
    waiting: state.waiting, above: state.above, gone: state.gone,
    now: () => apply(true),
    seen: () => { state.above = 0; redraw((n) => n + 1); },
  };
}
