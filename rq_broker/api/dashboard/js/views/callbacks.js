// Where callbacks go: which receivers answer, which do not, and what waits for them.
import { html, useState } from "../dom.js";
import { call, path } from "../api.js";
import { useResource } from "../data.js";
import { number, span } from "../format.js";
import { Badge, Button, Empty, Failure } from "../parts.js";
import { t } from "../texts.js";
import { Head } from "./head.js";

const STATES = { closed: ["ok", "ok"], open: ["bad", "plug"], half_open: ["warn", "spin"], asked: ["warn", "clock"] };
const WORDS = { closed: "calls.closed", open: "calls.open", half_open: "calls.half", asked: "calls.asked" };

function Row({ type, each, reload, onError }) {
  const state = each.asked_seconds > 0 && each.state === "closed" ? "asked" : each.state;
  const [tone, icon] = STATES[state] || STATES.half_open;
  const again = Math.max(each.open_seconds, each.asked_seconds);
  async function act(action) {
    try {
      await call("POST", `types/${path(type)}/destinations/${action}`, { body: { destination: each.destination } });
      reload();
    } catch (error) { onError(error); }
  }
  return html`<tr><td class="full"><span class="strong">${each.destination}</span><br /><span class="sub">${each.owner}</span></td>
    <td class="st"><${Badge} tone=${tone} icon=${icon}>${t(WORDS[state] || "calls.half")}</${Badge}></td>
    <td class="num" data-l=${t("calls.sending")}>${number(each.in_flight)}</td><td class="num" data-l=${t("calls.parked")}>${number(each.parked)}</td>
    <td class="num" data-l=${t("calls.next")}>${again > 0 ? span(again) : "—"}</td>
    <td class="num ac"><div class="actions end">${state !== "closed" && html`<${Button} data-size="sm" onClick=${() => act("reset")}>${t("calls.reset")}</${Button}>`}
      <${Button} data-size="sm" onClick=${() => act("requeue")}>${t("calls.requeue")}</${Button}></div></td></tr>`;
}

export function Callbacks({ route: { type } }) {
  const about = useResource(`types/${path(type)}`, { every: 4000 });
  const calls = useResource(`types/${path(type)}/destinations`, { every: 2000 });
  const [only, setOnly] = useState(false);
  const [error, setError] = useState(null);
  const all = calls.data?.destinations || [];
  const troubled = all.filter((each) => each.state !== "closed" || each.asked_seconds > 0);
  const choice = (trouble, text, list) => html`<button type="button" aria-pressed=${only === trouble} onClick=${() => setOnly(trouble)}>${text}<span class="num">${number(list.length)}</span></button>`;
  return html`<${Head} type=${type} view="callbacks" policy=${about.data?.policy} counts=${about.data?.counts} reload=${about.reload} />
    ${(error || calls.error) && html`<${Failure} error=${error || calls.error} again=${calls.reload} />`}
    <div class="toolbar"><div class="seg" role="group" aria-label=${t("calls.state")}>${choice(false, t("calls.all"), all)}${choice(true, t("calls.trouble"), troubled)}</div></div>
    ${calls.data && all.length === 0 ? html`<${Empty} icon="call" title=${t("nav.callbacks")}>${t("calls.none")}</${Empty}>` : html`
    <section class="panel"><table class="tbl dest cards"><thead><tr>${["destination", "state"].map((name) => html`<th scope="col">${t(`calls.${name}`)}</th>`)}
      ${["sending", "parked", "next"].map((name) => html`<th scope="col" class="num">${t(`calls.${name}`)}</th>`)}<th scope="col"><span class="vh">${t("line.actions")}</span></th></tr></thead>
      <tbody>${(only ? troubled : all).map((each) => html`<${Row} key=${`${each.destination} ${each.owner}`} type=${type} each=${each} reload=${calls.reload} onError=${setError} />`)}</tbody></table></section>`}`;
}
