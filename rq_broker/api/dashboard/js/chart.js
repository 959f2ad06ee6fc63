// A chart over time: uPlot, loaded when the first one is shown, in the page's colours, with a legend of its own.
import { html, useEffect, useRef, useState } from "./dom.js";
import { language, t } from "./texts.js";

const HEIGHT = 220;
const LETTER = 7; // pixels of a letter of a label
const NARROW = 480; // pixels below which a chart has fewer ticks
// How lines differ without colour: dashes and width.
const STYLES = [
  { color: "--accent", dash: [], width: 2 }, { color: "--text-2", dash: [6, 4], width: 2 }, { color: "--accent", dash: [2, 3], width: 2 },
  { color: "--text-2", dash: [], width: 1.25 }, { color: "--accent", dash: [10, 4], width: 1.25 }, { color: "--text-2", dash: [2, 3], width: 1.25 },
];

let loading = null;

function load() {
  loading ??= new Promise((resolve, reject) => {
    const folder = new URL("../vendor/", import.meta.url);
    const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: new URL("uPlot.min.css", folder) });
    const script = Object.assign(document.createElement("script"), { src: new URL("uPlot.iife.min.js", folder) });
    script.onload = () => resolve(window.uPlot);
    script.onerror = () => { loading = null; reject(new Error(script.src)); };
    document.head.append(style, script);
  });
  return loading;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Tells when the theme changes, by the button or by the system.
function useTheme() {
  const [round, setRound] = useState(0);
  useEffect(() => {
    const changed = () => setRound((n) => n + 1);
    const observer = new MutationObserver(changed);
    observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", changed);
    return () => { observer.disconnect(); system.removeEventListener("change", changed); };
  }, []);
  return round;
}

function timeFormat(days) {
  return new Intl.DateTimeFormat(language(), days ? { month: "numeric", day: "numeric" } : { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

function options({ series, days, format, incrs }, width) {
  const [text, grid] = [colour("--text-3"), colour("--line")];
  const font = "12px " + getComputedStyle(document.body).fontFamily;
  const times = timeFormat(days);
  const midnight = new Intl.DateTimeFormat(language(), { month: "numeric", day: "numeric" });
  const tick = (seconds) => {
    const date = new Date(seconds * 1000);
    return !days && date.getHours() === 0 && date.getMinutes() === 0 ? midnight.format(date) : times.format(date);
  };
  const axis = { stroke: text, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
  return {
    width, height: HEIGHT, legend: { show: false }, cursor: { show: false }, padding: [10, 24, 0, 0], // to the right: half a label
    scales: { x: { time: true }, y: { range: (_, min, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [{ ...axis, values: (_, splits) => splits.map(tick), space: width < NARROW ? 90 : 64, size: 30 },
      { ...axis, values: (_, splits) => splits.map(format), size: (_, values) => Math.max(32, 14 + LETTER * Math.max(0, ...(values || []).map((each) => each.length))), incrs }],
    series: [{}, ...series.map((each) => ({
      label: each.label, spanGaps: each.spanGaps || false, paths: each.stepped ? window.uPlot.paths.stepped({ align: 1 }) : undefined,
      stroke: each.stroke ? colour(each.stroke) : "transparent", width: each.stroke ? each.width : 0, dash: each.dash,
      fill: each.fill ? colour(each.fill) : undefined, points: { show: each.points ?? false, size: 5, fill: each.stroke && colour(each.stroke) },
    }))],
  };
}

// `data`: [times, values of each series…]; null for nothing known. `label` says what the chart shows.
export function Chart({ label, data, ...shown }) {
  const box = useRef(null);
  const theme = useTheme();
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    let [plot, gone] = [null, false];
    const fit = new ResizeObserver(() => plot?.setSize({ width: box.current.clientWidth, height: HEIGHT }));
    load().then((UPlot) => {
      if (gone) return;
      plot = new UPlot(options(shown, box.current.clientWidth), data, box.current);
      fit.observe(box.current);
    }, () => setFailed(true));
    return () => { gone = true; fit.disconnect(); plot?.destroy(); };
  }, [data, theme, language()]);
  if (failed) return html`<p class="sub">${t("reports.nochart")}</p>`;
  return html`<div class="plot" role="img" aria-label=${label} ref=${box}></div>`;
}

export const lineStyle = (n) => { const { color, dash, width } = STYLES[n % STYLES.length]; return { stroke: color, dash, width }; };

// What each line or area of a chart is, by the same dashes.
export function ChartLegend({ series }) {
  return html`<ul class="legend plot-key">${series.map(({ label, stroke, fill, dash = [], width = 2 }) => html`<li key=${label}>
    <svg aria-hidden="true" viewBox="0 0 24 10">${fill && html`<rect width="24" height="10" rx="2" data-fill=${fill.slice(2)} />`}
      ${stroke && html`<line x1="0" x2="24" y1="5" y2="5" stroke-width=${width} stroke-dasharray=${dash.join(" ")} data-stroke=${stroke.slice(2)} />`}</svg>${label}</li>`)}</ul>`;
}
