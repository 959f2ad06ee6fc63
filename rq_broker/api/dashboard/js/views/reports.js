// What happened to a type's jobs over time: waits, demand against capacity, owners, and who holds for too long.
import { html, useMemo, useState } from "../dom.js";
import { path } from "../api.js";
import { Chart, ChartLegend, lineStyle } from "../chart.js";
import { useResource } from "../data.js";
import { amount, clockTime, moment, number, resources, span } from "../format.js";
import { Empty, Failure, Loading, Note } from "../parts.js";
import { go, to } from "../router.js";
import { gap, language, t } from "../texts.js";
import { Head } from "./head.js";
import { LateHolders } from "./reports-late.js";
import { MoreHosts } from "./reports-more.js";
import { Owners } from "./reports-owners.js";
import { PERIODS, SECONDS, groupName, urlOf } from "./reports-range.js";

const EVERY_MS = 30000;
// Ticks of spans, in seconds: as people count them.
const SPANS = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000];
const DOTS = 60; // steps up to which each has a dot
const LINES = 6; // lines in one chart: more cannot be told apart

const keyOf = (group) => (group.other ? "*" : group.owner_id !== undefined ? `o ${group.owner_id}` : `s ${group.size}`);

// The steps of a report without holes: those of which nothing is known are null.
function wholeSteps(report) {
  const known = new Map(report.steps.map((step) => [step.start, step]));
  const steps = [];
  for (let start = report.start; start < report.end; start += SECONDS[report.step]) steps.push({ start, ...known.get(start), known: known.get(start) || null });
  return steps;
}

