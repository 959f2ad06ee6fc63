// Lifting a row and carrying it to another place: by pointer from its grip, by keyboard with Space.
import { useEffect, useRef, useState } from "../dom.js";

const FAR = 6; // px of movement that lift a row
const HOLD_MS = 300; // of touch that lift it
const EDGE = 64; // px from the edge of the window within which the list scrolls by itself

// `lifted` is { job, from, to, y } while a row is carried; `y` only by pointer. `onDrop` gets it at its new place.
export function useLift({ count, view, onDrop, onMoved }) {
  const [lifted, setLifted] = useState(null);
  const latest = useRef({});
  latest.current = { count, view, onDrop, onMoved };
  const carried = useRef(null);
  const digits = useRef("");
  const stop = useRef(null);

  function set(next) {
    carried.current = next;
    setLifted(next);
    if (next) latest.current.onMoved(next);
  }

  useEffect(() => () => stop.current?.(), []);

  const inside = (place) => Math.min(latest.current.count - 1, Math.max(0, place));

  function drop() {
    const done = carried.current;
    set(null);
    if (done && done.to !== done.from) latest.current.onDrop(done);
  }

  function grip(event, index, job) {
    if (event.button !== 0) return;
    event.preventDefault();
    const { clientY: start, pointerId, pointerType, currentTarget: handle } = event;
    let y = start;
    let frame = null;
    handle.setPointerCapture?.(pointerId);
    const carry = () => {
      const place = inside(latest.current.view.indexAt(y));
      set({ job, from: index, to: place, y });
    };
    // The list scrolls while the pointer is near an edge, faster further out.
    const roll = () => {
      const out = y < EDGE ? y - EDGE : Math.max(0, y - (window.innerHeight - EDGE));
      if (out) { window.scrollBy(0, out / 4); carry(); }
      frame = requestAnimationFrame(roll);
    };
    const lift = () => { carry(); frame ??= requestAnimationFrame(roll); };
    const timer = pointerType === "touch" ? setTimeout(lift, HOLD_MS) : null;
    const moved = (next) => {
      y = next.clientY;
      if (carried.current) carry();
      else if (!timer && Math.abs(y - start) >= FAR) lift();
    };
    const end = () => {
      clearTimeout(timer);
      cancelAnimationFrame(frame);
      for (const [name, listener] of listeners) document.removeEventListener(name, listener, true);
      stop.current = null;
    };
    const escaped = (next) => { if (next.key === "Escape") { next.preventDefault(); next.stopPropagation(); end(); set(null); } };
    const listeners = [["pointermove", moved], ["pointerup", () => { end(); drop(); }], ["pointercancel", () => { end(); set(null); }], ["keydown", escaped]];
    for (const [name, listener] of listeners) document.addEventListener(name, listener, true);
    stop.current = end;
  }

  function lift(index, job) {
    digits.current = "";
    set({ job, from: index, to: index });
  }

  // A key while a row is lifted. Returns whether it was one of ours.
  function key(event) {
    const now = carried.current;
    const step = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
    if (step !== undefined) {
      digits.current = "";
      set({ ...now, to: inside(now.to + step) });
    } else if (/^\d$/.test(event.key)) {
      digits.current = (digits.current + event.key).slice(-9);
      set({ ...now, to: inside(Number(digits.current) - 1) });
    } else if (event.key === " " || event.key === "Enter") drop();
    else if (event.key === "Escape") set(null);
    else return event.key !== "Tab";
    return true;
  }

  return { lifted, grip, lift, key, cancel: () => set(null) };
}
