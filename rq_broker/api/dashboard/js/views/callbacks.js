// Where callbacks go: which receivers answer, which do not, what waits for them, and what was given up.
import { html, useState } from "../dom.js";
import { call, may, path } from "../api.js";
import { Confirm, Outcome, useAction } from "../acting.js";
import { causeWords, isTaken } from "../causes.js";
import { useResource } from "../data.js";
import { number, span } from "../format.js";
import { Badge, Button, Empty, Failure, Icon, Note } from "../parts.js";
import { go, to } from "../router.js";
import { t } from "../texts.js";
import { GaveUp, RequeueAll } from "./gave-up.js";
import { Head } from "./head.js";
import { TestSend } from "./test-send.js";

const READ_MS = 3000; // between two reads of all destinations
const MOST = 1000; // destinations that one answer has
const SHOWN = 200; // rows that are drawn
const MARKS = 30;
const OFFER = "offer"; // stands for the offers of jobs without a callback
const SLOW_MS = 1000; // from here on a receiver does not count as prompt

const STATES = { closed: ["ok", "ok", "calls.closed"], open: ["bad", "plug", "calls.open"], "half-open": ["warn", "spin", "calls.half"], asked: ["warn", "clock", "calls.asked"] };

const stateOf = (each) => (each.asked_seconds > 0 && each.state === "closed" ? "asked" : each.state);
const isTroubled = (each) => stateOf(each) !== "closed";

// The last attempts, the newest at the right: answered, slow or asked to wait, failed.
function Marks({ recent }) {
  const shown = recent.slice(-MARKS);
  const kind = (each) => (!isTaken(each.cause) && !/^http_(408|425|429)$/.test(each.cause) ? "fail" : isTaken(each.cause) && each.milliseconds < SLOW_MS ? "good" : "slow");
  const bad = shown.filter((each) => kind(each) === "fail").length;
  const label = bad ? t("calls.marks", { bad: number(bad), n: number(shown.length) }) : t("calls.marks.none", { n: number(shown.length) });
  return html`<svg class="att" width="150" height="20" role="img" aria-label=${label}>${shown.map((each, n) => {
    const x = 5 * (MARKS - shown.length + n);
    const what = kind(each);
    const [y, tall] = what === "good" ? [6, 8] : what === "slow" ? [3, 12] : [0, 16];
    return html`<rect class=${what} x=${x} y=${y} width="3" height=${tall} rx="1"><title>${causeWords(each.cause)}, ${number(each.milliseconds)} ms</title></rect>
      ${what === "fail" && html`<rect class="fail" x=${x} y="18" width="3" height="2" />`}`;
  })}</svg>`;
}

function median(values) {
  if (!values.length) return null;
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)];
}

function Actions({ type, each, reload }) {
  const [asking, setAsking] = useState("");
  const action = useAction();
  const { destination, owner } = each;
  const isOffer = destination === OFFER;
  const close = () => setAsking("");
  const button = (what, icon, label) => html`<${Button} data-size="sm" icon=${icon} aria-label=${`${label} ${destination} ${owner}`} onClick=${() => { action.clear(); setAsking(what); }}>${label}</${Button}>`;
  const said = t("calls.reset.done", { destination });
  return html`<div class="actions end">${!isOffer && may("test_destination", type) && button("test", "send", t("calls.test"))}
      ${isTroubled(each) && may("reset", type) && button("reset", "undo", t("calls.reset"))}
      ${may("act", type) && isTroubled(each) && button("requeue", "line", t("calls.requeue"))}</div><${Outcome} action=${action} />
    ${asking === "reset" && html`<${Confirm} title=${t("calls.reset.ask", { destination })} says=${t("calls.reset.says", { n: number(each.parked) })} label=${t("calls.reset.yes")}
      onYes=${() => call("POST", `types/${path(type)}/destinations/reset`, { body: { destination, owner } })} done=${() => { action.run(async () => {}, said); reload(); }} onClose=${close} />`}
    ${asking === "test" && html`<${TestSend} type=${type} each=${each} onClose=${close} />`}
    ${asking === "requeue" && html`<${RequeueAll} type=${type} filter=${{ status: "error", callback_destination: destination, ...(owner && { owner_id: owner }) }} onClose=${close} done=${(text) => { action.run(async () => {}, text); reload(); }} />`}`;
}

