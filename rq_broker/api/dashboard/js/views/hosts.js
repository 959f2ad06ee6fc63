// The hosts of a type as a map: one tile each, by aggregate; the one that is chosen, beside it.
import { html, useMemo, useRef, useState } from "../dom.js";
import { may, path } from "../api.js";
import { amountOf, totals, useResource } from "../data.js";
import { amount, number, resources, span } from "../format.js";
import { Button, Cap, Empty, Failure, Icon, Legend, Loading, Note } from "../parts.js";
import { go, to } from "../router.js";
import { many, t } from "../texts.js";
import { Chosen } from "./host.js";
import { FitMenu, fitOf, fits } from "./host-fit.js";
import { Head } from "./head.js";
import { OutOfService } from "./host-drain.js";

const READ_MS = 4000; // between two reads of all hosts
const KEPT_MS = 10000; // between two plans of what is kept
const SHOWN = 3; // bars on a tile
const [ROOM, LITTLE] = [7, 4]; // letters that a tile has room for, without and with an icon

const percent = (part, total) => (total ? Math.min(100, Math.max(0, (100 * part) / total)) : 0);

function TileBars({ host, names, kept }) {
  return html`<svg class="bars" aria-hidden="true">${names.map((name, row) => {
    const total = amountOf(host.capacity[name]);
    const [used, held] = [percent(amountOf(host.used[name]), total), percent(amountOf(host.held[name]), total)];
    const later = Math.min(100 - used - held, percent(kept?.[name] || 0, total));
    const y = 5.5 * row;
    return html`<rect class="c-free" y=${y} width="100%" height="4" />${used > 0 && html`<rect class="c-used" y=${y} width=${`${used}%`} height="4" />`}
      ${held > 0 && html`<rect class="c-held" x=${`${used}%`} y=${y} width=${`${held}%`} height="4" />`}
      ${later > 0 && html`<rect fill="url(#hatch)" x=${`${used + held}%`} y=${y} width=${`${later}%`} height="4" />`}`;
  })}</svg>`;
}

// The text that all names of a group begin with, up to its last separator.
function prefixOf(names) {
  let prefix = names[0] || "";
  for (const name of names) while (!name.startsWith(prefix)) prefix = prefix.slice(0, -1);
  return names.length > 1 ? prefix.replace(/[^-._]*$/, "") : "";
}

// What of a name stands on a tile: what differs from the others, without a domain; of a long one its end.
function shortName(name, prefix, room) {
  const [own] = name.slice(prefix.length).split(".");
  return own.length > room ? `…${own.slice(1 - room)}` : own;
}

const STATES = { drain: "drain", stale: "clock", kept: "kept" };

function stateOf(host, stale, kept) {
  if (host.dropped) return "drain";
  if (stale.has(host.source)) return "stale";
  return kept ? "kept" : "";
}

function Tile({ host, names, prefix, chosen, focusable, state, kept, fit }) {
  const taken = names.map((name) => {
    const part = amountOf(host.used[name]) + amountOf(host.held[name]);
    return t("hosts.taken", { resource: name, percent: `${Math.round(percent(part, amountOf(host.capacity[name])))} %` });
  });
  const isFit = fit && fits(host, fit);
  const label = [`${host.name}: ${taken.join("; ")}`, state && t(`hosts.state.${state}`), isFit && t("hosts.fit.is")].filter(Boolean).join("; ");
  return html`<button type="button" class="tile" aria-pressed=${chosen} aria-label=${label} title=${host.name} data-name=${host.name}
    tabindex=${focusable ? 0 : -1} ...${state && { "data-state": state }} ...${isFit && { "data-fits": "" }}>
    <span class="nm" aria-hidden="true"><span class="clip">${shortName(host.name, prefix, state ? LITTLE : ROOM)}</span>${state && html`<${Icon} name=${STATES[state]} />`}</span>
    <${TileBars} host=${host} names=${names} kept=${kept} /></button>`;
}

// What every host of a group has, if all have the same: "64 VCPU, 256 GB each".
function eachOf(hosts, names) {
  const shown = names.filter((name) => name !== "Disk").slice(0, 2);
  const one = (host) => shown.map((name) => amount(name, amountOf(host.capacity[name]))).join(", ");
  return shown.length && hosts.length > 1 && hosts.every((host) => one(host) === one(hosts[0])) ? t("hosts.each", { amounts: one(hosts[0]) }) : "";
}

