// Why a job waits, for whom, and when its turn comes.
import { html } from "../dom.js";
import { clock } from "../api.js";
import { amount, clockTime, instant, minute, number, range, resources, size, span } from "../format.js";
import { EtaBar, Icon } from "../parts.js";
import { sentence } from "../reasons.js";
import { to } from "../router.js";
import { many, t } from "../texts.js";

const SHOWN = 8; // holders that are drawn
const FOREIGN = 4; // hosts that are drawn as used by others
const STEPS = 6; // of the axis of the forecast

// One row for each job, or for each host: what it has of each resource, and where.
function rowsOf(list, keyOf) {
  const rows = new Map();
  for (const each of list) {
    const key = keyOf(each);
    const row = rows.get(key) || { ...each, key, amounts: {}, hosts: new Set() };
    row.amounts[each.resource] = (row.amounts[each.resource] || 0) + each.amount;
    row.hosts.add(each.host);
    rows.set(key, row);
  }
  return [...rows.values()];
}

const amountsOf = (row) => resources(Object.keys(row.amounts)).map((name) => amount(name, row.amounts[name])).join(", ");

function Holder({ type, row, ends, axis }) {
  const end = row.ends ?? ends.get(row.request_id);
  const left = end ? Math.max(0, end - clock.now() / 1000) : null;
  return html`<li><span class="two">${row.request_id ? html`<a class="clip" href=${to("job", type, row.request_id)} title=${row.request_id}>${row.request_id}</a>` : html`<span class="clip">${t("job.anonymous")}</span>`}
      <span class="sub clip">${row.owner_id || ""}</span></span>
    <span class="two"><span class="clip">${amountsOf(row)}</span><span class="sub clip" title=${[...row.hosts].join(", ")}>${t("job.on", { host: [...row.hosts].join(", ") })}</span></span>
    ${left === null ? html`<span class="sub">${t(row.overdue ? "job.overdue" : "job.held", { span: span(row.seconds) })}</span>` : html`<${EtaBar} eta=${{ p50: left, p90: left }} axis=${axis} />`}
    <span class="num">${left === null ? "" : html`<span title=${instant(1000 * end)}>${range(left, left)}</span>`}</span></li>`;
}

function Smaller({ largest, all, data }) {
  if (!largest || (!largest.instances && !largest.percent)) return null;
  const ways = [];
  if (largest.instances && largest.instances < all) ways.push(t("job.smaller.n", { n: number(largest.instances), all: number(all) }));
  if (largest.percent && largest.percent < 100 && largest.scaled) {
    ways.push(t("job.smaller.scaled", { size: size(JSON.stringify({ instances: largest.scaled })).text, percent: number(largest.percent) }));
  }
  if (!ways.length) return null;
  return html`<p class="track"><${Icon} name="box" /><span>${t("job.smaller")}<strong>${ways.join(t("job.smaller.or"))}</strong>${data}</span></p>`;
}

export function Why({ job, explained, at }) {
  const { reason, holders = [], used_by_others: others = [], reservation, largest } = explained;
  const rows = rowsOf(holders, (each) => (each.request_id ? `${each.request_id} ${each.owner_id}` : `${each.owner_id} ${each.host}`));
  const foreign = rowsOf(others, (each) => each.host);
  const ends = new Map((reservation?.waits_for || []).map((each) => [each.request_id, each.ends]));
  const now = clock.now() / 1000;
  const axis = Math.max(3600, ...[...ends.values(), ...holders.map((each) => each.ends ?? now)].map((end) => 1.25 * (end - now)));
  let all = 0;
  try { all = JSON.parse(job.Data).instances?.length || 1; } catch { all = 1; }
  const hidden = Math.min(rows.length, SHOWN) + Math.min(foreign.length, FOREIGN);
  const isOther = explained.explains && explained.explains !== job.RequestID;
  return html`<section class="panel" aria-labelledby="why"><div class="panel-h"><h2 id="why">${t("job.why")}</h2><span class="sub">${t("job.asof", { time: clockTime(new Date(at)) })}</span></div><div class="reason">
    <p class="say">${reason ? sentence(reason) : t("job.fits")}</p>
    ${isOther && html`<p class="sub">${many("job.explains", explained.jobs_of_its_shape_before, { name: explained.explains, n: number(explained.jobs_of_its_shape_before) })}</p>`}
    ${reservation && html`<p class="track"><${Icon} name="kept" /><span>${t("job.kept.start", { hosts: explained.hosts.slice(0, SHOWN).join(", "), time: minute(1000 * reservation.start) })}</span></p>`}
    ${rows.length + foreign.length > 0 && html`<div><h3 class="sec-h">${t("job.waits")}</h3><ul class="wait-for">
      ${rows.slice(0, SHOWN).map((row) => html`<${Holder} key=${row.key} type=${job.Type} row=${row} ends=${ends} axis=${axis} />`)}
      ${foreign.slice(0, FOREIGN).map((row) => html`<li key=${row.key}><span class="two"><span>${t("job.others.who")}</span><span class="sub">${t("job.others.sub", { type: job.Type })}</span></span>
        <span class="two"><span class="clip">${amountsOf(row)}</span><span class="sub clip">${t("job.on", { host: row.host })}</span></span><span></span><span></span></li>`)}</ul>
      ${rows.length + foreign.length > hidden && html`<p class="sub">${t("job.waits.more", { n: number(rows.length + foreign.length - hidden) })}</p>`}</div>`}
    <${Smaller} largest=${largest} all=${all} /></div></section>`;
}

