// One job: why it waits and until when, what happened to it, and what can be done with it.
import { html, useEffect, useState } from "../dom.js";
import { call, clock, path } from "../api.js";
import { useResource } from "../data.js";
import { instant, moment, number, range, size, span } from "../format.js";
import { useTick } from "../live.js";
import { Ask, Badge, Button, Empty, EtaBar, Failure, Icon, Status } from "../parts.js";
import { sentence } from "../reasons.js";
import { go, to } from "../router.js";
import { t } from "../texts.js";

const SHOWN = 8; // holders that it waits for
const DAY = 86400;

function Why({ explained }) {
  const { reason, holders = [], largest } = explained;
  const ends = Math.max(3600, ...holders.slice(0, SHOWN).map((each) => Math.min(DAY, each.ends || 0)));
  return html`<section class="panel" aria-labelledby="why"><div class="panel-h"><h2 id="why">${t("job.why")}</h2></div><div class="reason">
    <p class="say">${sentence(reason)}</p>
    ${holders.length > 0 && html`<div><h3 class="sec-h">${t("job.waits")}</h3><ul class="wait-for">${holders.slice(0, SHOWN).map((each) => html`
      <li key=${`${each.request_id} ${each.host} ${each.resource}`}><span class="two"><span class="clip">${each.request_id}</span><span class="sub clip">${each.owner_id}</span></span>
      <span class="two"><span class="clip">${number(each.amount)} ${each.resource}</span><span class="sub clip">${each.host}</span></span>
      <${EtaBar} eta=${{ p50: each.ends, p90: each.ends }} axis=${ends} /><span class="num">${span(each.seconds)}</span></li>`)}</ul></div>`}
    ${largest && html`<p class="track"><${Icon} name="box" /><span>${t("job.smaller", { size: `${largest.percent ?? ""} %` })}</span></p>`}</div></section>`;
}

function When({ eta }) {
  return html`<section class="panel" aria-labelledby="when"><div class="panel-h"><h2 id="when">${t("job.when")}</h2></div><div class="reason">
    <div class="eta-big"><b>${range(eta?.p50, eta?.p90)}</b>${eta?.reason && html`<span class="quiet">${sentence(eta.why)}</span>`}</div></div></section>`;
}

function Timeline({ job, attempts }) {
  const steps = [{ at: job.CreatedAt, icon: "line", text: t("job.submitted", { owner: job.OwnerID }) },
    ...attempts.map((each) => ({ at: each.time, icon: "call", tone: each.cause === "http_200" ? "held" : "bad",
      text: each.cause, more: `${number(each.milliseconds)} ms` }))];
  if (job.UpdatedAt !== job.CreatedAt) steps.push({ at: job.UpdatedAt, icon: "check", text: `${t("job.changed")}: ${t(`status.${job.Status}`)}`, more: job.Error || "" });
  return html`<section class="panel" aria-labelledby="tl"><div class="panel-h"><h2 id="tl">${t("job.timeline")}</h2></div><div class="panel-b"><ol class="tl">
    ${steps.map((step) => html`<li data-tone=${step.tone || ""}><time datetime=${step.at} title=${instant(step.at)}>${moment(step.at)}</time><span class="dot" aria-hidden="true"><${Icon} name=${step.icon} /></span>
      <div><strong>${step.text}</strong>${step.more && html`<p class="sub">${step.more}</p>`}</div><span class="r"></span></li>`)}</ol></div></section>`;
}

function Facts({ job }) {
  const rows = [["type", html`<a href=${to("line", job.Type)}>${job.Type}</a>`], ["owner", job.OwnerID], ["status", job.Status],
    ["position", job.Position === null ? "—" : number(job.Position)], ["priority", number(job.Priority)],
    ["expected", job.Expected ? span(job.Expected) : t("eta.unknown")], ["fence", job.Fence === null ? "—" : number(job.Fence)],
    ["hosts", job.Hosts.join(", ") || "—"], ["callback", html`<span class="mono">${job.Callback || "—"}</span>`], ["error", job.Error || "—"]];
  return html`<section class="panel" aria-labelledby="ft"><div class="panel-h"><h2 id="ft">${t("job.facts")}</h2></div><div class="panel-b">
    <dl class="kv">${rows.map(([name, value]) => html`<dt>${t(`job.${name}`)}</dt><dd>${value}</dd>`)}</dl></div></section>`;
}

