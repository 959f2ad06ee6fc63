// Who changed what, before and after; filtered by the address, so that what one sees can be shared.
import { html, useEffect, useRef, useState } from "../dom.js";
import { get, may, path } from "../api.js";
import { useResource } from "../data.js";
import { instant, moment, number } from "../format.js";
import { Button, Empty, Failure, Icon, Loading } from "../parts.js";
import { go, to } from "../router.js";
import { LANGUAGES, t } from "../texts.js";
import { Head } from "./head.js";

const PAGE = 50;
const READ_MS = 2000; // between two looks for newer lines
const VERBS = ["submit", "transition", "reorder", "set_expected", "withdraw", "set_policy", "set_host", "drop_host", "forget_source", "reset", "send_test", "set_keys", "acknowledge_losses", "drop_type", "repair_job", "repair_array", "repair_type"];
const INSTALLATION = ["create_token", "rotate_token", "revoke_token", "encrypt_keys", "drop_type"];
const OF_JOBS = new Set(["submit", "transition", "reorder", "set_expected", "withdraw", "repair_job"]);
const FIELDS = 6; // fields of a change that are drawn; the others unfold

function said(value) {
  if (value === undefined || value === null) return t("audit.nothing");
  if (typeof value === "number") return number(value);
  if (typeof value !== "object") return String(value);
  const parts = Array.isArray(value) ? value.map(said) : Object.entries(value).map(([name, each]) => `${name} ${said(each)}`);
  return parts.join(", ") || t("audit.nothing");
}

function Field({ name, before, after }) {
  const isGone = after === undefined;
  return html`<li><span class="sub">${name}</span> ${before !== undefined && html`<s class="quiet wrap">${said(before)}</s>`}${before !== undefined && !isGone && html` <span aria-hidden="true">→</span> `}
    ${!isGone && html`<span class="wrap">${said(after)}</span>`}</li>`;
}

function Change({ before, after }) {
  const names = [...new Set([...Object.keys(before || {}), ...Object.keys(after || {})])];
  if (names.length === 0) return t("audit.nothing");
  const all = names.map((name) => html`<${Field} key=${name} name=${name} before=${before?.[name]} after=${after?.[name]} />`);
  return html`<ul class="change">${all.slice(0, FIELDS)}</ul>${all.length > FIELDS && html`<details><summary class="sub">${t("overview.more", { n: number(all.length - FIELDS) })}</summary><ul class="change">${all.slice(FIELDS)}</ul></details>`}`;
}

// Where the subject of a line is shown, if anywhere.
function Subject({ type, line }) {
  const { verb, subject } = line;
  const name = subject.includes("/") ? subject.slice(subject.indexOf("/") + 1) : subject;
  const href = !type ? null : OF_JOBS.has(verb) ? to("job", type, name) : /_host$/.test(verb) ? to("hosts", type, undefined, { host: subject })
    : verb === "set_policy" ? to("policy", type) : verb === "reset" || verb === "send_test" ? to("callbacks", type) : null;
  return href ? html`<a class="wrap" href=${href}>${subject}</a>` : html`<span class="wrap">${subject}</span>`;
}

function Line({ type, line }) {
  const verb = `verb.${line.verb}` in LANGUAGES.en ? t(`verb.${line.verb}`) : line.verb;
  const from = [line.address || t("audit.from.terminal"), line.http_request_id && t("audit.request", { id: line.http_request_id })].filter(Boolean).join(" · ");
  return html`<tr><td class="nowrap" data-l=${t("audit.when")}><time datetime=${line.time} title=${instant(line.time)}>${moment(line.time)}</time></td>
    <td data-l=${t("audit.who")}><span class="strong wrap">${line.who}</span><br /><span class="sub wrap">${from}</span></td><td data-l=${t("audit.did")}>${verb}</td>
    <td data-l=${t("audit.what")} class="full"><${Subject} type=${type} line=${line} /></td><td data-l=${t("audit.change")} class="full"><${Change} before=${line.before} after=${line.after} /></td></tr>`;
}

