// Which rows of a very long list are in sight. The page scrolls natively; rows are placed by their number.
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "../dom.js";

const TALLEST = 8_000_000; // px of one element: Chromium clips at 33.5 million, Firefox shows 17.8, older WebKit less
const REST_MS = 150; // without scrolling, until the scroll bar is put where it belongs

const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

// The height of a row in px. The style sheet has the same numbers.
export function rowHeight(compact) {
  if (matchMedia("(max-width: 900px)").matches) return 5.5 * rem();
  return (compact ? 2.125 : 3) * rem();
}

// A list taller than TALLEST is squeezed: dragging the scroll bar goes by share, wheel and keys go by pixels.
// `at` is how far the list is scrolled in unsqueezed px; `top(index)` places a row.
export function useWindow(box, count, height) {
  const whole = count * height;
  const tall = Math.min(TALLEST, whole);
  const [, redraw] = useState(0);
  const state = useRef({ at: 0, real: 0 });
  const now = useRef({});
  now.current = { whole, tall, height };

  const seen = () => window.innerHeight;
  const squeeze = () => {
    const { whole: all, tall: shown } = now.current;
    return all > shown ? (all - seen()) / (shown - seen()) : 1;
  };

  const measure = useCallback(() => {
    if (!box.current) return;
    const s = state.current;
    const real = Math.max(0, Math.min(now.current.tall, -box.current.getBoundingClientRect().top));
    const scale = squeeze();
    const step = real - s.real;
    const beyond = real - (now.current.tall - seen()); // what stands below the list is in sight
    if (scale === 1) s.at = real;
    else if (beyond > 0) s.at = now.current.whole - seen() + beyond;
    else if (Math.abs(step) < seen()) s.at += step;
    else s.at = real * scale;
    s.real = real;
    s.at = Math.max(0, Math.min(s.at, Math.max(0, now.current.whole - 1)));
    redraw((n) => n + 1);
  }, []);

  // Scrolls so that the list stands at `at` px, without changing how what stands above it is scrolled.
  const place = useCallback((at) => {
    const s = state.current;
    s.at = Math.max(0, Math.min(at, Math.max(0, now.current.whole - 1)));
    const target = s.at / squeeze();
    const before = -box.current.getBoundingClientRect().top;
    s.real = Math.max(0, target);
    if (target > 0 || before > 0) window.scrollBy(0, target - before);
    s.real = Math.max(0, -box.current.getBoundingClientRect().top);
    redraw((n) => n + 1);
  }, []);

  useLayoutEffect(() => { measure(); }, [count, height]);
  useEffect(() => {
    let rest = null;
    function settle() {
      measure(); // on a slow machine the page may have been scrolled since, and its event not be here yet
      if (state.current.at > 0) place(state.current.at);
    }
    function scrolled() {
      measure();
      clearTimeout(rest);
      if (squeeze() !== 1) rest = setTimeout(settle, REST_MS);
    }
    window.addEventListener("scroll", scrolled, { passive: true });
    window.addEventListener("resize", measure);
    return () => {
      clearTimeout(rest);
      window.removeEventListener("scroll", scrolled);
      window.removeEventListener("resize", measure);
    };
  }, []);

  const { at, real } = state.current;
  const first = Math.min(Math.floor(at / height), Math.max(0, count - 1));
  const last = Math.min(count - 1, Math.ceil((at + seen()) / height));
  return {
    tall, first, last,
    at: () => state.current.at,
    top: (index) => real + index * height - at,
    // The place below a point of the screen.
    indexAt: (y) => Math.floor((y - box.current.getBoundingClientRect().top - state.current.real + state.current.at) / now.current.height),
    place,
    // Brings a row into sight, below what sticks to the top.
    reveal(index, margin = 2) {
      const { at: from } = state.current;
      const y = index * height;
      const rect = box.current.getBoundingClientRect();
      const above = Math.max(0, rect.top);
      if (y < from + (above ? 0 : margin * height)) place(Math.max(0, y - margin * height));
      else if (y + height > from + seen() - above - margin * height) place(y + height - seen() + above + margin * height);
    },
  };
}
