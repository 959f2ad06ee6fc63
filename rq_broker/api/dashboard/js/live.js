// Live updates: the events of one type, gathered and told four times a second.
import { useEffect, useRef, useState } from "./dom.js";
import { path } from "./api.js";

const BATCH_MS = 250;
const LOST_MS = 3000; // until a lost stream is told

// Calls `onEvents` with the events of a type since the last call; with null where some were missed.
// Returns since when the stream is lost, null while it is not.
export function useEvents(type, onEvents) {
  const [lostSince, setLostSince] = useState(null);
  const handler = useRef(onEvents);
  handler.current = onEvents;
  useEffect(() => {
    if (!type) return undefined;
    let source = null;
    let last = "";
    let pending = [];
    let timer = null;
    let alarm = null;

    function tell() {
      timer = null;
      const events = pending;
      pending = [];
      handler.current(events);
    }

    function gather(event) {
      last = event.lastEventId || last;
      if (event.type === "lost") { pending = []; handler.current(null); return; }
      pending.push(JSON.parse(event.data));
      timer ??= setTimeout(tell, BATCH_MS);
    }

    function open() {
      const query = last ? `?last_event_id=${encodeURIComponent(last)}` : "";
      source = new EventSource(`types/${path(type)}/events${query}`);
      source.addEventListener("open", () => { clearTimeout(alarm); alarm = null; setLostSince(null); });
      source.addEventListener("error", () => {
        const since = Date.now();
        alarm ??= setTimeout(() => setLostSince(since), LOST_MS);
        if (source.readyState === EventSource.CLOSED) { clearTimeout(retry); retry = setTimeout(open, LOST_MS); }
      });
      for (const name of NAMES) source.addEventListener(name, gather);
    }

    let retry = null;
    function shown() {
      if (document.hidden) { source?.close(); source = null; } else if (!source) open();
    }

    shown();
    document.addEventListener("visibilitychange", shown);
    return () => {
      document.removeEventListener("visibilitychange", shown);
      for (const each of [timer, alarm, retry]) clearTimeout(each);
      source?.close();
    };
  }, [type]);
  return lostSince;
}

const NAMES = ["lost", "message", "job.queued", "job.beside", "job.granted", "job.running", "job.done", "job.error",
  "job.withdrawn", "job.moved", "job.expiring"];

// Ticks: renders anew each second, for what counts time.
export function useTick(ms = 1000) {
  const [, set] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => { if (!document.hidden) set((n) => n + 1); }, ms);
    return () => clearInterval(timer);
  }, [ms]);
}
