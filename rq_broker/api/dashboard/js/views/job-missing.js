// A job that is not there: what became of it as far as anything tells, and where else one of its name is.
import { html, useState } from "../dom.js";
import { get, may, path } from "../api.js";
import { useResource } from "../data.js";
import { moment, span } from "../format.js";
import { Button, Empty, Failure } from "../parts.js";
import { to } from "../router.js";
import { t } from "../texts.js";

const MOST_TYPES = 50; // types that are asked for a job of this name

export function Missing({ type, name, types }) {
  const log = useResource(may("audit_log", type) ? `types/${path(type)}/audit?request_id=${encodeURIComponent(name)}&limit=5` : null);
  const about = useResource(`types/${path(type)}`);
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  const withdrawn = (log.data || []).find((line) => line.verb === "withdraw");
  const retention = about.data?.policy.retention;
  async function search() {
    const others = Object.keys(types || {}).filter((each) => each !== type).slice(0, MOST_TYPES);
    const has = async (each) => {
      try { await get(`v1/${path(each, name)}`); return each; } catch (refusal) { if (refusal.status === 404) return null; throw refusal; }
    };
    try { setFound((await Promise.all(others.map(has))).filter(Boolean)); setError(null); } catch (refusal) { setError(refusal); }
  }
  const says = withdrawn ? t("job.missing.withdrawn", { who: withdrawn.who, time: moment(withdrawn.time) }) : retention ? t("job.missing", { span: span(retention) }) : t("job.missing.ever");
  const action = html`${found === null && html`<${Button} icon="search" onClick=${search}>${t("job.missing.search")}</${Button}>`}
      ${(log.data || []).length > 0 && html`<a class="btn" href=${to("audit", type, undefined, { request_id: name })}>${t("job.missing.audit")}</a>`}`;
  return html`<${Empty} art="search" title=${t("job.missing.title", { name, type })} action=${action}>${says}</${Empty}>
    <div role="status" class="middle">${found?.length === 0 && html`<p class="sub">${t("job.missing.nowhere")}</p>`}
      ${found?.length > 0 && html`<p>${t("job.missing.elsewhere")} ${found.map((each, n) => html`${n > 0 && ", "}<a key=${each} href=${to("job", each, name)}>${each}</a>`)}</p>`}</div>
    ${error && html`<${Failure} error=${error} again=${search} />`}`;
}