// Our record of being right: a bar of the forecasts of the type that were put to the test.
function Track({ type, accuracy }) {
  const { within_p90: kept = 0, beyond_p90: missed = 0 } = accuracy || {};
  const n = kept + missed;
  if (!n) return html`<p class="track sub">${t("job.track.none", { type })}</p>`;
  const share = (100 * kept) / n;
  return html`<div class="track"><svg role="img" aria-label=${t("job.track.label", { kept: number(kept), n: number(n) })}><rect class="hit" width=${`${share}%`} height="100%" rx="2" />
      ${missed > 0 && html`<rect class="mis" x=${`${share}%`} y="1" width=${`${100 - share}%`} height="14" />`}</svg>
    <span>${t("job.track", { n: number(n), type })}<strong>${t("job.track.kept", { n: number(kept) })}</strong>${t("job.track.missed", { n: number(missed) })}</span></div>`;
}

// The clock time some seconds from now, to the minute; of another day with its date.
export function around(seconds) {
  return minute(clock.now() + 1000 * seconds);
}

export function When({ job, explained }) {
  const { eta, eta_accuracy: accuracy } = explained;
  const known = typeof eta?.p50 === "number";
  const isBounded = typeof eta?.p90 === "number";
  const axis = known ? Math.max(600, 1.5 * (isBounded ? eta.p90 : 2 * eta.p50)) : 0;
  const isNow = known && isBounded && eta.p90 < 60;
  const big = !known ? t(eta?.why?.code === "impossible" ? "job.when.never" : "job.when.unknown") : isNow ? t("job.when.in", { range: range(eta.p50, eta.p90) })
    : isBounded ? t("job.when.clock", { from: around(eta.p50), to: around(eta.p90) }) : t("job.when.later", { from: around(eta.p50) });
  return html`<section class="panel" aria-labelledby="when"><div class="panel-h"><h2 id="when">${t("job.when")}</h2>${known && html`<span class="sub">${t("job.when.from")}</span>`}</div><div class="reason">
    <div class="eta-big"><b>${big}</b><span class="quiet">${isNow ? "" : known ? t("job.when.in", { range: range(eta.p50, eta.p90) }) : eta?.why ? sentence(eta.why) : eta?.reason || ""}</span></div>
    ${known && html`<div class="eta-wide"><p class="vh">${t("job.axis", { from: around(eta.p50), to: isBounded ? around(eta.p90) : t("eta.unknown") })}</p><${EtaBar} eta=${eta} axis=${axis} steps=${STEPS} />
      <svg class="ticks" aria-hidden="true">${Array.from({ length: STEPS + 1 }, (_, n) => html`<text x=${`${(100 * n) / STEPS}%`} y="13"
        text-anchor=${n === 0 ? "start" : n === STEPS ? "end" : "middle"} class=${n % 2 ? "wide-only" : ""}>${n === 0 ? t("job.now") : around((axis * n) / STEPS)}</text>`)}</svg></div>`}
    <${Track} type=${job.Type} accuracy=${accuracy} /></div></section>`;
}
