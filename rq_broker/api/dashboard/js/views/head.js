// The head of every view of one type: its name, whether it grants, what its policy is in short, and its tabs.
import { html, useState } from "../dom.js";
import { call, may, path } from "../api.js";
import { Confirm, Outcome, useAction } from "../acting.js";
import { number, span } from "../format.js";
import { Badge, Button } from "../parts.js";
import { to } from "../router.js";
import { gap, t } from "../texts.js";

const TABS = ["line", "hosts", "callbacks", "reports", "audit", "policy"];

// The policy in a sentence: how long later jobs may pass, whether owners share, how long offers last.
function inShort(policy) {
  const patience = policy.strict_order ? t("head.strict") : policy.patience === null ? t("head.patience.never") : t("head.patience", { span: span(policy.patience) });
  const offer = policy.offer === null ? t("head.offer.ever") : t("head.offer", { span: span(policy.offer) });
  return [patience, policy.share ? t("head.share") : "", offer].filter(Boolean).join(gap());
}

function Pause({ type, policy, counts, reload }) {
  const [asking, setAsking] = useState(false);
  const action = useAction();
  const change = (paused) => call("PATCH", `types/${path(type)}`, { body: { paused } });
  const resume = async () => { if (await action.run(() => change(false), t("type.resumed", { type }))) reload(); };
  if (!may("patch_policy", type)) return null;
  return html`${policy.paused ? html`<${Button} data-kind="main" icon="play" disabled=${action.busy} onClick=${resume}>${t("type.resume")}</${Button}>`
    : html`<${Button} icon="pause" onClick=${() => setAsking(true)}>${t("type.pause")}</${Button}>`}<${Outcome} action=${action} />
    ${asking && html`<${Confirm} title=${t("type.pause.ask", { type })} says=${t("type.pause.says", { waiting: number(counts?.queued || 0) })} label=${t("type.pause")}
      onYes=${() => change(true)} done=${reload} onClose=${() => setAsking(false)} />`}`;
}

// `about`: the resource types/{type}, or its policy, counts and reload by themselves.
export function Head({ type, view, about, hosts, policy = about?.data?.policy, counts = about?.data?.counts, reload = about?.reload }) {
  const number_of = { line: counts?.queued, hosts };
  return html`<div class="page-h" data-type><div><div class="title"><h1>${type}</h1>
      ${policy && html`<${Badge} tone=${policy.paused ? "warn" : "ok"} icon=${policy.paused ? "pause" : "play"}>${t(policy.paused ? "type.paused" : "type.granting")}</${Badge}>`}</div>
      ${policy && html`<p class="lede wide-only">${inShort(policy)}</p>`}</div>
    <div class="actions">${policy && html`<${Pause} type=${type} policy=${policy} counts=${counts} reload=${reload} />`}</div></div>
    <nav class="tabs" aria-label=${t("nav.views", { type })}>${TABS.filter((tab) => tab !== "audit" || may("audit_log", type)).map((tab) => html`
      <a key=${tab} href=${to(tab, type)} ...${view === tab && { "aria-current": "page" }}>${t(`nav.${tab}`)}
        ${number_of[tab] !== undefined && html`<span class="num">${number(number_of[tab])}</span>`}</a>`)}</nav>`;
}