function Attempts({ attempts }) {
  return html`<section class="panel" aria-labelledby="at"><div class="panel-h"><h2 id="at">${t("job.attempts")}</h2></div>
    ${attempts.length === 0 ? html`<p class="panel-b sub">${t("job.noattempts")}</p>` : html`<div class="scroll-x"><table class="attempts"><tbody>
      ${attempts.map((each) => html`<tr><td>${number(each.attempt)}</td><td>${moment(each.time)}</td>
        <td><${Badge} tone=${each.cause === "http_200" ? "ok" : "bad"} icon=${each.cause === "http_200" ? "ok" : "bad"}>${each.cause}</${Badge}></td><td class="num">${number(each.milliseconds)} ms</td></tr>`)}
      </tbody></table></div>`}</section>`;
}

// Writes JSON with indents without reading its numbers: those that JavaScript cannot hold stay as they are.
function indented(text) {
  let depth = 0;
  return text.replace(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s"[\]{},:]+/g, (token) => {
    if (token === "{" || token === "[") { depth += 1; return `${token}\n${"  ".repeat(depth)}`; }
    if (token === "}" || token === "]") { depth -= 1; return `\n${"  ".repeat(depth)}${token}`; }
    if (token === ",") return `,\n${"  ".repeat(depth)}`;
    return token === ":" ? ": " : token;
  });
}

function Raw({ data }) {
  return html`<section class="panel" aria-labelledby="rw"><div class="panel-h"><h2 id="rw">${t("job.raw")}</h2>
    <button type="button" class="btn" data-kind="bare" data-size="icon" aria-label=${t("copy")} onClick=${() => navigator.clipboard?.writeText(data)}><${Icon} name="copy" /></button></div>
    <pre class="raw mono" tabindex="0">${indented(data)}</pre></section>`;
}

function Actions({ job, reload, onError }) {
  const [asking, setAsking] = useState(false);
  const url = `v1/${path(job.Type, job.RequestID)}`;
  const post = async (body) => { try { await call("POST", url, { body }); reload(); } catch (error) { onError(error); } };
  async function withdraw() {
    try { await call("DELETE", url); go(to("line", job.Type)); } catch (error) { setAsking(false); onError(error); }
  }
  return html`<div class="actions">
    ${job.Status === "queued" && html`<${Button} data-kind="main" icon="up" onClick=${() => post({ position: "front" })}>${t("job.front")}</${Button}>`}
    ${job.Status === "error" && html`<${Button} data-kind="main" icon="undo" onClick=${() => post({ status: "queued" })}>${t("job.requeue")}</${Button}>`}
    <${Button} data-kind="bad" icon="x" onClick=${() => setAsking(true)}>${t("job.withdraw")}</${Button}>
    ${asking && html`<${Ask} title=${t("job.withdraw.ask", { name: job.RequestID })} says=${t("job.withdraw.says")} action=${t("job.withdraw")} onYes=${withdraw} onClose=${() => setAsking(false)} />`}</div>`;
}

export function Job({ route: { type, name }, events }) {
  const url = `v1/${path(type, name)}`;
  const job = useResource(url, { every: 4000 });
  const waits = job.data?.Status === "queued";
  const explained = useResource(waits ? `${url}/explain` : null, { every: 8000 });
  const attempts = useResource(`${url}/attempts`, { every: 8000 });
  const [error, setError] = useState(null);
  useTick();
  useEffect(() => {
    if (events === null || events.some((each) => each.request_id === name)) for (const each of [job, explained, attempts]) each.reload();
  }, [events]);
  if (job.error?.status === 404) return html`<${Empty} icon="off" title=${t("job.gone", { name, type })}>${t("job.gone.more")}</${Empty}>`;
  if (job.error && !job.data) return html`<${Failure} error=${job.error} again=${job.reload} />`;
  if (!job.data) return null;
  const { text, more } = size(job.data.Data);
  const since = span((clock.now() - Date.parse(job.data.CreatedAt)) / 1000);
  return html`<div class="page-h"><div><div class="title"><h1>${name}</h1>
      <${Status} status=${job.data.Status}>${job.data.Position ? t("job.inline", { n: number(job.data.Position) }) : null}</${Status}></div>
      <p class="lede">${[text, more, job.data.OwnerID, since].filter(Boolean).join(" · ")}</p></div>
      <${Actions} job=${job.data} reload=${job.reload} onError=${setError} /></div>
    ${error && html`<${Failure} error=${error} />`}
    <div class="job-grid"><div class="stack">${explained.data?.reason && html`<${Why} explained=${explained.data} />`}
      ${explained.data && html`<${When} eta=${explained.data.eta} />`}<${Timeline} job=${job.data} attempts=${attempts.data || []} /></div>
      <div class="stack"><${Facts} job=${job.data} /><${Attempts} attempts=${attempts.data || []} /><${Raw} data=${job.data.Data} /></div></div>`;
}
