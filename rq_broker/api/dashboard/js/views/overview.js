// Every type in one row, and above them what needs attention.
import { html } from "../dom.js";
import { path } from "../api.js";
import { totals, useResource } from "../data.js";
import { number, resources } from "../format.js";
import { Badge, Button, Cap, Empty, Icon, Legend } from "../parts.js";
import { to } from "../router.js";
import { t } from "../texts.js";

const HOSTS_MS = 10000;

function Need({ type, text, view }) {
  return html`<li data-tone="warn"><${Icon} name="warn" /><div><p>${type && html`<strong>${type}: </strong>`}${text}</p></div>
    ${type && html`<a class="btn" href=${to(view, type)}>${t(`nav.${view}`)}</a>`}</li>`;
}

function Needs({ ready, types }) {
  const trouble = ready?.trouble || [];
  const notes = ready?.notes || [];
  return html`<section class="panel" aria-labelledby="needs"><div class="panel-h"><h2 id="needs">${t("overview.needs")}</h2>
      <span class="sub">${number(trouble.length + notes.length)}</span></div>
    ${trouble.length + notes.length === 0 && types ? html`<p class="panel-b">${t("overview.fine")}</p>` : html`<ul class="needs">
      ${trouble.map((each) => html`<${Need} type=${each.type} text=${each.text || each.sentence || String(each)} view=${each.kind === "source" ? "hosts" : "callbacks"} />`)}
      ${notes.map((text) => html`<${Need} text=${text} />`)}</ul>`}</section>`;
}

function Use({ type }) {
  const hosts = useResource(`types/${path(type)}/hosts/`, { every: HOSTS_MS });
  const sums = totals(hosts.data);
  return html`<div class="util">${resources(Object.keys(sums)).slice(0, 3).map((name) => {
    const { total, used, held } = sums[name];
    return html`<div class="cap-row"><span>${name}</span><${Cap} name=${name} total=${total} used=${used} held=${held} />
      <span class="num">${total ? Math.round((100 * (used + held)) / total) : 0} %</span></div>`;
  })}</div>`;
}

function Row({ type, counts }) {
  const about = useResource(`types/${path(type)}`, { every: HOSTS_MS });
  const paused = about.data?.policy.paused;
  return html`<tr><td class="full"><div class="name"><a class="strong" href=${to("line", type)}>${type}</a></div></td>
    <td class="num" data-l=${t("status.queued")}><b>${number(counts.queued)}</b></td>
    <td class="num" data-l=${t("status.granted")}>${number(counts.granted)}</td>
    <td class="num" data-l=${t("status.running")}>${number(counts.running)}</td>
    <td class="full" data-l=${t("overview.use")}><${Use} type=${type} /></td>
    <td class="full">${paused ? html`<${Badge} tone="warn" icon="pause">${t("type.paused")}</${Badge}>` : html`<span class="sub">${t("overview.none")}</span>`}</td></tr>`;
}

export function Overview({ types, ready }) {
  if (!types) return null;
  const all = Object.entries(types);
  const sum = (status) => all.reduce((total, [, counts]) => total + counts[status], 0);
  return html`<div class="page-h"><div><div class="title"><h1>${t("nav.overview")}</h1></div>
      <p class="lede">${t("overview.lede", { types: number(all.length), waiting: number(sum("queued")), running: number(sum("running")) })}</p></div></div>
    <${Needs} ready=${ready} types=${types} />
    ${all.length === 0 ? html`<${Empty} title=${t("nav.types")}>${t("overview.empty")}</${Empty}>` : html`
      <section class="panel" aria-labelledby="types"><div class="panel-h"><h2 id="types">${t("nav.types")}</h2><span class="wide-only"><${Legend} /></span></div>
        <table class="tbl types cards"><thead><tr><th scope="col">${t("job.type")}</th>
          ${["queued", "granted", "running"].map((status) => html`<th scope="col" class="num">${t(`status.${status}`)}</th>`)}
          <th scope="col">${t("overview.use")}</th><th scope="col">${t("overview.trouble")}</th></tr></thead>
          <tbody>${all.map(([type, counts]) => html`<${Row} key=${type} type=${type} counts=${counts} />`)}</tbody></table></section>`}`;
}
