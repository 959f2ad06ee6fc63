// Where callbacks go: which receivers answer, which do not, what waits for them, and what was given up.
import { html, useState } from "../dom.js";
import { call, may, path } from "../api.js";
import { Confirm, Outcome, useAction } from "../acting.js";
import { useResource } from "../data.js";
import { number, span } from "../format.js";
import { Badge, Button, Empty, Failure, Icon, Loading, Note } from "../parts.js";
import { go, to } from "../router.js";
import { many, t } from "../texts.js";
import { GaveUp, RequeueAll } from "./gave-up.js";
import { Head } from "./head.js";
import { TestDialog } from "./receiver-test.js";

const READ_MS = 3000; // between two reads of all destinations
const MOST = 1000; // destinations that one answer has
const SHOWN = 200; // rows that are drawn
const OFFER = "offer"; // stands for the offers of jobs without a callback

const STATES = { closed: ["ok", "ok", "calls.closed"], open: ["bad", "plug", "calls.open"], "half-open": ["warn", "spin", "calls.half"], asked: ["warn", "clock", "calls.asked"], failing: ["warn", "warn", "calls.failing"] };

// A breaker that is closed says nothing of a receiver whose last callback failed.
const stateOf = (each) => (each.state !== "closed" ? each.state : each.asked_seconds > 0 ? "asked" : each.failures > 0 ? "failing" : "closed");
const isOffers = (each) => each.destination === OFFER; // nobody is called there: clients take offers, or miss them
const nameOf = (each) => (isOffers(each) ? t("calls.offer") : each.destination);
const wordsOf = (each, name) => (isOffers(each) ? `calls.offer.${name}` : `calls.${name}`);
const isTroubled = (each) => stateOf(each) !== "closed";

function Actions({ type, each, reload }) {
  const [asking, setAsking] = useState("");
  const action = useAction();
  const { destination, owner } = each;
  const shown = nameOf(each);
  const close = () => setAsking("");
  const button = (what, icon, label) => html`<${Button} data-size="sm" icon=${icon} aria-label=${`${label} ${shown} ${owner}`} onClick=${() => { action.clear(); setAsking(what); }}>${label}</${Button}>`;
  const said = t(wordsOf(each, "reset.done"), { destination: shown });
  return html`<div class="actions end">${may("send_test", type) && !isOffers(each) && button("test", "call", t("calls.test"))}
      ${isTroubled(each) && may("reset", type) && button("reset", "undo", t("calls.reset"))}
      ${may("act", type) && isTroubled(each) && button("requeue", "line", t("calls.requeue"))}</div><${Outcome} action=${action} />
    ${asking === "reset" && html`<${Confirm} title=${t("calls.reset.ask", { destination: shown })} says=${t(wordsOf(each, "reset.says"), { n: number(each.parked) })} label=${t("calls.reset.yes")}
      onYes=${() => call("POST", `types/${path(type)}/destinations/reset`, { body: { destination, owner } })} done=${() => { action.run(async () => {}, said); reload(); }} onClose=${close} />`}
    ${asking === "test" && html`<${TestDialog} type=${type} each=${each} onClose=${close} />`}
    ${asking === "requeue" && html`<${RequeueAll} type=${type} filter=${{ status: "error", callback_destination: destination, ...(owner && { owner_id: owner }) }} onClose=${close} done=${(text) => { action.run(async () => {}, text); reload(); }} />`}`;
}

function Row({ type, each, most, reload }) {
  const [tone, icon, word] = STATES[stateOf(each)] || STATES["half-open"];
  const again = Math.max(each.open_seconds, each.asked_seconds);
  const owner = each.owner || t("calls.nobody");
  return html`<tr><td class="full"><span class="strong wrap">${nameOf(each)}</span><br /><span class="sub">${owner}</span></td>
    <td class="st"><${Badge} tone=${tone} icon=${icon}>${t(isOffers(each) ? word.replace("calls.", "calls.offer.") : word)}</${Badge}>${each.failures > 0 && html`<br /><span class="sub">${many(wordsOf(each, "failures"), each.failures, { n: number(each.failures) })}</span>`}</td>
    <td class="num" data-l=${t("calls.sending")}>${isOffers(each) ? "—" : number(each.in_flight)}${most && !isOffers(each) ? ` / ${number(most)}` : ""}</td>
    <td class="num" data-l=${t("calls.parked")}>${isOffers(each) ? "—" : number(each.parked)}</td>
    <td class="num" data-l=${t("calls.next")}>${again > 0 ? t("calls.in", { span: span(again) }) : isTroubled(each) && stateOf(each) !== "failing" ? t("calls.now") : "—"}</td>
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
      ${shown.length === 0 ? html`<p class="panel-b sub">${t("calls.nomatch")}</p>` : html`<table class="tbl dest cards"><thead><tr><th scope="col">${t("calls.destination")}</th><th scope="col">${t("calls.state")}</th>
        ${["sending", "parked", "next"].map((name) => html`<th scope="col" class="num">${t(`calls.${name}`)}</th>`)}<th scope="col"><span class="vh">${t("line.actions")}</span></th></tr></thead>
        <tbody>${shown.map((each) => html`<${Row} key=${`${each.destination} ${each.owner}`} type=${type} each=${each} most=${most} reload=${calls.reload} />`)}</tbody></table>`}</section>`;
}

export function Callbacks({ route: { type, query }, events }) {
  const about = useResource(`types/${path(type)}`, { every: READ_MS });
  const calls = useResource(`types/${path(type)}/destinations`, { every: READ_MS });
  const policy = about.data?.policy;
  const head = html`<${Head} type=${type} view="callbacks" about=${about} />`;
  if (calls.error && !calls.data) return html`${head}<${Failure} whole error=${calls.error} again=${calls.reload} />`;
  if (!calls.data) return html`${head}<${Loading} />`;
  const isEmpty = calls.data.destinations.length === 0;
  return html`${head}${calls.error && html`<${Failure} error=${calls.error} again=${calls.reload} />`}
    ${isEmpty ? html`<${Empty} art="call" title=${t("calls.none.title")}>${t("calls.none")}</${Empty}>` : html`<${Destinations} type=${type} query=${query} calls=${calls} most=${policy?.concurrency} />`}
    <${GaveUp} type=${type} retention=${policy?.retention} count=${about.data?.counts.error} events=${events} reload=${() => { about.reload(); calls.reload(); }} />`;
}