function Filters({ type, query, change, verbs }) {
  const field = (name, text) => html`<div class="find"><${Icon} name="search" /><input class="input" type="search" aria-label=${text} placeholder=${text} value=${query[name] || ""} onChange=${(event) => change({ [name]: event.target.value.trim() })} /></div>`;
  const isFiltered = query.who || query.verb || query.request_id;
  const choice = (of, text) => html`<button type="button" aria-pressed=${(query.of || "") === of} onClick=${() => change({ of, verb: "" })}>${text}</button>`;
  return html`<div class="toolbar" role="search">${may("installation_log", type) && html`<div class="seg" role="group" aria-label=${t("audit.of")}>${choice("", t("audit.type"))}${choice("installation", t("audit.installation"))}</div>`}
    <select class="input pick" aria-label=${t("audit.filter.verb")} onChange=${(event) => change({ verb: event.target.value })}><option value="">${t("audit.any")}</option>
      ${verbs.map((verb) => html`<option key=${verb} value=${verb} selected=${verb === query.verb}>${t(`verb.${verb}`)}</option>`)}</select>
    ${field("who", t("audit.filter.who"))}${!query.of && field("request_id", t("audit.filter.job"))}
    ${isFiltered && html`<${Button} data-kind="bare" icon="x" onClick=${() => change({ who: "", verb: "", request_id: "" })}>${t("audit.clear")}</${Button}>`}</div>`;
}

export function Audit({ route: { type, query } }) {
  const about = useResource(`types/${path(type)}`, { every: READ_MS });
  const [log, setLog] = useState({ lines: null, next: null });
  const [error, setError] = useState(null);
  const { who = "", verb = "", request_id = "", of = "" } = query;
  const conditions = Object.entries({ who, verb, request_id: of ? "" : request_id }).filter(([, value]) => value).map(([name, value]) => `&${name}=${encodeURIComponent(value)}`).join("");
  const url = `${of ? "audit" : `types/${path(type)}/audit`}?limit=${PAGE}${conditions}`;
  const newest = useResource(url.replace(`limit=${PAGE}`, "limit=1"), { every: READ_MS });
  const asked = useRef("");
  async function read(cursor) {
    asked.current = url;
    try {
      const answer = await get(`${url}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
      if (asked.current !== url) return; // the filter changed meanwhile
      setLog((old) => ({ lines: [...(cursor ? old.lines : []), ...answer.data], next: answer.next }));
      setError(null);
    } catch (refusal) { setError(refusal); }
  }
  useEffect(() => { setLog({ lines: null, next: null }); read(null); }, [url]);
  const change = (values) => go(to("audit", type, undefined, Object.fromEntries(Object.entries({ ...query, ...values }).filter(([, value]) => value))), { replace: true });
  const { lines, next } = log;
  const hasNewer = lines && newest.data?.length > 0 && newest.data[0].id !== lines[0]?.id;
  return html`<${Head} type=${type} view="audit" about=${about} /><${Filters} type=${type} query=${query} change=${change} verbs=${of ? INSTALLATION : VERBS} />
    ${error && html`<${Failure} whole=${!lines} error=${error} again=${() => read(null)} />`}
    ${hasNewer && html`<div class="middle"><${Button} icon="up" onClick=${() => read(null)}>${t("audit.new")}</${Button}></div>`}
    ${!lines && !error && html`<${Loading} />`}
    ${lines?.length === 0 && (conditions ? html`<p class="middle sub">${t("audit.nomatch")}</p>` : html`<${Empty} art="audit" title=${t("audit.none.title")}>${t("audit.none")}</${Empty}>`)}
    ${lines?.length > 0 && html`<section class="panel" aria-labelledby="au"><div class="panel-h"><h2 id="au">${t("audit.title")}</h2></div><table class="tbl audit cards"><thead><tr>
      ${["when", "who", "did", "what", "change"].map((name) => html`<th scope="col" key=${name}>${t(`audit.${name}`)}</th>`)}</tr></thead>
      <tbody>${lines.map((line) => html`<${Line} key=${line.id} type=${of ? "" : type} line=${line} />`)}</tbody></table></section>`}
    ${next && html`<div class="middle"><${Button} icon="down" onClick=${() => read(next)}>${t("audit.more")}</${Button}></div>`}`;
}
