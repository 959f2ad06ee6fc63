// A row for each owner: what it submitted, was granted, had and waits for.
import { html } from "../dom.js";
import { path } from "../api.js";
import { useResource } from "../data.js";
import { number, span } from "../format.js";
import { Failure } from "../parts.js";
import { t } from "../texts.js";
import { groupName, urlOf } from "./reports-range.js";

const MOST = 50;
const EVERY_MS = 60000;
const keyOf = (group) => (group.other ? "*" : `o ${group.owner_id}`);

export function Owners({ type, period, resource }) {
  const report = useResource(urlOf(type, period, "owner", MOST), { every: EVERY_MS });
  const waiting = useResource(`types/${path(type)}/report/waiting?limit=${MOST}`, { every: EVERY_MS });
  const now = new Map((waiting.data?.owners || []).map((group) => [keyOf(group), group]));
  const past = new Map((report.data?.groups || []).map((group) => [keyOf(group), group]));
  const keys = [...new Set([...past.keys(), ...now.keys()])].sort((a, b) => (a === "*") - (b === "*"));
  if (report.error) return html`<${Failure} error=${report.error} again=${report.reload} />`;
  if (!report.data || keys.length === 0) return null;
  const head = ["reports.submitted", "reports.granted", "reports.ended", "reports.mean", "reports.p90"].map((name) => t(name));
  if (resource) head.push(t("reports.hours", { resource }));
  head.push(t("reports.waitsnow"), t("reports.oldest"));
  const wait = (seconds) => (seconds === null || seconds === undefined ? "–" : span(seconds));
  const cells = (key) => {
    const [sums, line] = [past.get(key), now.get(key)];
    const row = [number(sums?.submitted || 0), number(sums?.granted || 0), number((sums?.done || 0) + (sums?.failed || 0) + (sums?.withdrawn || 0)),
      wait(sums?.waits.mean), wait(sums?.waits.p90)];
    if (resource) row.push(number(Math.round(10 * (sums?.held[resource] || 0)) / 10));
    return [...row, number(line?.jobs || 0), wait(line?.oldest)];
  };
  return html`<section class="panel" aria-labelledby="r-owners"><div class="panel-h"><h2 id="r-owners">${t("reports.owners")}</h2></div>
    <div class="scroll-x" tabindex="0" role="group" aria-labelledby="r-owners"><table class="tbl cards"><thead><tr><th scope="col">${t("reports.owner")}</th>
      ${head.map((text) => html`<th scope="col" class="num">${text}</th>`)}</tr></thead>
    <tbody>${keys.map((key) => html`<tr key=${key}><td class="full"><b class="wrap">${groupName(past.get(key) || now.get(key))}</b></td>
      ${cells(key).map((text, n) => html`<td class="num" data-l=${head[n]}>${text}</td>`)}</tr>`)}</tbody></table></div></section>`;
}
