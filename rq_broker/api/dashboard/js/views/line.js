// The line of a type: who is next, how big, since when, when its turn comes, and why not yet.
import { html, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../dom.js";
import { clock, get, path } from "../api.js";
import { totals, useResource } from "../data.js";
import { instant, number, resources, size, span } from "../format.js";
import { useTick } from "../live.js";
import { Empty, Eta, Failure, Icon } from "../parts.js";
import { sentence } from "../reasons.js";
import { to } from "../router.js";
import { t } from "../texts.js";
import { Head } from "./head.js";
import { MoveDialog } from "./move.js";

const PAGE = 100;
const OVERSCAN = 10;
const TALLEST = 10_000_000; // pixels of one element that every browser shows
const AXES = [3600, 21600, 86400, 604800]; // seconds

// Reads pages of the line as they come into sight. `version` makes all of them be read anew, one by one.
function usePages(type, version) {
  const pages = useRef(new Map());
  const [, redraw] = useState(0);
  const [error, setError] = useState(null);
  const want = useCallback(async (number_) => {
    const known = pages.current.get(number_);
    if (known?.version === version) return;
    pages.current.set(number_, { rows: known?.rows || [], version });
    try {
      const { data } = await get(`v1/${path(type)}/?status=queued&eta=1&reason=1&limit=${PAGE}&from=${number_ * PAGE + 1}`);
      pages.current.set(number_, { rows: data, version });
      setError(null);
    } catch (refusal) { pages.current.delete(number_); setError(refusal); }
    redraw((n) => n + 1);
  }, [type, version]);
  const row = (index) => pages.current.get(Math.floor(index / PAGE))?.rows[index % PAGE];
  return { want, row, error };
}

function axisOf(rows) {
  const known = rows.map((row) => row?.ETA?.p90 ?? row?.ETA?.p50).filter((value) => typeof value === "number");
  if (!known.length) return AXES[1];
  const half = known.sort((a, b) => a - b)[Math.floor((known.length - 1) / 2)];
  return AXES.find((axis) => axis >= half) || AXES.at(-1);
}

function Row({ job, index, top, axis, lifted, focused, on }) {
  const style = { position: "absolute", top: 0, left: 0, right: 0, transform: `translateY(${top}px)` };
  if (!job) return html`<div class="line-row" role="row" aria-rowindex=${index + 2} style=${style}><div class="sk"></div></div>`;
  const { text, more } = size(job.Data);
  const state = [focused && "focused", lifted && "lifted"].filter(Boolean).join(" ");
  const since = (clock.now() - Date.parse(job.CreatedAt)) / 1000;
  return html`<div class="line-row" role="row" aria-rowindex=${index + 2} data-state=${state} style=${style} tabindex=${focused ? 0 : -1} data-index=${index}>
    <div role="gridcell" class="grip-c"><button type="button" class="grip" aria-label=${`${t("line.move")} ${job.RequestID}`} tabindex="-1"
      onPointerDown=${(event) => on.grip(event, index)}><${Icon} name="grip" /></button></div>
    <div role="gridcell" class="sel"></div>
    <div role="gridcell" class="pos">${number(index + 1)}</div>
    <div role="gridcell" class="job two"><a class="clip" href=${to("job", job.Type, job.RequestID)} title=${job.RequestID}>${job.RequestID}</a><span class="sub clip">${job.OwnerID}</span></div>
    <div role="gridcell" class="size two"><span class="clip">${text}</span><span class="sub clip">${more}</span></div>
    <div role="gridcell" class="since num" title=${instant(job.CreatedAt)}>${span(since)}</div>
    <div role="gridcell" class="eta"><${Eta} eta=${job.ETA} axis=${axis} /></div>
    <div role="gridcell" class="why"><${Icon} name="box" /><span class="clip2" title=${sentence(job.Why || job.ETA?.why)}>${sentence(job.Why || job.ETA?.why)}</span></div>
    <div role="gridcell" class="menu-c"></div></div>`;
}

function Columns({ axis }) {
  const marks = [1, 2, 3].map((n) => span((axis * n) / 3));
  return html`<div role="rowgroup"><div class="line-row line-head" role="row" aria-rowindex="1">
    <div role="columnheader"><span class="vh">${t("line.move")}</span></div><div role="gridcell" class="sel"></div>
    <div role="columnheader" class="pos">#</div><div role="columnheader">${t("line.job")}</div><div role="columnheader">${t("line.size")}</div>
    <div role="columnheader" class="num">${t("line.since")}</div>
    <div role="columnheader"><span class="eta-axis"><span><span>${t("line.turn")}</span><span aria-hidden="true">${marks[0]}</span></span>
      <span aria-hidden="true"><span></span><span>${marks[1]}</span></span><span aria-hidden="true"><span></span><span>${marks[2]}</span></span></span></div>
    <div role="columnheader">${t("line.why")}</div><div role="columnheader"><span class="vh">${t("line.actions")}</span></div></div></div>`;
}

function useWindow(box, count, height) {
  const [seen, setSeen] = useState({ first: 0, last: 40, offset: 0 });
  useLayoutEffect(() => {
    function measure() {
      if (!box.current) return;
      const top = Math.max(0, -box.current.getBoundingClientRect().top);
      const shown = Math.ceil(window.innerHeight / height);
      const whole = count * height;
      const scale = whole > TALLEST ? (whole - window.innerHeight) / (TALLEST - window.innerHeight) : 1;
      const first = Math.min(Math.floor((top * scale) / height), Math.max(0, count - shown));
      setSeen({ first, last: Math.min(count - 1, first + shown), offset: scale === 1 ? 0 : top - first * height });
    }
    measure();
    window.addEventListener("scroll", measure, { passive: true });
    window.addEventListener("resize", measure);
    return () => { window.removeEventListener("scroll", measure); window.removeEventListener("resize", measure); };
  }, [count, height]);
  return seen;
}

function Rows({ type, count, version }) {
  const box = useRef(null);
  const height = matchMedia("(max-width: 900px)").matches ? 88 : 48;
  const { first, last, offset } = useWindow(box, count, height);
  const { want, row, error } = usePages(type, version);
  const [focus, setFocus] = useState(0);
  const [lifted, setLifted] = useState(null); // { from, to, job }
  const [asked, setAsked] = useState(null);
  useTick();
  const from = Math.max(0, first - OVERSCAN);
  const until = Math.min(count - 1, last + OVERSCAN);
  useEffect(() => {
    for (let page = Math.floor(from / PAGE); page <= Math.floor(Math.max(0, until) / PAGE); page += 1) want(page);
  }, [from, until, want]);
  const indexes = Array.from({ length: Math.max(0, until - from + 1) }, (_, n) => from + n);
  const axis = useMemo(() => axisOf(indexes.map(row)), [from, version, Boolean(row(from))]);

  function keys(event) {
    const step = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -count, End: count }[event.key];
    const move = (index) => Math.min(count - 1, Math.max(0, index + step));
    if (step !== undefined) {
      event.preventDefault();
      if (lifted) setLifted({ ...lifted, to: move(lifted.to) });
      else setFocus(move(focus));
    } else if (event.key === " ") {
      event.preventDefault();
      if (lifted) { setAsked(lifted); setLifted(null); } else if (row(focus)) setLifted({ from: focus, to: focus, job: row(focus) });
    } else if (event.key === "Escape") setLifted(null);
  }

  function grip(event, index) {
    event.preventDefault();
    const started = { from: index, to: index, job: row(index) };
    let current = started;
    const at = (y) => Math.min(count - 1, Math.max(0, index + Math.round((y - event.clientY) / height)));
    const moved = (next) => { current = { ...started, to: at(next.clientY) }; setLifted(current); };
    const ended = () => {
      document.removeEventListener("pointermove", moved);
      document.removeEventListener("pointerup", ended);
      setLifted(null);
      if (current.to !== current.from) setAsked(current);
    };
    document.addEventListener("pointermove", moved);
    document.addEventListener("pointerup", ended);
  }

  const tall = Math.min(TALLEST, count * height);
  return html`${error && html`<${Failure} error=${error} />`}
    <div class="line" role="grid" aria-label=${t("line.label", { type })} aria-rowcount=${count + 1} onKeyDown=${keys}>
      <${Columns} axis=${axis} />
      <div role="rowgroup" class="rows" ref=${box} style=${{ height: `${tall}px`, position: "relative" }}>
        ${indexes.map((index) => html`<${Row} key=${index} job=${row(index)} index=${index} top=${offset + index * height} axis=${axis}
          focused=${index === focus} lifted=${lifted?.from === index} on=${{ grip }} />`)}
        ${lifted && html`<div class="drop" style=${{ transform: `translateY(${offset + lifted.to * height}px)` }}>${t("line.at", { n: number(lifted.to + 1), count: number(count) })}</div>`}
      </div></div>
    <p class="line-foot"><span role="status">${lifted ? t("line.at", { n: number(lifted.to + 1), count: number(count) }) : t("line.rows", { from: number(first + 1), to: number(last + 1), count: number(count) })}</span>
      <span class="wide-only">${t("line.keys")}</span></p>
    ${asked && html`<${MoveDialog} type=${type} job=${asked.job} from=${asked.from} target=${asked.to} onClose=${() => setAsked(null)} />`}`;
}

