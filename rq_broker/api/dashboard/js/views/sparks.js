// Small charts of the last 24 hours. They are drawn only from what the API kept, so a reload shows the same.
import { html, useEffect, useState } from "../dom.js";
import { clock, get, may, path } from "../api.js";
import { useEvery } from "../data.js";

const [WIDTH, HEIGHT] = [72, 22];
const HOURS = 24;
const MOST = 12; // types whose charts are read
const READ_MS = 180000; // between two reads of them

// A line with its last value as a dot.
export function Spark({ values, label }) {
  const most = Math.max(1, ...values);
  const x = (n) => (3 + ((WIDTH - 6) * n) / Math.max(1, values.length - 1)).toFixed(1);
  const y = (value) => (HEIGHT - 3 - ((HEIGHT - 6) * value) / most).toFixed(1);
  const points = values.map((value, n) => `${x(n)},${y(value)}`);
  const last = values.length - 1;
  return html`<svg class="spark" width=${WIDTH} height=${HEIGHT} role="img" aria-label=${label}>
    <polygon class="ar" points=${[`3,${HEIGHT}`, ...points, `${x(last)},${HEIGHT}`].join(" ")} />
    <polyline class="ln" points=${points.join(" ")} /><circle class="end" cx=${x(last)} cy=${y(values[last])} r="2" /></svg>`;
}

// One bar an hour; the last is the newest whole hour.
export function Bars({ values, label }) {
  const most = Math.max(1, ...values);
  const step = 64 / values.length;
  return html`<svg class="spark" width="64" height=${HEIGHT} role="img" aria-label=${label}>${values.map((value, n) => {
    const tall = Math.max(1, (HEIGHT * value) / most);
    return html`<rect class=${n === values.length - 1 ? "bar now" : "bar"} x=${(n * step).toFixed(1)} y=${(HEIGHT - tall).toFixed(1)} width=${(step - 0.8).toFixed(1)} height=${tall.toFixed(1)} />`;
  })}</svg>`;
}

// One value for each of the last hours; an hour of which nothing is known counts as none.
function historyOf({ steps }) {
  const now = Math.floor(clock.now() / 3600000) * 3600;
  const byStart = new Map(steps.map((step) => [step.start, step]));
  const hours = Array.from({ length: HOURS }, (_, n) => byStart.get(now - 3600 * (HOURS - 1 - n)));
  if (!hours.some(Boolean)) return null;
  const granted = hours.map((step) => step?.total.granted || 0);
  const gone = Math.min(1, (clock.now() / 1000 - now) / 3600);
  // Grants of the last 60 minutes: those of this hour, and of the part of the one before that is still within.
  const rate = Math.round(granted[HOURS - 1] + granted[HOURS - 2] * (1 - gone));
  return { waiting: hours.map((step) => step?.waiting_jobs || 0), grants: granted, rate };
}

// Type → { waiting, grants, rate }: the hours that the report of the type kept, so a reload shows the same. Read for
// the first types of the page only, and every few minutes: the rows themselves are one call for all types.
export function useHistories(types) {
  const [histories, setHistories] = useState({});
  const [round, setRound] = useState(0);
  const read = may("report") ? types.slice(0, MOST) : [];
  useEffect(() => {
    let isOver = false;
    for (const type of read) {
      get(`types/${path(type)}/report?step=hour`).then(({ data }) => {
        const history = historyOf(data);
        if (!isOver && history) setHistories((old) => ({ ...old, [type]: history }));
      }, () => {}); // a row without its small charts still tells everything
    }
    return () => { isOver = true; };
  }, [read.join("\n"), round]);
  useEvery(READ_MS, () => setRound((n) => n + 1));
  return histories;
}