function Row({ type, each, most, reload }) {
  const [tone, icon, word] = STATES[stateOf(each)] || STATES["half-open"];
  const again = Math.max(each.open_seconds, each.asked_seconds);
  const recent = each.recent || [];
  const last = recent[recent.length - 1];
  const middle = median(recent.filter((one) => isTaken(one.cause)).map((one) => one.milliseconds));
  const owner = each.owner || t("calls.nobody");
  const about = !each.recent ? "" : last ? t("calls.lastsaid", { cause: causeWords(last.cause), ms: number(last.milliseconds) }) : t("calls.notyet");
  return html`<tr><td class="full"><span class="strong wrap">${each.destination === OFFER ? t("calls.offer") : each.destination}</span><br /><span class="sub">${[owner, about].filter(Boolean).join(" · ")}</span></td>
    <td class="st"><${Badge} tone=${tone} icon=${icon}>${t(word)}</${Badge}>${each.failures > 0 && html`<br /><span class="sub">${t("calls.failures", { n: number(each.failures) })}</span>`}</td>
    <td data-l=${t("calls.last")} class="wide-only">${recent.length > 0 ? html`<${Marks} recent=${recent} />` : "—"}</td>
    <td class="num" data-l=${t("calls.sending")}>${number(each.in_flight)}${most ? ` / ${number(most)}` : ""}</td><td class="num" data-l=${t("calls.median")}>${middle === null ? "—" : `${number(middle)} ms`}</td>
    <td class="num" data-l=${t("calls.parked")}>${number(each.parked)}</td>
    <td class="num" data-l=${t("calls.next")}>${again > 0 ? t("calls.in", { span: span(again) }) : isTroubled(each) ? t("calls.now") : "—"}</td>
    <td class="num ac"><${Actions} type=${type} each=${each} reload=${reload} /></td></tr>`;
}

function Destinations({ type, query, calls, most }) {
  const { destinations: all, outage } = calls.data;
  const { find = "", only = "" } = query;
  const change = (values) => go(to("callbacks", type, undefined, Object.fromEntries(Object.entries({ ...query, ...values }).filter(([, value]) => value))), { replace: true });
  const matching = all.filter((each) => `${each.destination} ${each.owner}`.toLowerCase().includes(find.toLowerCase()));
  const lists = { "": matching, trouble: matching.filter(isTroubled), answers: matching.filter((each) => !isTroubled(each)) };
  const shown = (lists[only] || matching).slice(0, SHOWN);
  const choice = (name, text) => html`<button type="button" aria-pressed=${only === name} onClick=${() => change({ only: name })}>${text}<span class="num">${number(lists[name].length)}</span></button>`;
  return html`<div class="toolbar"><div class="find" role="search"><${Icon} name="search" /><input class="input" type="search" aria-label=${t("calls.destination")} placeholder=${t("calls.destination")} value=${find} onInput=${(event) => change({ find: event.target.value })} /></div>
      <div class="seg" role="group" aria-label=${t("calls.state")}>${choice("", t("calls.all"))}${choice("trouble", t("calls.trouble"))}${choice("answers", t("calls.answers"))}</div></div>
    ${outage && html`<${Note} tone="bad" icon="plug">${t("calls.outage")}</${Note}>`}
    <section class="panel" aria-labelledby="de"><div class="panel-h"><h2 id="de">${t("calls.title")}</h2>${all.length >= MOST && html`<span class="sub">${t("calls.first")}</span>`}</div>
      ${shown.length === 0 ? html`<p class="panel-b sub">${t("calls.nomatch")}</p>` : html`<table class="tbl dest cards"><thead><tr><th scope="col">${t("calls.destination")}</th><th scope="col">${t("calls.state")}</th><th scope="col">${t("calls.last")}</th>
        ${["sending", "median", "parked", "next"].map((name) => html`<th scope="col" class="num">${t(`calls.${name}`)}</th>`)}<th scope="col"><span class="vh">${t("line.actions")}</span></th></tr></thead>
        <tbody>${shown.map((each) => html`<${Row} key=${`${each.destination} ${each.owner}`} type=${type} each=${each} most=${most} reload=${calls.reload} />`)}</tbody></table>`}</section>`;
}

export function Callbacks({ route: { type, query }, events }) {
  const about = useResource(`types/${path(type)}`, { every: READ_MS });
  const calls = useResource(`types/${path(type)}/destinations`, { every: READ_MS });
  const policy = about.data?.policy;
  const head = html`<${Head} type=${type} view="callbacks" about=${about} />`;
  if (calls.error && !calls.data) return html`${head}<${Failure} error=${calls.error} again=${calls.reload} />`;
  if (!calls.data) return head;
  const isEmpty = calls.data.destinations.length === 0;
  return html`${head}${calls.error && html`<${Failure} error=${calls.error} again=${calls.reload} />`}
    ${isEmpty ? html`<${Empty} icon="call" title=${t("calls.none.title")}>${t("calls.none")}</${Empty}>` : html`<${Destinations} type=${type} query=${query} calls=${calls} most=${policy?.concurrency} />`}
    <${GaveUp} type=${type} retention=${policy?.retention} count=${about.data?.counts.error} events=${events} reload=${() => { about.reload(); calls.reload(); }} />`;
}
