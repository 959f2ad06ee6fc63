// Taking a host out of service, and putting it back as the audit log has it.
import { html, useState } from "../dom.js";
import { call, may, path } from "../api.js";
import { Confirm, Outcome, useAction } from "../acting.js";
import { useResource } from "../data.js";
import { amount, instant, moment, number, resources } from "../format.js";
import { Button } from "../parts.js";
import { many, t } from "../texts.js";

const LISTED = 50; // hosts taken out of service lately, of which those that are not back are shown

// What a line of the audit log says of a host → the body that publishes it again.
export function published(fields) {
  const body = { capacity: {}, used: {} };
  for (const [field, value] of Object.entries(fields || {})) {
    const [kind, name] = [field.slice(0, field.indexOf(":")), field.slice(field.indexOf(":") + 1)];
    if (!field.includes(":")) {
      if (["aggregates", "traits", "anywhere"].includes(field)) body[field] = field === "anywhere" ? Boolean(value) : value;
    } else if (["capacity", "used", "max_unit", "min_unit", "step_size"].includes(kind)) {
      const [resource, device] = name.split("/");
      const amounts = body[kind] ??= {};
      if (device === undefined) amounts[resource] = value;
      else (amounts[resource] ??= [])[Number(device)] = value;
    }
  }
  return body;
}

function said(body) {
  return resources(Object.keys(body.capacity)).map((name) => {
    const value = body.capacity[name];
    return amount(name, Array.isArray(value) ? value.reduce((sum, each) => sum + each, 0) : value);
  }).join(", ");
}

export function useDropped(type) {
  const log = useResource(may("audit_log", type) ? `types/${path(type)}/audit?verb=drop_host&limit=${LISTED}` : null);
  const newest = new Map();
  for (const line of log.data || []) if (!newest.has(line.subject)) newest.set(line.subject, line);
  return { lines: newest, isRead: Boolean(log.data) || Boolean(log.error) };
}

export function PutBack({ type, name, line, reload }) {
  const action = useAction();
  if (!may("set_host", type)) return null;
  if (!line?.before) return html`<p class="sub">${t("hosts.back.unknown")}</p>`;
  const body = published(line.before);
  const put = async () => {
    const done = await action.run(() => call("PUT", `types/${path(type)}/hosts/${path(name)}`, { body }), t("hosts.back.done", { name }));
    if (done) reload?.();
  };
  return html`<div class="actions"><${Button} icon="undo" disabled=${action.busy} aria-label=${`${t("hosts.back")}: ${name}`} onClick=${put}>${t("hosts.back")}</${Button}>
    <span class="sub">${t("hosts.back.hint", { amounts: said(body) })}</span></div><${Outcome} action=${action} />`;
}

export function Drain({ type, host, holders, reload }) {
  const [asking, setAsking] = useState(false);
  const { lines, isRead } = useDropped(host.dropped ? type : null);
  if (host.dropped) return isRead && html`<${PutBack} type=${type} name=${host.name} line=${lines.get(host.name)} reload=${reload} />`;
  if (!may("drop_host", type)) return null;
  if (host.source) return html`<p class="sub">${t("hosts.drain.source", { source: host.source })}</p>`;
  const says = holders ? many("hosts.drain.says", holders, { n: number(holders) }) : t("hosts.drain.says.none");
  return html`<div class="actions"><${Button} icon="drain" onClick=${() => setAsking(true)}>${t("hosts.drain")}</${Button}>
      <span class="sub">${many("hosts.drain.hint", holders, { n: number(holders) })}</span></div>
    ${asking && html`<${Confirm} bad title=${t("hosts.drain.ask", { name: host.name })} says=${says} label=${t("hosts.drain.yes")}
      onYes=${() => call("DELETE", `types/${path(type)}/hosts/${path(host.name)}`)} done=${reload} onClose=${() => setAsking(false)} />`}`;
}

// Hosts that somebody took out of service and that are gone from the map, with a way back.
export function OutOfService({ type, hosts, reload }) {
  const { lines } = useDropped(type);
  const there = new Set(hosts.map((host) => host.name));
  const gone = [...lines.values()].filter((line) => !there.has(line.subject) && line.before && !("source" in line.before)).slice(0, 5);
  if (gone.length === 0) return null;
  return html`<section class="panel" aria-labelledby="out"><div class="panel-h"><h2 id="out">${t("hosts.out")}</h2></div><ul class="needs">${gone.map((line) => html`
    <li key=${line.id} class="stay"><span></span><div><p><strong class="wrap">${line.subject}</strong> <span class="sub" title=${instant(line.time)}>${t("hosts.out.by", { who: line.who, time: moment(line.time) })}</span></p>
      <${PutBack} type=${type} name=${line.subject} line=${line} reload=${reload} /></div></li>`)}</ul></section>`;
}