function Facts({ counts, hosts }) {
  const sums = totals(hosts);
  const [main] = resources(Object.keys(sums));
  const use = main && sums[main];
  return html`<dl class="facts"><div><dt>${t("line.facts.waiting")}</dt><dd>${number(counts.queued)}</dd></div>
    <div><dt>${t("line.facts.running")}</dt><dd>${number(counts.running)}</dd></div>
    ${use && html`<div><dt>${t("line.facts.use", { resource: main })}</dt><dd>${Math.round((100 * (use.used + use.held)) / use.total)} %
      <small>${number(use.used + use.held)} / ${number(use.total)}</small></dd></div>`}
    <div><dt>${t("line.facts.held")}</dt><dd>${number(counts.granted)}</dd></div></dl>`;
}

export function Line({ route: { type }, events }) {
  const about = useResource(`types/${path(type)}`, { every: 4000 });
  const hosts = useResource(`types/${path(type)}/hosts/`, { every: 10000 });
  const [version, setVersion] = useState(0);
  useEffect(() => {
    if (events === null || events.length) { setVersion((n) => n + 1); about.reload(); }
  }, [events]);
  if (about.error && !about.data) return html`<${Failure} error=${about.error} again=${about.reload} />`;
  if (!about.data) return null;
  const { policy, counts } = about.data;
  return html`<${Head} type=${type} view="line" policy=${policy} counts=${counts} reload=${about.reload} />
    <${Facts} counts=${counts} hosts=${hosts.data} />
    ${counts.queued === 0 ? html`<${Empty} icon="ok" title=${t("line.none")}>${t("line.none.more")}</${Empty}>`
    : html`<${Rows} key=${type} type=${type} count=${counts.queued} version=${version} />`}`;
}