function count(hosts) {
  return hosts.length === 1 ? t("hosts.title.one") : t("hosts.title", { n: number(hosts.length) });
}

// What is kept of a host and free now: the rest is in use until the reservation begins.
function keptNow(host, resource, kept) {
  const free = amountOf(host.capacity[resource]) - amountOf(host.used[resource]) - amountOf(host.held[resource]);
  return host.dropped ? 0 : Math.max(0, Math.min(kept?.[resource] || 0, free));
}

function Group({ name, hosts, names, chosen, first, compact, stale, kept, fit }) {
  const prefix = prefixOf(hosts.map((host) => host.name));
  const own = names.filter((each) => hosts.some((host) => each in host.capacity));
  const [main] = own;
  const { total = 0, used = 0, held = 0 } = totals(hosts)[main] || {};
  const later = hosts.reduce((sum, host) => sum + keptNow(host, main, kept.get(host.name)), 0);
  return html`<section aria-label=${name}><div class="agg-h"><h2>${name}</h2>
      <span class="sub">${[prefix && `${prefix}…`, count(hosts), eachOf(hosts, own)].filter(Boolean).join(" · ")}</span>
      ${main && html`<span class="agg-u"><${Cap} name=${`${name}, ${main}`} total=${total} used=${used} held=${held} kept=${later} />
        <span class="num">${Math.round(percent(used + held, total))} %</span></span>`}</div>
    <div class="tiles" ...${compact && { "data-density": "compact" }}>${hosts.map((host) => html`<${Tile} key=${host.name} host=${host} names=${own.slice(0, SHOWN)} prefix=${prefix}
      chosen=${host.name === chosen} focusable=${host.name === first} state=${stateOf(host, stale, kept.get(host.name))} kept=${kept.get(host.name)} fit=${fit} />`)}</div></section>`;
}

function Sources({ hosts, sources }) {
  const troubled = (sources || []).filter((each) => each.stale || each.cause).slice(0, 2);
  return troubled.map((each) => {
    const ofIt = hosts.filter((host) => host.source === each.name).length;
    const text = each.age_seconds === null ? t("hosts.late.never", { source: each.name, cause: each.cause || "—" })
      : each.stale ? many("hosts.late", ofIt, { n: number(ofIt), span: span(each.age_seconds), source: each.name })
      : t("hosts.failing", { source: each.name, cause: each.cause, text: each.text || "" });
    return html`<${Note} key=${each.name} tone="warn" icon="warn">${text}${each.stale && each.cause ? ` (${each.cause})` : ""}</${Note}>`;
  });
}

// Host → resource → what is kept there, of all jobs that have a reservation.
function keptOn(reservations) {
  const kept = new Map();
  for (const { hosts } of reservations || []) {
    for (const [host, amounts] of Object.entries(hosts)) {
      const sums = kept.get(host) || {};
      for (const [name, value] of Object.entries(amounts)) sums[name] = (sums[name] || 0) + value;
      kept.set(host, sums);
    }
  }
  return kept;
}

// A host stands once, in the smallest of its aggregates: one that all hosts share would be the only group.
function grouped(hosts) {
  const groups = new Map();
  const sizes = new Map();
  for (const name of hosts.flatMap((host) => host.aggregates)) sizes.set(name, (sizes.get(name) || 0) + 1);
  const smallest = (host) => [...host.aggregates].sort((one, other) => sizes.get(one) - sizes.get(other))[0];
  for (const host of hosts) {
    const name = host.dropped ? t("hosts.state.drain") : host.anywhere ? t("hosts.anywhere") : smallest(host) || t("hosts.noaggregate");
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(host);
  }
  return [...groups].sort(([one, [first]], [other, [second]]) => first.dropped - second.dropped || one.localeCompare(other));
}

