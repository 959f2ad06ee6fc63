// Who changed what, before and after.
import { html, useEffect, useState } from "../dom.js";
import { get, path } from "../api.js";
import { useResource } from "../data.js";
import { instant, moment } from "../format.js";
import { Button, Empty, Failure } from "../parts.js";
import { t } from "../texts.js";
import { Head } from "./head.js";

const PAGE = 100;

function Values({ values }) {
  if (!values) return "—";
  return html`<span class="mono">${Object.entries(values).map(([name, value]) => html`<span class="nowrap">${name}: ${typeof value === "string" ? value : JSON.stringify(value)}</span><br />`)}</span>`;
}

export function Audit({ route: { type } }) {
  const about = useResource(`types/${path(type)}`, { every: 4000 });
  const [lines, setLines] = useState(null);
  const [next, setNext] = useState(null);
  const [error, setError] = useState(null);
  async function read(cursor) {
    try {
      const answer = await get(`types/${path(type)}/audit?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
      setLines((old) => [...(cursor ? old : []), ...answer.data]);
      setNext(answer.next);
    } catch (refusal) { setError(refusal); }
  }
  useEffect(() => { read(null); }, [type]);
  return html`<${Head} type=${type} view="audit" policy=${about.data?.policy} counts=${about.data?.counts} reload=${about.reload} />
    ${error && html`<${Failure} error=${error} again=${() => read(null)} />`}
    ${lines && lines.length === 0 ? html`<${Empty} icon="audit" title=${t("nav.audit")}>${t("audit.none")}</${Empty}>` : html`<section class="panel"><table class="tbl cards"><thead><tr>
      ${["when", "who", "did", "what", "before", "after"].map((name) => html`<th scope="col">${t(`audit.${name}`)}</th>`)}</tr></thead>
      <tbody>${(lines || []).map((line) => html`<tr key=${line.id}><td data-l=${t("audit.when")}><time datetime=${line.time} title=${instant(line.time)}>${moment(line.time)}</time></td>
        <td data-l=${t("audit.who")}>${line.who}<br /><span class="sub">${line.address}</span></td><td data-l=${t("audit.did")}>${line.verb}</td><td data-l=${t("audit.what")}><span class="clip">${line.subject}</span></td>
        <td data-l=${t("audit.before")}><${Values} values=${line.before} /></td><td data-l=${t("audit.after")}><${Values} values=${line.after} /></td></tr>`)}</tbody></table></section>`}
    ${next && html`<${Button} onClick=${() => read(next)}>${t("nav.more")}</${Button}>`}`;
}
