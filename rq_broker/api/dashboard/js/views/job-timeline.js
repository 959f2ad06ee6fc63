// What happened to a job, from its submit on, and what comes next.
import { html } from "../dom.js";
import { clock } from "../api.js";
import { causeWords, isTaken } from "../causes.js";
import { clockTime, instant, moment, number, span } from "../format.js";
import { Icon } from "../parts.js";
import { many, t } from "../texts.js";
import { around } from "./job-why.js";

const BEFORE_MS = 2; // an attempt stands before the change that it led to, at the same moment
const UNFOLDED = 3; // attempts of one grant that are drawn; the others unfold

const seconds = (iso) => Date.parse(iso) / 1000;

// The change that the audit log has of a move: the line of the same job nearest in time.
function moveOf(event, audit) {
  const near = audit.filter((line) => line.verb === "reorder" && Math.abs(seconds(line.time) - seconds(event.at)) < 2)[0];
  const [from, to] = [near?.before?.priority, near?.after?.priority];
  return from === undefined || to === undefined ? "" : t("tl.from.to", { from: number(from), to: number(to) });
}

function ofQueued(event, last) {
  if (event.from === null) {
    return { icon: "line", text: event.owner_id ? t("tl.submitted", { owner: event.owner_id }) : t("tl.submitted.nobody") };
  }
  const missed = event.from === "granted" && !event.by && last?.event !== "job.offer_missed";
  return { icon: "undo", text: event.by ? t("tl.queued.by", { who: event.by }) : t(missed ? "tl.queued.offer" : "tl.queued") };
}

const WORDS = {
  "job.running": ["ok", "play", "tl.running"], "job.done": ["ok", "ok", "tl.done"], "job.error": ["bad", "warn", "tl.error"], "job.deleted": ["", "x", "tl.deleted"],
  "job.expected": ["", "clock", "tl.expected"], "job.expiring": ["", "clock", "tl.expiring"], "job.offer_missed": ["bad", "warn", "tl.offer_missed"],
  "job.hold_lost": ["bad", "warn", "tl.hold_lost"], "job.hold_regained": ["ok", "check", "tl.hold_regained"],
};

// The events of a job as steps: { at, tone, icon, text, more, right }.
function stepsOf(job, events, audit) {
  const steps = [];
  let [waitsSince, heldSince] = [null, null];
  events.forEach((event, n) => {
    const at = event.at;
    const by = event.by ? t("tl.by", { who: event.by }) : "";
    if (event.event === "job.queued") {
      waitsSince = seconds(at);
      const held = heldSince === null ? "" : t("tl.held", { span: span(seconds(at) - heldSince) });
      heldSince = null;
      steps.push({ at, ...ofQueued(event, events[n - 1]), right: held });
    } else if (event.event === "job.granted") {
      heldSince = seconds(at);
      const isLast = !events.slice(n + 1).some((each) => each.event === "job.granted");
      const text = isLast && job.Fence && job.Hosts.length ? t("tl.granted.fence", { hosts: [...new Set(job.Hosts)].slice(0, 4).join(", "), fence: job.Fence }) : t("tl.granted");
      steps.push({ at, tone: "held", icon: "check", text, right: waitsSince === null ? "" : t("tl.waited", { span: span(heldSince - waitsSince) }) });
    } else if (event.event === "job.reordered") {
      steps.push({ at, icon: "move", text: event.by ? t("tl.reordered", { who: event.by }) : t("tl.reordered.nobody"), more: moveOf(event, audit) });
    } else if (event.event in WORDS) {
      const [tone, icon, text] = WORDS[event.event];
      const ended = event.event === "job.done" || event.event === "job.error";
      const right = ended && heldSince !== null ? t("tl.held", { span: span(seconds(at) - heldSince) }) : "";
      if (ended) heldSince = null;
      const isLast = n === events.length - 1;
      steps.push({ at, tone, icon, text: t(text), more: [by, isLast && event.event === "job.error" ? job.Error : ""].filter(Boolean).join(" · "), right });
    }
  });
  return steps;
}

function ofAttempt(each) {
  const taken = isTaken(each.cause);
  return { at: new Date(Date.parse(each.time) - BEFORE_MS).toISOString(), tone: taken ? "ok" : "bad", icon: taken ? "ok" : "bad", fence: each.fence, text: t(taken ? "tl.call.ok" : "tl.call.bad", { cause: causeWords(each.cause) }),
    more: t("tl.attempt", { n: number(each.attempt), fence: each.fence }), right: each.milliseconds === null ? "" : `${number(each.milliseconds)} ms` };
}

