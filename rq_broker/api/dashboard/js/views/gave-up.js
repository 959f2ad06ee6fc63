// The jobs in error, whatever the cause, and how they get back into the line.
import { html, useEffect, useState } from "../dom.js";
import { call, get, may, path } from "../api.js";
import { Outcome, useAction } from "../acting.js";
import { Outcome_ } from "../causes.js";
import { instant, moment, number, span } from "../format.js";
import { Button, Dialog, Failure } from "../parts.js";
import { to } from "../router.js";
import { t } from "../texts.js";

const PAGE = 20; // jobs that are drawn before "show more"
const NAMED = 8; // jobs that the dialog names

// Carries out a bulk action to its end: one call changes a part, and says where to go on.
async function actAll(type, body) {
  const sum = { changed: 0, refused: {} };
  let cursor;
  do {
    const answer = await call("POST", `types/${path(type)}/actions`, { body: { ...body, ...(cursor && { cursor }) } });
    sum.changed += answer.data.changed;
    for (const [code, n] of Object.entries(answer.data.refused)) sum.refused[code] = (sum.refused[code] || 0) + n;
    cursor = answer.next;
  } while (cursor);
  return sum;
}

function resultOf({ changed, refused }) {
  const why = Object.entries(refused).map(([code, n]) => `${code} ${n}`).join(", ");
  const n = Object.values(refused).reduce((sum, each) => sum + each, 0);
  return n ? t("gave.result.refused", { n: number(changed), refused: number(n), why }) : t("gave.result", { n: number(changed) });
}

// Says first how many are meant, by a dry run, and then does it.
export function RequeueAll({ type, filter, onClose, done }) {
  const [dry, setDry] = useState(null);
  const [error, setError] = useState(null);
  const action = useAction();
  const body = { action: "requeue", filter };
  useEffect(() => { call("POST", `types/${path(type)}/actions`, { body: { ...body, dry_run: true } }).then((answer) => setDry(answer.data), setError); }, []);
  const matched = dry?.matched;
  const title = dry === null ? t("gave.ask.wait") : matched === 0 ? t("gave.ask.none") : matched === 1 ? t("gave.ask.one") : t("gave.ask", { n: number(matched) });
  const yes = async () => {
    let result = null;
    if (await action.run(async () => { result = await actAll(type, body); })) { done(resultOf(result)); onClose(); }
  };
  const names = (dry?.jobs || []).slice(0, NAMED);
  return html`<${Dialog} title=${title} lede=${matched ? t("gave.says") : ""} onClose=${onClose} footer=${html`<span class="grow"></span><${Button} onClick=${onClose}>${t(matched === 0 ? "close" : "cancel")}</${Button}>
      ${matched > 0 && html`<${Button} data-kind="main" aria-busy=${action.busy} disabled=${action.busy} onClick=${yes}>${t("gave.yes")}</${Button}>`}`}>
    ${names.length > 0 && html`<ul class="named">${names.map((job) => html`<li key=${job.RequestID}><span class="clip">${job.RequestID}</span><span class="sub clip">${job.OwnerID}</span></li>`)}
      ${matched > names.length && html`<li class="sub">${t("gave.more", { n: number(matched - names.length) })}</li>`}</ul>`}
    ${(error || action.error) && html`<${Failure} error=${error || action.error} />`}</${Dialog}>`;
}

function Row({ type, job, done }) {
  const action = useAction();
  const name = job.RequestID;
  const again = async () => { if (await action.run(() => call("POST", `v1/${path(type, name)}`, { body: { status: "queued" } }))) done(t("gave.done", { name })); };
  const [, word, status] = /^(?:offer expired: )?([a-z_0-9]+)$|\((\d{3})\)$/.exec(job.Error || "") || [];
  const cause = job.Cause || word || (status && `http_${status}`);
  let destination = "—";
  try { destination = new URL(job.Callback).origin; } catch { /* none, or your role does not show it */ }
  return html`<tr><td class="full"><a class="strong wrap" href=${to("job", type, name)}>${name}</a><br /><span class="sub">${job.OwnerID}</span></td><td class="full" data-l=${t("calls.destination")}><span class="wrap">${destination}</span></td>
    <td data-l=${t("gave.outcome")}>${cause ? html`<${Outcome_} cause=${cause} />` : html`<span class="clip2" title=${job.Error}>${job.Error || "—"}</span>`}</td>
    <td class="num" data-l=${t("gave.attempts")}>${job.Attempts ? number(job.Attempts) : "—"}</td><td class="num" data-l=${t("gave.at")}><time datetime=${job.UpdatedAt} title=${instant(job.UpdatedAt)}>${moment(job.UpdatedAt)}</time></td>
    <td class="num full">${may("update", type) && html`<div class="actions end"><${Button} data-size="sm" icon="undo" disabled=${action.busy} aria-label=${`${t("gave.requeue")} ${name}`} onClick=${again}>${t("gave.requeue")}</${Button}></div>`}<${Outcome} action=${action} /></td></tr>`;
}

export function GaveUp({ type, retention, count, events, reload }) {
  const [jobs, setJobs] = useState(null);
  const [next, setNext] = useState(null);
  const [error, setError] = useState(null);
  const [asking, setAsking] = useState(false);
  const action = useAction();
  async function read(cursor) {
    try {
      const answer = await get(`v1/${path(type)}/?status=error&limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
      setJobs((old) => [...(cursor ? old : []), ...answer.data]);
      setNext(answer.next);
      setError(null);
    } catch (refusal) { setError(refusal); }
  }
  useEffect(() => { read(null); }, [type, count]);
  const changed = () => { read(null); reload(); };
  const done = (text) => { action.run(async () => {}, text); changed(); };
  const kept = retention === null ? t("gave.kept.ever") : retention === undefined ? "" : t("gave.kept", { span: span(retention) });
  return html`<section class="panel" aria-labelledby="dl"><div class="panel-h"><h2 id="dl">${t("gave.title")}</h2><span class="sub wide-only">${kept}</span>
      ${count > 0 && may("act", type) && html`<${Button} data-size="sm" icon="undo" onClick=${() => setAsking(true)}>${t("gave.requeue.all", { n: number(count) })}</${Button}>`}</div>
    ${action.said && html`<div class="panel-b"><${Outcome} action=${action} /></div>`}${error && html`<${Failure} error=${error} again=${() => read(null)} />`}
    ${jobs?.length === 0 && html`<p class="panel-b sub">${t("gave.none")}</p>`}
    ${jobs?.length > 0 && html`<table class="tbl cards"><thead><tr><th scope="col">${t("gave.job")}</th><th scope="col">${t("calls.destination")}</th><th scope="col">${t("gave.outcome")}</th>
      <th scope="col" class="num">${t("gave.attempts")}</th><th scope="col" class="num">${t("gave.at")}</th><th scope="col"><span class="vh">${t("line.actions")}</span></th></tr></thead>
      <tbody>${jobs.map((job) => html`<${Row} key=${job.RequestID} type=${type} job=${job} done=${done} />`)}</tbody></table>`}
    ${next && html`<div class="panel-b"><${Button} onClick=${() => read(next)}>${t("gave.next")}</${Button}></div>`}
    ${asking && html`<${RequeueAll} type=${type} filter=${{ status: "error" }} onClose=${() => setAsking(false)} done=${done} />`}</section>`;
}
