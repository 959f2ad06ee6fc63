// One host beside the map: what of it is used, held, kept and free, who holds it, and how to drain it.
import { html } from "../dom.js";
import { clock, path } from "../api.js";
import { amountOf, useResource } from "../data.js";
import { amount, instant, minute, number, resources, span } from "../format.js";
import { Badge, Failure, Icon } from "../parts.js";
import { to } from "../router.js";
import { many, t } from "../texts.js";
import { Drain } from "./host-drain.js";

const READ_MS = 5000; // between two reads of who holds the host
const SHOWN = 30; // holders drawn; the earliest ends first

function BigCap({ name, total, used, held, kept, free }) {
  const share = (value) => (total > 0 ? Math.min(100, Math.max(0, (100 * value) / total)) : 0);
  const [u, h, k] = [share(used), share(held), share(kept)];
  const label = t("hosts.cap", { name, used: number(used), held: number(held), kept: number(kept), free: number(free), total: number(total) });
  return html`<svg class="cap" data-size="lg" role="img" aria-label=${label}><rect class="c-free" width="100%" height="100%" />
    <rect class="c-used" width=${`${u}%`} height="100%" />${u > 0 && h > 0 && html`<rect class="c-gap" x=${`${u}%`} width="1" height="100%" />`}
    <rect class="c-held" x=${`${u}%`} width=${`${Math.min(h, 100 - u)}%`} height="100%" />
    ${k > 0 && html`<rect fill="url(#hatch)" x=${`${u + h}%`} width=${`${Math.min(k, 100 - u - h)}%`} height="100%" />`}</svg>`;
}

// How amounts of a resource are written beside its total: memory in GB where the total is whole GB.
function inUnits(name, total) {
  if (name !== "Memory" && name !== "Disk") return [number, number];
  const isGb = name === "Memory" && total % 1024 === 0;
  const plain = (value) => number(isGb ? Math.round((10 * value) / 1024) / 10 : value);
  return [plain, (value) => t(isGb || name === "Disk" ? "amount.gb" : "amount.mb", { n: plain(value) })];
}

function Resource({ host, name, kept }) {
  const total = amountOf(host.capacity[name]);
  const [used, held] = [amountOf(host.used[name]), amountOf(host.held[name])];
  const free = amountOf(host.free[name]);
  const left = Math.max(0, free - kept);
  const [plain, withUnit] = inUnits(name, total);
  return html`<div class="res-i"><div class="h"><strong>${name}</strong><span>${t("hosts.of", { taken: plain(used + held), total: withUnit(total) })}</span></div>
    <${BigCap} name=${name} total=${total} used=${used} held=${held} kept=${kept} free=${left} />
    <div class="d"><span>${t("hosts.used", { n: plain(used) })}</span><span>${t("hosts.held", { n: plain(held) })}</span>
      ${kept > 0 && html`<span>${t("hosts.keptn", { n: plain(kept) })}</span>`}
      ${free < 0 ? html`<span class="warnt">${t("hosts.over", { n: plain(-free) })}</span>` : html`<span>${t("hosts.free", { n: plain(left) })}</span>`}</div>
    ${(host.devices?.[name] || []).map((device, n) => html`<div class="cap-row" key=${n}><span>${t("hosts.device", { n })}</span>
      <${BigCap} name=${`${name} ${n}`} total=${device.size} used=${device.used} held=${device.held} kept=${0} free=${device.free} /><span class="num">${number(device.free)}</span></div>`)}</div>`;
}

function Holder({ type, holder }) {
  const now = clock.now() / 1000;
  const size = resources(Object.keys(holder.amounts)).filter((name) => !name.includes("/")).map((name) => amount(name, holder.amounts[name])).join(", ");
  const [since, ends] = [new Date(1000 * holder.granted), new Date(1000 * holder.ends)];
  return html`<li><a class="clip" href=${to("job", type, holder.request_id)} title=${holder.request_id}>${holder.request_id}</a><span class="r">${size}</span>
    <span class="sub clip" title=${instant(since)}>${[holder.owner_id, t("hosts.since", { time: minute(since) })].filter(Boolean).join(" · ")}</span>
    ${holder.ends < now ? html`<span class="r sub warnt">${t("hosts.beyond", { span: span(now - holder.ends) })}</span>`
    : html`<span class="r sub" title=${instant(ends)}>${t("hosts.until", { time: minute(ends) })}</span>`}</li>`;
}

function Kept({ type, name, reservations }) {
  const here = reservations.filter((each) => name in each.hosts);
  if (here.length === 0) return null;
  return html`<div class="sec"><h3>${t("hosts.keptfor")}</h3>${here.map((each) => {
    const others = Object.keys(each.hosts).length - 1;
    const values = { time: minute(new Date(1000 * each.start)), n: number(others) };
    return html`<p key=${each.request_id}><a class="wrap" href=${to("job", type, each.request_id)}>${each.request_id}</a> ${others ? many("hosts.keptfor.more", others, values) : t("hosts.keptfor.one", values)}</p>`;
  })}</div>`;
}

export function Chosen({ type, name, host, source, reservations, reload, onClose }) {
  const holders = useResource(host ? `types/${path(type)}/hosts/${path(name)}/holders` : null, { every: READ_MS });
  const kept = {};
  for (const each of reservations) for (const [resource, value] of Object.entries(each.hosts[name] || {})) kept[resource] = (kept[resource] || 0) + value;
  const state = host?.dropped ? ["warn", "drain", "drain"] : source?.stale ? ["warn", "clock", "stale"] : Object.keys(kept).length ? ["held", "kept", "kept"] : null;
  const about = host && [host.aggregates.length && t("hosts.in", { names: host.aggregates.join(", ") }),
    host.source ? t("hosts.from.source", { source: host.source }) : t("hosts.from.client")].filter(Boolean).join(" · ");
  const list = holders.data || [];
  return html`<aside class="panel" data-stick aria-labelledby="hp"><div class="panel-h"><h2 id="hp" class="wrap">${name}</h2>
      ${state && html`<${Badge} tone=${state[0]} icon=${state[1]}>${t(`hosts.state.${state[2]}`)}</${Badge}>`}
      <button type="button" class="btn" data-kind="bare" data-size="icon" aria-label=${t("close")} title=${t("close")} onClick=${onClose}><${Icon} name="x" /></button></div>
    ${!host ? html`<p class="panel-b sub">${t("hosts.gone", { name })}</p>` : html`
    <div class="sec"><p class="sub">${about}</p>${host.traits && html`<p class="sub">${t("hosts.traits", { names: host.traits.join(", ") })}</p>`}
      <div class="res">${resources(Object.keys(host.capacity)).map((each) => html`<${Resource} key=${each} host=${host} name=${each} kept=${kept[each] || 0} />`)}</div></div>
    <${Kept} type=${type} name=${name} reservations=${reservations} />
    ${holders.data && html`<div class="sec"><h3>${list.length === 1 ? t("hosts.holders.one") : list.length ? t("hosts.holders", { n: number(list.length) }) : t("hosts.nobody")}</h3>
      ${list.length > 0 && html`<ul class="hold">${list.slice(0, SHOWN).map((each) => html`<${Holder} key=${each.request_id} type=${type} holder=${each} />`)}</ul>`}</div>`}
    ${holders.error && html`<div class="sec"><${Failure} error=${holders.error} again=${holders.reload} /></div>`}
    <div class="sec"><${Drain} key=${host.dropped} type=${type} host=${host} holders=${list.length} reload=${reload} /></div>`}</aside>`;
}
