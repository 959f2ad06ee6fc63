// The policy of a type: each field with what it means and its bounds, as the API's own document says them.
import { html, useState } from "../dom.js";
import { call, path } from "../api.js";
import { useResource } from "../data.js";
import { Button, Failure, Note } from "../parts.js";
import { t } from "../texts.js";
import { Head } from "./head.js";

function fieldsOf(openapi) {
  return openapi?.components?.schemas?.PolicyChange?.properties || {};
}

function asText(value) {
  return value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
}

function fromText(text, was) {
  if (text.trim() === "") return null;
  if (typeof was === "string" && !/^[[{"]/.test(text)) return text;
  return JSON.parse(text);
}

export function Policy({ route: { type } }) {
  const about = useResource(`types/${path(type)}`);
  const [openapi] = [useResource("openapi.json")];
  const [error, setError] = useState(null);
  const [saved, setSaved] = useState(false);
  if (!about.data) return about.error && html`<${Failure} error=${about.error} again=${about.reload} />`;
  const { policy, counts } = about.data;
  const fields = fieldsOf(openapi.data ?? openapi);
  async function save(event) {
    event.preventDefault();
    setSaved(false);
    const form = new FormData(event.target);
    const body = {};
    try {
      for (const [name, was] of Object.entries(policy)) {
        const text = typeof was === "boolean" ? String(form.has(name)) : form.get(name);
        if (text !== asText(was)) body[name] = typeof was === "boolean" ? form.has(name) : fromText(text, was);
      }
      if (Object.keys(body).length) await call("PATCH", `types/${path(type)}`, { body });
      setError(null);
      setSaved(true);
      about.reload();
    } catch (refusal) { setError(refusal); }
  }
  return html`<${Head} type=${type} view="policy" policy=${policy} counts=${counts} reload=${about.reload} />
    <p class="lede">${t("policy.lede", { type })}</p>${error && html`<${Failure} error=${error} />`}${saved && html`<${Note} tone="ok" icon="ok">${t("policy.saved")}</${Note}>`}
    <form class="panel" onSubmit=${save}><div class="panel-b stack">${Object.entries(policy).map(([name, value]) => html`<div class="field" key=${name}>
      <label for=${`p-${name}`}>${name}</label>${typeof value === "boolean" ? html`<input type="checkbox" class="check" id=${`p-${name}`} name=${name} checked=${value} />`
      : html`<input class="input" id=${`p-${name}`} name=${name} value=${asText(value)} aria-describedby=${`p-${name}-h`} />`}
      <span class="hint" id=${`p-${name}-h`}>${fields[name]?.description || ""}</span></div>`)}
      <div class="actions"><button type="submit" class="btn" data-kind="main">${t("policy.save")}</button></div></div></form>`;
}
