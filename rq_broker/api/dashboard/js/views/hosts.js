// The hosts of a type as a map: one tile each, by aggregate; the one that is chosen, beside it.
import { html, useMemo, useState } from "../dom.js";
import { clock, path } from "../api.js";
import { amountOf, totals, useResource } from "../data.js";
import { number, resources, span } from "../format.js";
import { Bars, Cap, Empty, Failure, Icon, Legend } from "../parts.js";
import { go, to } from "../router.js";
import { t } from "../texts.js";
import { Head } from "./head.js";

const SHOWN = 3; // bars on a tile

function sharesOf(host, names) {
  return names.map((name) => {
    const total = amountOf(host.capacity[name]);
    const share = (value) => (total ? Math.min(100, (100 * amountOf(value)) / total) : 0);
    return { name, used: share(host.used[name]), held: share(host.held[name]) };
  });
}

// The text that all names of a group begin with, up to its last separator.
function prefixOf(names) {
  let prefix = names[0] || "";
  for (const name of names) while (!name.startsWith(prefix)) prefix = prefix.slice(0, -1);
  return names.length > 1 ? prefix.replace(/[^-._]*$/, "") : "";
}

function Tile({ host, names, prefix, chosen, focusable }) {
  const shares = sharesOf(host, names);
  const taken = shares.map((each) => t("hosts.taken", { resource: each.name, percent: `${Math.round(each.used + each.held)} %` })).join("; ");
  const label = `${host.name}: ${taken}${host.dropped ? `; ${t("hosts.dropped")}` : ""}`;
  return html`<button type="button" class="tile" aria-pressed=${chosen} aria-label=${label} title=${host.name} data-name=${host.name}
    tabindex=${focusable ? 0 : -1} ...${host.dropped && { "data-state": "drain" }}>
    <span class="nm" aria-hidden="true"><span>${host.name.slice(prefix.length)}</span></span><${Bars} shares=${shares} /></button>`;
}

function Group({ name, hosts, names, chosen }) {
  const prefix = prefixOf(hosts.map((host) => host.name));
  const sums = totals(hosts);
  const [main] = names;
  const { total = 0, used = 0, held = 0 } = sums[main] || {};
  return html`<section aria-label=${name}><div class="agg-h"><h2>${name}</h2><span class="sub">${prefix && `${prefix}… · `}${t("hosts.title", { n: number(hosts.length) })}</span>
      ${main && html`<span class="agg-u"><${Cap} name=${`${name}, ${main}`} total=${total} used=${used} held=${held} />
        <span class="num">${total ? Math.round((100 * (used + held)) / total) : 0} %</span></span>`}</div>
    <div class="tiles">${hosts.map((host, n) => html`<${Tile} key=${host.name} host=${host} names=${names} prefix=${prefix}
      chosen=${host.name === chosen} focusable=${chosen ? host.name === chosen : n === 0} />`)}</div></section>`;
}

function Holders({ type, host }) {
  const jobs = useResource(`v1/${path(type)}/?status=running&limit=1000`);
  const holders = (jobs.data || []).filter((job) => job.Hosts.includes(host));
  return html`<h3 class="sec-h">${t("hosts.holders")}</h3>${jobs.data && holders.length === 0 ? html`<p class="sub">${t("hosts.nobody")}</p>` : html`
    <dl class="kv">${holders.map((job) => html`<dt key=${job.RequestID}><a class="clip" href=${to("job", type, job.RequestID)}>${job.RequestID}</a></dt>
      <dd><span class="sub">${job.OwnerID} · ${span((clock.now() - Date.parse(job.UpdatedAt)) / 1000)}</span></dd>`)}</dl>`}`;
}

function Chosen({ type, host, onClose }) {
  const names = resources(Object.keys(host.capacity));
  return html`<aside class="panel" aria-labelledby="ch"><div class="panel-h"><h2 id="ch">${host.name}</h2>
      <button type="button" class="btn" data-kind="bare" data-size="icon" aria-label=${t("close")} onClick=${onClose}><${Icon} name="x" /></button></div>
    <div class="panel-b stack"><div class="util">${names.map((name) => html`<div class="cap-row"><span>${name}</span>
      <${Cap} name=${name} total=${amountOf(host.capacity[name])} used=${amountOf(host.used[name])} held=${amountOf(host.held[name])} />
      <span class="num">${number(amountOf(host.free[name]))}</span></div>`)}</div>
      ${host.dropped && html`<p class="sub">${t("hosts.dropped")}</p>`}<${Holders} type=${type} host=${host.name} /></div></aside>`;
}

export function Hosts({ route: { type, query } }) {
  const about = useResource(`types/${path(type)}`, { every: 4000 });
  const hosts = useResource(`types/${path(type)}/hosts/`, { every: 4000 });
  const [filter, setFilter] = useState("");
  const shown = useMemo(() => (hosts.data || []).filter((host) => host.name.includes(filter)), [hosts.data, filter]);
  const groups = new Map();
  for (const host of shown) {
    const name = host.anywhere ? t("hosts.anywhere") : host.aggregates[0] || t("hosts.noaggregate");
    groups.set(name, [...(groups.get(name) || []), host]);
  }
  const names = resources(Object.keys(totals(shown))).slice(0, SHOWN);
  const chosen = (hosts.data || []).find((host) => host.name === query.host);
  const choose = (name) => go(to("hosts", type, undefined, name && { host: name }), { replace: true });

  function keys(event) {
    const tiles = [...event.currentTarget.querySelectorAll(".tile")];
    const at = tiles.indexOf(document.activeElement);
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10 }[event.key];
    if (at < 0 || !step) return;
    event.preventDefault();
    tiles[Math.min(tiles.length - 1, Math.max(0, at + step))].focus();
  }
  const click = (event) => { const tile = event.target.closest(".tile"); if (tile) choose(tile.dataset.name); };
  return html`<${Head} type=${type} view="hosts" policy=${about.data?.policy} counts=${about.data?.counts} reload=${about.reload} />
    ${hosts.error && html`<${Failure} error=${hosts.error} again=${hosts.reload} />`}
    <div class="toolbar" role="search"><div class="find"><${Icon} name="search" /><input class="input" type="search" aria-label=${t("hosts.search")}
      placeholder=${t("hosts.search")} value=${filter} onInput=${(event) => setFilter(event.target.value)} /></div><span class="grow"></span><${Legend} /></div>
    ${hosts.data && hosts.data.length === 0 ? html`<${Empty} icon="hosts" title=${t("nav.hosts")}>${t("hosts.none")}</${Empty}>` : html`
    <div class="hosts"><div class="panel"><div class="panel-h"><h2>${t("hosts.title", { n: number(shown.length) })}</h2><span class="sub wide-only">${names.join(", ")}</span></div>
      <div class="map" onKeyDown=${keys} onClick=${click}>${[...groups].map(([name, list]) => html`<${Group} key=${name} name=${name} hosts=${list} names=${names} chosen=${query.host} />`)}</div></div>
      ${chosen && html`<${Chosen} type=${type} host=${chosen} onClose=${() => choose("")} />`}</div>`}`;
}
