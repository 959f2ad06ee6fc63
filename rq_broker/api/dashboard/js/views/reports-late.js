// The jobs that hold capacity for longer than they said, or than was predicted, the longest first.
import { html } from "../dom.js";
import { path } from "../api.js";
import { useResource } from "../data.js";
import { amount, instant, moment, number, resources, span } from "../format.js";
import { Failure } from "../parts.js";
import { to } from "../router.js";
import { t } from "../texts.js";

const MOST = 25;
const EVERY_MS = 30000;

function Row({ type, job }) {
  const since = new Date(job.granted * 1000).toISOString();
  const has = resources(Object.keys(job.amounts)).map((name) => amount(name, job.amounts[name])).join(", ");
  const from = t(job.expected_from === "expected" ? "reports.late.said" : "reports.late.predicted");
  return html`<tr><td class="full name"><a class="wrap strong" href=${to("job", type, job.request_id)}>${job.request_id}</a></td>
    <td data-l=${t("reports.owner")}>${job.owner_id}</td><td data-l=${t("reports.late.has")}>${has}</td>
    <td class="nowrap" data-l=${t("reports.late.since")}><time datetime=${since} title=${instant(since)}>${moment(since)}</time></td>
    <td class="nowrap" data-l=${t("reports.late.expected")}>${span(job.expected)} <span class="sub">${from}</span></td>
    <td class="num" data-l=${t("reports.late.beyond")}><b>${span(job.beyond)}</b></td></tr>`;
}

export function LateHolders({ type }) {
  const late = useResource(`types/${path(type)}/report/holders?limit=${MOST}`, { every: EVERY_MS });
  const { jobs = [], total = 0 } = late.data || {};
  const head = ["reports.late.job", "reports.owner", "reports.late.has", "reports.late.since", "reports.late.expected"];
  return html`<section class="panel" aria-labelledby="r-late"><div class="panel-h"><h2 id="r-late">${t("reports.late")}</h2><span class="sub wide-only">${t("reports.late.lede")}</span></div>
    ${late.error && html`<div class="panel-b"><${Failure} error=${late.error} again=${late.reload} /></div>`}
    ${late.data && total === 0 && html`<p class="panel-b sub">${t("reports.late.none")}</p>`}
    ${total > 0 && html`<table class="tbl cards late"><thead><tr>${head.map((name) => html`<th scope="col">${t(name)}</th>`)}
      <th scope="col" class="num">${t("reports.late.beyond")}</th></tr></thead>
      <tbody>${jobs.map((job) => html`<${Row} key=${job.request_id} type=${type} job=${job} />`)}</tbody></table>
      ${total > jobs.length && html`<p class="panel-b sub">${t("reports.late.more", { n: number(jobs.length), total: number(total) })}</p>`}`}</section>`;
}
