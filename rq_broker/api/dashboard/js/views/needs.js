// What needs attention, of every type: in a sentence each, with where to go or what to do.
import { html, useState } from "../dom.js";
import { call, may, path } from "../api.js";
import { Confirm, Outcome, useAction } from "../acting.js";
import { number, span } from "../format.js";
import { Button, Icon } from "../parts.js";
import { to } from "../router.js";
import { many, t } from "../texts.js";

const SHOWN = 8; // needs drawn at once; the others behind a button

function sourceTrouble(source) {
  const late = source.age_seconds === null ? t("need.source.never", { source: source.name })
    : source.stale ? t("need.source", { source: source.name, span: span(source.age_seconds) }) : t("need.source.bad", { source: source.name });
  return {
    tone: "warn", icon: "warn", view: "hosts", text: late,
    more: source.cause && t("need.cause", { cause: source.cause, text: source.text || "" }),
    short: source.stale && source.age_seconds !== null ? t("trouble.source", { source: source.name, span: span(source.age_seconds) })
      : t("trouble.source.bad", { source: source.name, cause: source.cause || "—" }),
  };
}

// What is wrong with a type, the worst first: { tone, icon, text, more, short, view or act }.
export function troublesOf(row) {
  const { sources = [], breakers = 0, outage, losses = 0, no_host: noHost, unserved } = row.trouble || {};
  const found = [];
  if (losses) found.push({ tone: "bad", icon: "bad", text: many("need.losses", losses, { n: number(losses) }), short: t("trouble.losses"), act: "acknowledge" });
  if (unserved) found.push({ tone: "bad", icon: "off", text: t("need.unserved"), short: t("trouble.unserved") });
  if (outage) found.push({ tone: "bad", icon: "plug", view: "callbacks", text: t("need.outage"), short: t("trouble.outage") });
  if (breakers && !outage) {
    found.push({ tone: "bad", icon: "plug", view: "callbacks", short: breakers === 1 ? t("trouble.breakers.one") : t("trouble.breakers", { n: number(breakers) }),
      text: breakers === 1 ? t("need.breakers.one") : t("need.breakers", { n: number(breakers) }) });
  }
  if (noHost) found.push({ tone: "warn", icon: "warn", view: "hosts", text: many("need.no_host", row.counts.queued, { n: number(row.counts.queued) }), short: t("trouble.no_host") });
  found.push(...sources.map(sourceTrouble));
  if (row.paused) {
    const { queued } = row.counts;
    found.push({ tone: "plain", icon: "pause", short: t("trouble.paused"), act: "resume",
      text: queued ? many("need.paused", queued, { n: number(queued), span: span(row.oldest_wait_seconds) }) : t("need.paused.none") });
  }
  return found;
}

function Resume({ type, reload }) {
  const action = useAction();
  const resume = async () => { if (await action.run(() => call("PATCH", `types/${path(type)}`, { body: { paused: false } }))) reload(); };
  return html`<div>${may("patch_policy", type) && html`<${Button} icon="play" disabled=${action.busy} aria-label=${`${t("type.resume")}: ${type}`} onClick=${resume}>${t("type.resume.short")}</${Button}>`}
    <${Outcome} action=${action} /></div>`;
}

function Acknowledge({ type, reload }) {
  const [asking, setAsking] = useState(false);
  return html`<div>${may("acknowledge_losses", type) && html`<${Button} onClick=${() => setAsking(true)}>${t("need.acknowledge")}</${Button}>`}
    ${asking && html`<${Confirm} title=${t("need.acknowledge.ask", { type })} says=${t("need.acknowledge.says")} label=${t("need.acknowledge.yes")}
      onYes=${() => call("DELETE", `types/${path(type)}/losses`)} done=${reload} onClose=${() => setAsking(false)} />`}</div>`;
}

function Need({ type, need, reload }) {
  const { view, act } = need;
  return html`<li data-tone=${need.tone}><${Icon} name=${need.icon} /><div><p>${type && html`<strong>${type}</strong>${t("need.of")}`}${need.text}</p>${need.more && html`<p>${need.more}</p>`}</div>
    ${view && html`<a class="btn" href=${to(view, type)} aria-label=${`${t(`need.see.${view}`)}: ${type}`}>${t(`need.see.${view}`)}</a>`}
    ${act === "resume" && html`<${Resume} type=${type} reload=${reload} />`}${act === "acknowledge" && html`<${Acknowledge} type=${type} reload=${reload} />`}</li>`;
}

const ORDER = ["bad", "warn", "plain"];

// Trouble of the whole installation, as /readyz says it; what is of one type is told with its type.
function ofAll(ready) {
  const said = [ready?.redis, ...(ready?.notes || [])].filter((text) => text && text !== "ok");
  return said.map((text, n) => ({ type: "", need: { tone: ready.redis === text ? "bad" : "plain", icon: n ? "info" : "warn", text } }));
}

export function Needs({ rows, ready, reload }) {
  const [all, setAll] = useState(false);
  const needs = [...ofAll(ready), ...rows.flatMap((row) => troublesOf(row).map((need) => ({ type: row.name, need })))];
  needs.sort((one, other) => ORDER.indexOf(one.need.tone) - ORDER.indexOf(other.need.tone));
  if (!needs.length && rows.some((row) => !row.trouble)) return null; // a role that may not read of trouble is not told that all is well
  const shown = all ? needs : needs.slice(0, SHOWN);
  return html`<section class="panel" aria-labelledby="needs"><div class="panel-h"><h2 id="needs">${t("overview.needs")}</h2>
      ${needs.length > 0 && html`<span class="sub">${number(needs.length)}</span>`}</div>
    ${needs.length === 0 ? html`<p class="panel-b track"><${Icon} name="ok" tone="good" /><span>${t("overview.fine")}</span></p>` : html`<ul class="needs">
      ${shown.map(({ type, need }) => html`<${Need} key=${`${type} ${need.text}`} type=${type} need=${need} reload=${reload} />`)}</ul>`}
    ${needs.length > shown.length && html`<div class="panel-b"><${Button} onClick=${() => setAll(true)}>${t("overview.more", { n: number(needs.length - shown.length) })}</${Button}></div>`}</section>`;
}