// Attempts of one grant beyond the first ones fold into one step.
function folded(attempts) {
  const byFence = new Map();
  for (const each of attempts) byFence.set(each.fence, [...(byFence.get(each.fence) || []), ofAttempt(each)]);
  return [...byFence.values()].flatMap((steps) => {
    if (steps.length <= UNFOLDED + 1) return steps;
    const [last, others] = [steps[steps.length - 1], steps.slice(UNFOLDED - 1, -1)];
    return [...steps.slice(0, UNFOLDED - 1), { at: others[0].at, tone: "", icon: "more", text: many("tl.more", others.length, { n: number(others.length) }), inside: others }, last];
  });
}

function Step({ step }) {
  const time = step.next ? step.at : moment(step.at);
  return html`<li data-tone=${step.next ? "next" : step.tone || ""}><time ...${!step.next && { datetime: new Date(step.at).toISOString(), title: instant(step.at) }}>${time}</time>
    <span class="dot" aria-hidden="true"><${Icon} name=${step.icon} /></span><div>${step.inside ? html`<details><summary>${step.text}</summary><ul>${step.inside.map((each) => html`
        <li key=${each.at} class="inner">${clockTime(new Date(each.at))} · ${each.text} · ${each.right}</li>`)}</ul></details>` : html`<strong class="wrap">${step.text}</strong>`}
      ${step.more && html`<p class="sub wrap">${step.more}</p>`}</div><span class="r">${step.right || ""}</span></li>`;
}

// Its life as one bar: waiting, holding, and what went wrong.
function Life({ events, job }) {
  const start = seconds(job.CreatedAt);
  const isOver = job.Status === "done" || job.Status === "error";
  const end = isOver ? seconds(job.UpdatedAt) : clock.now() / 1000;
  const whole = Math.max(1, end - start);
  const parts = [];
  let since = null;
  for (const event of [...events, { event: "end", at: new Date(1000 * end).toISOString() }]) {
    const at = seconds(event.at);
    if (event.event === "job.granted") since = at;
    else if (since !== null && ["job.queued", "job.done", "job.error", "job.deleted", "end"].includes(event.event)) {
      parts.push([since, at, event.event === "job.error" ? "e" : "g"]);
      since = null;
    }
  }
  const held = parts.reduce((sum, [from, to]) => sum + to - from, 0);
  const at = (value) => `${Math.min(100, Math.max(0, (100 * (value - start)) / whole))}%`;
  return html`<div><svg class="life" role="img" aria-label=${t("job.life", { waited: span(whole - held), held: span(held) })}><rect class="w" width="100%" height="100%" />
      ${parts.map(([from, to, kind]) => html`<rect class=${kind} x=${at(from)} width=${`${Math.max(0.6, (100 * (to - from)) / whole)}%`} height="100%" />`)}</svg>
    <div class="life-key" aria-hidden="true"><span>${moment(job.CreatedAt)}</span><span>${isOver ? moment(job.UpdatedAt) : t("job.now")}</span></div></div>`;
}

export function Timeline({ job, history, attempts, audit, explained }) {
  const events = history.data || [];
  const steps = [...stepsOf(job, events, audit), ...folded(attempts)];
  if (!events.some((event) => event.event === "job.queued" && event.from === null)) {
    steps.push({ at: job.CreatedAt, icon: "line", text: job.OwnerID ? t("tl.submitted", { owner: job.OwnerID }) : t("tl.submitted.nobody") });
  }
  if (explained?.passed_since) {
    const names = explained.passed_by || [];
    steps.push({ at: Math.max(1000 * explained.passed_since, Date.parse(job.CreatedAt)), icon: "down", text: t("tl.passed", { n: number(names.length + (explained.passed_by_others || 0)) }), more: names.length ? t("tl.passed.more", { names: names.slice(0, 5).join(", ") }) : "" });
  }
  steps.sort((one, other) => new Date(one.at) - new Date(other.at));
  const { eta } = explained || {};
  if (job.Status === "queued" && typeof eta?.p50 === "number") {
    steps.push({ at: around(eta.p50), next: true, icon: "clock", text: t("tl.next"), more: typeof eta.p90 === "number" ? t("tl.next.more", { time: around(eta.p90) }) : "", right: t("tl.in", { span: span(eta.p50) }) });
  }
  const age = clock.now() / 1000 - seconds(job.CreatedAt);
  return html`<section class="panel" aria-labelledby="tl"><div class="panel-h"><h2 id="tl">${t("job.timeline")}</h2><span class="sub">${t("job.sofar", { span: span(age) })}</span></div><div class="panel-b stack">
    ${history.data && history.complete === false && html`<p class="sub">${t("job.incomplete")}</p>`}<${Life} events=${events} job=${job} />
    <ol class="tl">${steps.map((step, n) => html`<${Step} key=${`${step.at} ${n}`} step=${step} />`)}</ol></div></section>`;
}