// Arrow keys move in the rows that one sees; Esc closes what Enter opened.
function moveFocus(event, close) {
  if (event.key === "Escape") { close(); return; }
  const tiles = [...event.currentTarget.querySelectorAll(".tile")];
  const at = tiles.indexOf(document.activeElement);
  if (at < 0 || !event.key.startsWith("Arrow")) return;
  event.preventDefault();
  const here = tiles[at].getBoundingClientRect();
  let next = at + (event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0);
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const down = event.key === "ArrowDown";
    const boxes = tiles.map((tile) => tile.getBoundingClientRect());
    const beyond = boxes.map((box, n) => [box, n]).filter(([box]) => (down ? box.top > here.bottom - 1 : box.bottom < here.top + 1));
    const row = down ? Math.min(...beyond.map(([box]) => box.top)) : Math.max(...beyond.map(([box]) => box.top));
    const inRow = beyond.filter(([box]) => Math.abs(box.top - row) < 2);
    inRow.sort(([one], [other]) => Math.abs(one.left - here.left) - Math.abs(other.left - here.left));
    next = inRow.length ? inRow[0][1] : at;
  }
  const target = tiles[Math.min(tiles.length - 1, Math.max(0, next))];
  tiles[at].tabIndex = -1;
  target.tabIndex = 0;
  target.focus();
}

function Map_({ type, hosts, sources, reservations, query, compact, setCompact, reload }) {
  const { fit: asked = "", find = "", aggregate = "" } = query;
  const fit = fitOf(asked);
  const shown = useMemo(() => hosts.filter((host) => host.name.includes(find) && (!aggregate || host.aggregates.includes(aggregate))), [hosts, find, aggregate]);
  const kept = useMemo(() => keptOn(reservations), [reservations]);
  const stale = new Set((sources || []).filter((each) => each.stale).map((each) => each.name));
  const names = resources(Object.keys(totals(hosts)));
  const groups = grouped(shown);
  const choose = (name) => go(to("hosts", type, undefined, { ...query, host: name }), { replace: true });
  const close = () => { const { host: _, ...rest } = query; go(to("hosts", type, undefined, rest), { replace: true }); };
  const click = (event) => { const tile = event.target.closest(".tile"); if (tile) choose(tile.dataset.name); };
  const chosen = hosts.find((host) => host.name === query.host);
  // Groups that are no aggregate: hosts without one, those beside any host, those that are drained.
  const aggregates = groups.filter(([, [host]]) => host.aggregates.length > 0 && !host.dropped && !host.anywhere).length;
  const title = groups.length > 1 && aggregates > 0 ? many("hosts.groups", aggregates, { hosts: count(shown), n: number(aggregates) }) : count(shown);
  const firstOf = shown.some((host) => host.name === query.host) ? query.host : groups[0]?.[1][0]?.name;
  const toggle = t(compact ? "hosts.names.show" : "hosts.names.hide");
  const fitting = fit && shown.filter((host) => fits(host, fit)).length;
  return html`${fit && html`<${Note} tone="held" icon="box">${t("hosts.fit.result", { what: Object.entries(fit).map(([name, value]) => amount(name, value)).join(", "), n: number(fitting), all: number(shown.length) })}</${Note}>`}
    <div class=${chosen || query.host ? "hosts" : "hosts alone"}><div class="panel"><div class="panel-h"><h2>${title}</h2><span class="sub wide-only">${t("hosts.bars", { names: names.slice(0, SHOWN).join(", ") })}</span>
        <button type="button" class="btn wide-only" data-kind="bare" data-size="icon" aria-label=${toggle} title=${toggle} aria-pressed=${compact} onClick=${() => setCompact(!compact)}><${Icon} name="rows" /></button></div>
      ${shown.length === 0 ? html`<p class="panel-b sub">${t("hosts.nomatch")}</p>` : html`<div class="map" ...${fit && { "data-fit": "" }} onKeyDown=${(event) => moveFocus(event, close)} onClick=${click}>
        ${groups.map(([name, list]) => html`<${Group} key=${name} name=${name} hosts=${list} names=${names} chosen=${query.host} first=${firstOf} compact=${compact} stale=${stale} kept=${kept} fit=${fit} />`)}</div>`}</div>
      ${query.host && html`<${Chosen} key=${query.host} type=${type} name=${query.host} host=${chosen} source=${(sources || []).find((each) => each.name === chosen?.source)}
        reservations=${reservations || []} reload=${reload} onClose=${close} />`}</div>`;
}