function timeOf(step, kind) {
  const date = new Date(step.start * 1000);
  const form = kind === "day" ? { year: "numeric", month: "2-digit", day: "2-digit", timeZone: "UTC" } : { month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return new Intl.DateTimeFormat(language(), form).format(date);
}

function Choice({ name, value, choices, label, set }) {
  return html`<div class="seg" role="group" aria-label=${label}>${choices.map(([key, text]) => html`
    <button type="button" key=${key} aria-pressed=${key === value} onClick=${() => set({ [name]: key })}>${text}</button>`)}</div>`;
}

function Fact({ name, value, more }) {
  return html`<div><dt>${name}</dt><dd>${value}${more && html` <small>${more}</small>`}</dd></div>`;
}

function Facts({ report, resource }) {
  const { total } = report;
  const level = [...report.steps].reverse().find((step) => step.capacity[resource]);
  const wait = (seconds) => (seconds === null ? "–" : span(seconds));
  return html`<dl class="facts"><${Fact} name=${t("reports.granted")} value=${number(total.granted)} />
    <${Fact} name=${t("reports.mean")} value=${wait(total.waits.mean)} /><${Fact} name=${t("reports.p90")} value=${wait(total.waits.p90)} />
    ${resource && html`<${Fact} name=${t("reports.hours", { resource })} value=${number(Math.round(total.held[resource] || 0))} />`}
    ${level && html`<${Fact} name=${t("reports.utilised", { resource })} value=${amount(resource, Math.round(level.held[resource] || 0))}
      more=${t("reports.of", { n: number(Math.round(level.capacity[resource])) })} />`}</dl>`;
}

function Table({ caption, head, rows }) {
  return html`<details class="as-table"><summary>${t("reports.table")}</summary><div class="scroll-x" tabindex="0" role="group" aria-label=${caption}>
    <table class="tbl"><caption class="quiet">${caption}</caption><thead><tr>${head.map((text, n) => html`<th scope="col" class=${n ? "num" : ""}>${text}</th>`)}</tr></thead>
    <tbody>${rows.map(([first, ...rest]) => html`<tr><th scope="row" class="nowrap">${first}</th>${rest.map((text) => html`<td class="num">${text}</td>`)}</tr>`)}</tbody></table></div></details>`;
}

function Waits({ report, steps, measure, set }) {
  const groups = report.groups.filter((group) => group.waits.count).slice(0, LINES);
  const series = groups.map((group, n) => ({ label: groupName(group), ...lineStyle(n), points: steps.length <= DOTS, spanGaps: true }));
  const values = groups.map((group) => steps.map((step) => {
    const found = step.groups?.find((each) => keyOf(each) === keyOf(group));
    return found?.waits.count ? found.waits[measure] : null;
  }));
  const data = useMemo(() => [steps.map((step) => step.start), ...values], [report, measure]);
  const step = t(`reports.step.${report.step}`);
  const label = t("reports.waits.label", { measure: t(`reports.${measure}`), by: t(`reports.by.${report.by}`), step });
  const rows = steps.map((each, n) => [each, n]).filter(([each]) => each.total?.waits.count).reverse()
    .map(([each, n]) => [timeOf(each, report.step), number(each.total.waits.count), ...values.map((line) => (line[n] === null ? "–" : span(line[n])))]);
  return html`<section class="panel" aria-labelledby="r-waits"><div class="panel-h"><h2 id="r-waits">${t("reports.waits")}</h2>
      <${Choice} name="measure" value=${measure} label=${t("reports.waits")} set=${set} choices=${[["p50", t("reports.p50")], ["p90", t("reports.p90")]]} /></div>
    <div class="panel-b">${groups.length === 0 ? html`<p class="sub">${t("reports.empty")}</p>` : html`
      <${ChartLegend} series=${series} /><${Chart} label=${label} data=${data} series=${series} days=${report.step === "day"} format=${span} incrs=${SPANS} />
      <${Table} caption=${label} head=${[t("reports.time"), t("reports.granted"), ...groups.map(groupName)]} rows=${rows} />`}</div></section>`;
}

// Areas that stand on each other, and the capacity as a line above or across them.
function Demand({ report, steps, resource, names, set }) {
  const kinds = ["used", "held", "waiting"];
  const of = (step, kind) => (step.known && step.known.known ? step.known[kind][resource] || 0 : null);
  const data = useMemo(() => {
    const stacked = steps.map((step) => {
      let sum = 0;
      return kinds.map((kind) => { const value = of(step, kind); return value === null ? null : (sum += value); });
    });
    const [used, held, waiting] = kinds.map((_, n) => stacked.map((each) => each[n]));
    return [steps.map((step) => step.start), waiting, held, used, steps.map((step) => of(step, "capacity"))];
  }, [report, resource]);
  const areas = [
    { label: t("reports.waiting"), fill: "--warn-line", stroke: "--warn-mark", width: 1, stepped: true },
    { label: t("reports.held"), fill: "--cap-held", stepped: true }, { label: t("reports.used"), fill: "--cap-used", stepped: true },
    { label: t("reports.capacity"), stroke: "--text", width: 2, dash: [6, 3], stepped: true, spanGaps: true },
  ];
  const label = t("reports.demand.label", { resource, step: t(`reports.step.${report.step}`) });
  const shown = (value) => (value === null ? "–" : amount(resource, Math.round(value)));
  const rows = steps.filter((step) => step.known?.known).reverse().map((step) => [timeOf(step, report.step),
    ...["capacity", ...kinds].map((kind) => shown(of(step, kind))), number(Math.round(step.known.waiting_jobs))]);
  return html`<section class="panel" aria-labelledby="r-demand"><div class="panel-h"><h2 id="r-demand">${t("reports.demand")}</h2>
      ${names.length > 1 && html`<label class="pick"><span class="sub wide-only">${t("reports.resource")}</span><select class="input" aria-label=${t("reports.resource")} value=${resource} onChange=${(event) => set({ resource: event.target.value })}>
        ${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>`}</div>
    <div class="panel-b">${rows.length === 0 ? html`<p class="sub">${t("reports.unknown")}</p>` : html`
      <${ChartLegend} series=${areas} /><${Chart} label=${label} data=${data} series=${areas} days=${report.step === "day"} format=${(value) => amount(resource, value)} />
      <${Table} caption=${label} rows=${rows} head=${[t("reports.time"), ...["capacity", ...kinds].map((kind) => t(`reports.${kind}`)), t("reports.jobs")]} />`}</div></section>`;
}

function Shown({ type, report, query, set }) {
  const steps = useMemo(() => wholeSteps(report), [report]);
  const named = new Set([...Object.keys(report.total.held), ...report.steps.flatMap((step) => Object.keys(step.capacity))]);
  const names = resources([...named]);
  const resource = names.includes(query.resource) ? query.resource : names.find((name) => name === "GPU") || names[0];
  const gaps = report.steps.filter((step) => step.uncounted > 0);
  const until = report.counted_until;
  return html`${gaps.length > 0 && html`<${Note} tone="warn" icon="warn">${t("reports.gap", { time: timeOf(gaps[0], report.step) })}</${Note}>`}
    ${report.steps.length === 0 ? html`<${Empty} art="chart" title=${t("reports.empty")}>${t("reports.empty.more")}</${Empty}>` : html`
      <${Facts} report=${report} resource=${resource} />
      <${Waits} report=${report} steps=${steps} measure=${query.measure === "p50" ? "p50" : "p90"} set=${set} />
      <${Demand} report=${report} steps=${steps} resource=${resource} names=${names} set=${set} />`}
    <${MoreHosts} type=${type} /><${Owners} type=${type} period=${query.period} resource=${resource} /><${LateHolders} type=${type} />
    ${until && html`<p class="sub">${t("reports.counted", { time: clockTime(new Date(until * 1000)) })}${gap()}${t("reports.since", { time: moment(new Date(report.counted_since * 1000).toISOString()) })}</p>`}`;
}

export function Reports({ route: { type, query } }) {
  const about = useResource(`types/${path(type)}`, { every: EVERY_MS });
  const by = query.by === "owner" ? "owner" : "size";
  const period = query.period in PERIODS ? query.period : "day";
  const report = useResource(urlOf(type, period, by, LINES), { every: EVERY_MS });
  const [kept, keep] = useState(null);
  if (report.data && report.data !== kept) keep(report.data);
  const shown = report.data || kept; // the last report stays while another is read
  const set = (change) => go(to("reports", type, undefined, { ...query, ...change }), { replace: true });
  return html`<${Head} type=${type} view="reports" policy=${about.data?.policy} counts=${about.data?.counts} reload=${about.reload} />
    <div class="toolbar"><${Choice} name="period" value=${period} label=${t("reports.period")} set=${set} choices=${Object.keys(PERIODS).map((key) => [key, t(`reports.${key}`)])} />
      <${Choice} name="by" value=${by} label=${t("reports.by")} set=${set} choices=${["size", "owner"].map((key) => [key, t(`reports.by.${key}`)])} /></div>
    ${report.error && html`<${Failure} whole=${!shown} error=${report.error} again=${report.reload} />`}
    ${shown ? html`<${Shown} type=${type} report=${shown} query=${{ ...query, period }} set=${set} />` : !report.error && html`<${Loading} />`}`;
}
