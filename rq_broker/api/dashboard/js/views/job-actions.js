// What can be done with a job, and what each of it will do.
import { html, useRef, useState } from "../dom.js";
import { call, may, path } from "../api.js";
import { Confirm, Outcome, useAction } from "../acting.js";
import { number } from "../format.js";
import { Button, Dialog, Failure, Icon } from "../parts.js";
import { go, to } from "../router.js";
import { t } from "../texts.js";
import { Toast } from "../toasts.js";
import { MoveDialog, undoable } from "./move.js";

const MOST = Number.MAX_SAFE_INTEGER; // of a priority, both ways

// Asks for one number, and says beside it why it is refused.
function Ask({ title, says, label, value, min, max, empty, onSave, onClose }) {
  const action = useAction();
  const [text, setText] = useState(value);
  const parsed = text.trim() === "" && empty ? null : Number(text);
  const isGood = parsed === null || (text.trim() !== "" && Number.isFinite(parsed) && parsed >= min && parsed <= max);
  const save = async (event) => { event.preventDefault(); if (isGood && await action.run(() => onSave(parsed))) onClose(); };
  return html`<${Dialog} title=${title} lede=${says} onClose=${onClose} footer=${html`<span class="grow"></span><${Button} onClick=${onClose}>${t("cancel")}</${Button}>
    <${Button} data-kind="main" disabled=${action.busy || !isGood} onClick=${save}>${t("act.save")}</${Button}>`}>
    <form class="field" onSubmit=${save}><label for="ask">${label}</label><input class="input" id="ask" inputmode="numeric" autofocus value=${text} aria-invalid=${!isGood} aria-describedby="ask-e" onInput=${(event) => setText(event.target.value)} />
      ${!isGood && html`<span class="err" id="ask-e"><${Icon} name="bad" />${t("act.number", { min: number(min), max: number(max) })}</span>`}</form>
    ${action.error && html`<${Failure} error=${action.error} />`}</${Dialog}>`;
}

function curlOf(job) {
  return `curl -s '${new URL(`v1/${path(job.Type, job.RequestID)}`, document.baseURI)}'`;
}

// The dialogs by name: what is asked, what it says, and what it calls.
function dialogsOf(job, url, what, leaving) {
  const name = job.RequestID;
  const hosts = [...new Set(job.Hosts)].join(", ");
  const holds = job.Status === "granted" || job.Status === "running";
  const fenced = (body) => ({ body: holds && job.Fence ? { ...body, fence: job.Fence } : body });
  return {
    requeue: () => ({ title: t("act.requeue.ask", { name }), says: holds ? t("act.requeue.holds", { hosts }) : t("act.requeue.says"), label: t("act.requeue.yes"), bad: holds,
      onYes: () => call("POST", url, fenced({ status: "queued" })), said: t("act.requeue.done", { name }) }),
    done: () => ({ title: t("act.done.ask", { name }), says: holds ? t("act.done.says", { hosts }) : t("act.done.says.queued"), label: t("act.done.yes"), bad: true,
      onYes: () => call("POST", url, fenced({ status: "done" })), said: t("act.done.done", { name }) }),
    withdraw: () => ({ title: t("act.withdraw.ask", { name }), says: holds ? t("act.withdraw.holds", { hosts }) : t("act.withdraw.says"), label: t("act.withdraw.yes"), bad: true,
      onYes: async () => { leaving.current = true; try { await call("DELETE", url); } catch (error) { leaving.current = false; throw error; } }, leaves: true }),
  }[what]?.();
}

export function Actions({ job, queued, reload, leaving }) {
  const [asking, setAsking] = useState(""); // what is asked
  const [seen, setSeen] = useState(null); // the job as it was when that was asked: the answer is about that grant
  const [toast, setToast] = useState(null); // of a move, with what moves the job back
  const action = useAction();
  const menu = useRef(null);
  const url = `v1/${path(job.Type, job.RequestID)}`;
  const isQueued = job.Status === "queued";
  const holds = job.Status === "granted" || job.Status === "running";
  const isInLine = isQueued && job.Position !== null;
  const ask = (what) => { if (menu.current) menu.current.open = false; action.clear(); setSeen(job); setAsking(what); };
  const close = () => setAsking("");
  const dialog = asking ? dialogsOf(seen, url, asking, leaving) : null;
  const after = () => { if (dialog.leaves) go(to("line", job.Type)); else { action.run(async () => {}, dialog.said); reload(); } };
  const item = (what, icon, label, bad) => html`<button type="button" ...${bad && { "data-kind": "bad" }} onClick=${() => ask(what)}><${Icon} name=${icon} />${label}</button>`;
  const [mayChange, mayWithdraw] = [may("update", job.Type), may("withdraw", job.Type)];
  const copy = () => { menu.current.open = false; navigator.clipboard?.writeText(curlOf(job)); action.run(async () => {}, t("copied")); };
  return html`<div class="stack tight"><div class="actions">
      ${mayChange && isInLine && job.Position > 1 && html`<${Button} data-kind="main" icon="up" onClick=${() => ask("front")}>${t("job.front")}</${Button}>`}
      ${mayChange && isInLine && html`<a class="btn" href=${to("line", job.Type, undefined, { find: job.RequestID })}><${Icon} name="move" />${t("job.move")}</a>`}
      ${mayChange && !isQueued && html`<${Button} icon="undo" data-kind=${holds ? undefined : "main"} onClick=${() => ask("requeue")}>${t(job.Status === "error" && job.Callback ? "job.resend" : "job.requeue")}</${Button}>`}
      <details class="menu" ref=${menu}><summary class="btn" role="button">${t("job.more")}</summary><div class="menu-list">
        ${mayChange && isQueued && item("priority", "up", t("job.priority.change"))}${mayChange && (isQueued || holds) && item("expected", "clock", t("job.expected.change"))}
        ${mayChange && (isQueued || holds) && item("done", "ok", t("job.done"), true)}<button type="button" onClick=${copy}><${Icon} name="copy" />${t("job.curl")}</button>
        ${mayWithdraw && item("withdraw", "x", t("job.withdraw"), true)}</div></details></div>
    <${Outcome} action=${action} />
    ${dialog && html`<${Confirm} key=${asking} ...${dialog} done=${after} onClose=${close} />`}
    ${asking === "front" && html`<${MoveDialog} type=${job.Type} job=${seen} from=${seen.Position - 1} target=${0} count=${queued || seen.Position} onDone=${undoable(seen, 0, setToast, reload)} onClose=${close} />`}
    <${Toast} toast=${toast} onGone=${() => setToast(null)} />
    ${asking === "priority" && html`<${Ask} title=${t("act.priority.ask", { name: job.RequestID })} says=${t("act.priority.says", { n: number(job.Priority) })} label=${t("act.priority.label")} value=${String(job.Priority)}
      min=${-MOST} max=${MOST} onClose=${close} onSave=${async (priority) => { await call("POST", url, { body: { priority } }); action.run(async () => {}, t("act.priority.done", { n: number(priority) })); reload(); }} />`}
    ${asking === "expected" && html`<${Ask} title=${t("act.expected.ask", { name: job.RequestID })} says=${t("act.expected.says")} label=${t("act.expected.label")} value=${job.Expected === null ? "" : String(job.Expected)} empty
      min=${1} max=${3162240000} onClose=${close} onSave=${async (expected) => { await call("POST", url, { body: { expected } }); action.run(async () => {}, t("act.expected.done")); reload(); }} />`}</div>`;
}