function Tools({ type, hosts, query }) {
  const change = (values) => {
    const kept = Object.fromEntries(Object.entries({ ...query, ...values }).filter(([, value]) => value));
    go(to("hosts", type, undefined, kept), { replace: true });
  };
  const aggregates = [...new Set(hosts.flatMap((host) => host.aggregates))].sort();
  return html`<div class="toolbar" role="search"><div class="find"><${Icon} name="search" /><input class="input" type="search" aria-label=${t("hosts.search")}
      placeholder=${t("hosts.search")} value=${query.find || ""} onInput=${(event) => change({ find: event.target.value })} /></div>
    ${aggregates.length > 1 && html`<select class="input pick" aria-label=${t("hosts.aggregate")} onChange=${(event) => change({ aggregate: event.target.value })}>
      <option value="">${t("hosts.all")}</option>${aggregates.map((name) => html`<option key=${name} value=${name} selected=${name === query.aggregate}>${name}</option>`)}</select>`}
    <${FitMenu} names=${resources(Object.keys(totals(hosts)))} asked=${query.fit || ""} onFit=${(fit) => change({ fit })} />
    ${(query.find || query.aggregate) && html`<${Button} data-kind="bare" icon="x" onClick=${() => change({ find: "", aggregate: "" })}>${t("hosts.clear")}</${Button}>`}
    <span class="grow"></span><span class="wide-only"><${Legend} /></span></div>`;
}

export function Hosts({ route: { type, query } }) {
  const about = useResource(`types/${path(type)}`, { every: READ_MS });
  const hosts = useResource(`types/${path(type)}/hosts/`, { every: READ_MS });
  const isNamed = !hosts.data || hosts.data.every((host) => host.name); // clients get sums
  const sources = useResource(may("sources", type) ? `types/${path(type)}/sources` : null, { every: READ_MS });
  const reservations = useResource(may("reservations", type) ? `types/${path(type)}/reservations` : null, { every: KEPT_MS });
  const [compact, setCompact] = useState(false);
  const drained = useRef(0);
  const head = html`<${Head} type=${type} view="hosts" about=${about} hosts=${isNamed ? hosts.data?.length : undefined} />`;
  if (hosts.error && !hosts.data) return html`${head}<${Failure} whole error=${hosts.error} again=${hosts.reload} />`;
  if (!hosts.data) return html`${head}<${Loading} />`;
  if (!isNamed) return html`${head}<${Note}>${t("hosts.clients")}</${Note}><${Sums} sums=${hosts.data} />`;
  const reload = () => { drained.current += 1; hosts.reload(); };
  const body = hosts.data.length === 0 ? html`<${Empty} art="hosts" title=${t("hosts.none.title")}>${t("hosts.none", { type })}</${Empty}>` : html`
    <${Tools} type=${type} hosts=${hosts.data} query=${query} />${hosts.error && html`<${Failure} error=${hosts.error} again=${hosts.reload} />`}
    <${Sources} hosts=${hosts.data} sources=${sources.data} />
    <${Map_} type=${type} hosts=${hosts.data} sources=${sources.data} reservations=${reservations.data} query=${query} compact=${compact} setCompact=${setCompact} reload=${reload} />`;
  return html`${head}${body}<${OutOfService} key=${`${drained.current} ${hosts.data.length}`} type=${type} hosts=${hosts.data} reload=${reload} />`;
}

// What a client sees: the sums of the type and of each aggregate.
function Sums({ sums }) {
  return html`<section class="panel"><table class="tbl sums"><tbody>${sums.map((each) => html`<tr key=${each.aggregate || ""}><th scope="row">${each.aggregate || t("hosts.all")}</th><td>
    <div class="util">${resources(Object.keys(each.capacity)).map((name) => html`<div class="cap-row" key=${name}><span>${name}</span>
      <${Cap} name=${name} total=${each.capacity[name]} used=${each.used[name] || 0} held=${each.held[name] || 0} /><span class="num nowrap">${t("hosts.free", { n: amount(name, each.free[name] || 0) })}</span></div>`)}</div></td></tr>`)}</tbody></table></section>`;
}
