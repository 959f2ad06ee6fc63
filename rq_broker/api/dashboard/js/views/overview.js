// Every type in one row, above them what needs attention, and below what happens now.
import { html, useState } from "../dom.js";
import { may } from "../api.js";
import { useFresh, useResource } from "../data.js";
import { number, resources, span } from "../format.js";
import { Badge, Cap, Empty, Failure, Icon, Legend, Loading } from "../parts.js";
import { to } from "../router.js";
import { many, t } from "../texts.js";
import { Feed } from "./feed.js";
import { Needs, troublesOf } from "./needs.js";
import { FindJob, Found, Next } from "./next.js";
import { Bars, Spark, useHistories } from "./sparks.js";

const READ_MS = 4000; // between two reads of all rows: one call, however many types there are
const SHOWN = 3; // resources of a row; the others are on the page of hosts
const FILTER_FROM = 12; // types from which on a filter is drawn

function Use({ totals, kept }) {
  const names = resources(Object.keys(totals?.capacity || {}));
  if (!names.length) return html`<span class="sub">${t("overview.nohosts")}</span>`;
  return html`<div class="util">${names.slice(0, SHOWN).map((name) => {
    const total = totals.capacity[name];
    const [used, held] = [totals.used[name] || 0, totals.held[name] || 0];
    return html`<div class="cap-row" key=${name}><span class="clip" title=${name}>${name}</span><${Cap} name=${name} total=${total} used=${used} held=${held} kept=${kept[name] || 0} />
      <span class="num">${total ? Math.round((100 * (used + held)) / total) : 0} %</span></div>`;
  })}</div>`;
}

function Trouble({ row }) {
  const [first, ...others] = troublesOf(row);
  if (!row.trouble && !first) return html`<span class="sub">—</span>`;
  if (!first) return html`<div class="trouble" data-tone="ok"><${Icon} name="ok" /><span>${t("overview.none")}</span></div>`;
  return html`<div class="trouble" data-tone=${first.tone}><${Icon} name=${first.icon} /><span>${first.short}
    ${others.length > 0 && html`<br />${t("overview.more", { n: number(others.length) })}`}</span></div>`;
}

function Row({ row, history }) {
  const { name, counts } = row;
  const running = t("overview.running", { running: number(counts.running), granted: number(counts.granted) });
  const grants = history?.grants;
  return html`<tr><td class="full"><div class="name"><a class="strong wrap" href=${to("line", name)}>${name}</a>
      ${row.paused ? html`<${Badge} icon="pause">${t("type.paused")}</${Badge}>` : html`<span class="sub">${running}</span>`}</div></td>
    <td class="num" data-l=${t("overview.waiting")}><div class="cell">${history && html`<${Spark} values=${[...history.waiting, counts.queued]}
      label=${t("overview.spark.waiting", { type: name, n: number(counts.queued) })} />`}<b>${number(counts.queued)}</b></div></td>
    <td class="num" data-l=${t("overview.oldest")}>${counts.queued ? span(row.oldest_wait_seconds) : "—"}</td>
    <td class="num" data-l=${t("overview.grants")}><div class="cell">${grants && html`<${Bars} values=${grants}
      label=${t("overview.spark.grants", { type: name, n: number(history.rate) })} />`}<b>${history ? number(history.rate) : "—"}</b></div></td>
    <td class="full" data-l=${t("overview.use")}><${Use} totals=${row.totals} kept=${row.kept} /></td>
    <td class="full"><${Trouble} row=${row} /></td></tr>`;
}

function Types({ rows, unread }) {
  const [text, setText] = useState("");
  const shown = rows.filter((row) => row.name.toLowerCase().includes(text.toLowerCase()));
  const histories = useHistories(shown.map((row) => row.name));
  return html`<section class="panel" aria-labelledby="types"><div class="panel-h"><h2 id="types">${t("nav.types")}</h2>
      ${unread > 0 && html`<span class="sub">${many("overview.unread", unread, { n: number(unread) })}</span>`}
      ${rows.length >= FILTER_FROM && html`<div class="find" role="search"><${Icon} name="search" /><input class="input" type="search" aria-label=${t("overview.filter")}
        placeholder=${t("overview.filter")} value=${text} onInput=${(event) => setText(event.target.value)} /></div>`}
      <span class="wide-only"><${Legend} /></span></div>
    ${shown.length === 0 ? html`<p class="panel-b sub">${t("overview.nomatch", { text })}</p>` : html`<table class="tbl types cards"><thead><tr><th scope="col">${t("job.type")}</th>
      <th scope="col" class="num">${t(Object.keys(histories).length ? "overview.waiting.day" : "overview.waiting")}</th><th scope="col" class="num">${t("overview.oldest")}</th>
      <th scope="col" class="num">${t("overview.grants")}</th><th scope="col">${t("overview.use")}</th><th scope="col">${t("overview.trouble")}</th></tr></thead>
      <tbody>${shown.map((row) => html`<${Row} key=${row.name} row=${row} history=${histories[row.name]} />`)}</tbody></table>`}</section>`;
}

export function Overview({ route, ready, events }) {
  const summaries = useResource("types", { every: READ_MS });
  useFresh(events, summaries.reload);
  const text = route.query.find || "";
  const head = (lede) => html`<div class="page-h"><div><div class="title"><h1>${t("nav.overview")}</h1></div>${lede && html`<p class="lede">${lede}</p>`}</div>
    ${may("page") && html`<div class="phone-field"><${FindJob} text=${text} /></div>`}</div>`;
  if (summaries.error && !summaries.data) return html`${head()}<${Failure} whole error=${summaries.error} again=${summaries.reload} />`;
  if (!summaries.data) return html`${head()}<${Loading} />`;
  const rows = summaries.data;
  const sum = (status) => number(rows.reduce((total, row) => total + row.counts[status], 0));
  const lede = many("overview.lede", rows.length, { types: number(rows.length), waiting: sum("queued"), running: sum("running") });
  if (rows.length === 0) return html`${head()}<${Empty} title=${t("overview.empty.title")}>${t("overview.empty")}</${Empty}>`;
  return html`${head(lede)}${may("page") && html`<${Found} rows=${rows} text=${text} reload=${summaries.reload} />`}${summaries.error && html`<${Failure} error=${summaries.error} again=${summaries.reload} />`}
    <${Needs} rows=${rows} ready=${ready} reload=${summaries.reload} />
    <${Types} rows=${rows} unread=${summaries.unread} />${may("page") && html`<${Next} rows=${rows} events=${events} reload=${summaries.reload} />`}<${Feed} types=${rows.map((row) => row.name)} events=${events} />`;
}
