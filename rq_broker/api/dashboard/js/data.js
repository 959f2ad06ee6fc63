// What the views read of the API, and when they read it anew.
import { useCallback, useEffect, useRef, useState } from "./dom.js";
import { get } from "./api.js";
import { isAway, pause, reach } from "./reach.js";

// Reads a resource, again after `reload()`, and every `every` ms where that is given: more rarely while it fails, and
// not while the page is hidden. What could not be read while the API was away is read once it answers.
// Returns { data, error, reload, etag }; the last data stays while it is read anew.
export function useResource(url, { every } = {}) {
  const [state, setState] = useState({ data: null, error: null });
  const [round, setRound] = useState(0);
  const shown = useRef(url);
  const failures = useRef(0);
  const reload = useCallback(() => setRound((n) => n + 1), []);
  useEffect(() => {
    if (!url) return undefined;
    if (shown.current !== url) { shown.current = url; setState({ data: null, error: null }); }
    const abort = new AbortController();
    const { signal } = abort;
    let timer = null;
    const again = () => reach.rest(signal).then(reload, () => {});
    get(url, { signal }).then(
      (answer) => {
        failures.current = 0;
        setState({ ...answer, error: null });
        if (every) timer = setTimeout(again, every);
      },
      (error) => {
        if (signal.aborted) return;
        failures.current += 1;
        setState((old) => ({ ...old, error }));
        if (reach.away && isAway(error)) again();
        else if (every) timer = setTimeout(again, pause(failures.current, every));
      },
    );
    return () => { abort.abort(); clearTimeout(timer); };
  }, [url, round, every]);
  return { ...state, reload };
}

// Does something every `ms`, not while the page is hidden or the API is away: what falls due then is done right after.
export function useEvery(ms, work, of = "") {
  const latest = useRef(work);
  latest.current = work;
  useEffect(() => {
    const abort = new AbortController();
    let timer = null;
    const later = () => { timer = setTimeout(() => reach.rest(abort.signal).then(() => { latest.current(); later(); }, () => {}), ms); };
    later();
    return () => { abort.abort(); clearTimeout(timer); };
  }, [ms, of]);
}

const REST_MS = 1000; // between two reads because something happened

// Reads anew soon after something happened, at most once a second; `events` is what useEvents returns.
export function useFresh(events, reload) {
  const { current: rest } = useRef({ timer: null, last: 0 });
  useEffect(() => {
    if (rest.timer !== null || (events && !events.length)) return;
    rest.timer = setTimeout(() => { rest.timer = null; rest.last = Date.now(); reload(); }, Math.max(0, rest.last + REST_MS - Date.now()));
  }, [events]);
  useEffect(() => () => clearTimeout(rest.timer), []);
}

// Sums what hosts have: resource → { total, used, held }. A client gets sums, that of all and those of aggregates: the first says it.
export function totals(hosts) {
  const sums = {};
  for (const host of hosts || []) {
    if (host.dropped || host.aggregate) continue;
    for (const [name, listed] of Object.entries(host.capacity)) {
      const total = Array.isArray(listed) ? listed.reduce((sum, each) => sum + each, 0) : listed;
      const sum = sums[name] ??= { total: 0, used: 0, held: 0 };
      sum.total += total;
      sum.used += amountOf(host.used[name]);
      sum.held += amountOf(host.held[name]);
    }
  }
  return sums;
}

export function amountOf(value) {
  return Array.isArray(value) ? value.reduce((sum, each) => sum + each, 0) : value || 0;
}
