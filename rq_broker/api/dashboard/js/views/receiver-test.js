// One test message to a receiver: where it goes, and what became of it.
import { html, useEffect, useRef, useState } from "../dom.js";
import { call, get, path } from "../api.js";
import { Outcome_ } from "../causes.js";
import { number } from "../format.js";
import { Button, Dialog, Failure, Note } from "../parts.js";
import { t } from "../texts.js";
import { sleep } from "../waits.js";

const JOBS = 100; // of the owner, among which a callback to the receiver is looked for
const ASK_MS = 300; // between two looks at what became of it
const LONG_MS = 15000; // after which it is told that nothing is known yet

const random = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");

function isThere(callback, destination) {
  try { return new URL(callback).origin === new URL(destination).origin; } catch { return false; }
}

// A callback of the receiver's jobs, or its address: where a job's callback would go.
async function usual(type, { destination, owner }) {
  const query = new URLSearchParams({ limit: JOBS, ...(owner && { owner_id: owner }) });
  const { data } = await get(`v1/${path(type)}/?${query}`);
  return data.find((job) => isThere(job.Callback, destination))?.Callback || `${destination}/`;
}

export function TestDialog({ type, each, onClose }) {
  const [callback, setCallback] = useState("");
  const [state, setState] = useState({ busy: false, error: null, outcome: null, late: false });
  const open = useRef(true);
  useEffect(() => {
    usual(type, each).catch(() => `${each.destination}/`).then((found) => { if (open.current) setCallback((now) => now || found); });
    return () => { open.current = false; };
  }, []);
  async function send(event) {
    event.preventDefault();
    const url = `types/${path(type)}/destinations/tests/${random()}`;
    const began = Date.now();
    setState({ busy: true, error: null, outcome: null, late: false });
    try {
      let { data } = await call("PUT", url, { body: { callback, owner: each.owner } });
      while (open.current && data.cause === null) {
        setState((old) => ({ ...old, late: Date.now() - began > LONG_MS }));
        await sleep(ASK_MS);
        ({ data } = await get(url));
      }
      if (open.current) setState({ busy: false, error: null, outcome: data, late: false });
    } catch (error) { if (open.current) setState({ busy: false, error, outcome: null, late: false }); }
  }
  const { busy, error, outcome, late } = state;
  return html`<${Dialog} title=${t("calls.test.ask", { destination: each.destination })} lede=${t("calls.test.says")} onClose=${onClose}
      footer=${html`<span class="grow"></span><${Button} onClick=${onClose}>${t("close")}</${Button}>
        <button class="btn" data-kind="main" form="test-form" aria-busy=${busy ? "true" : "false"} disabled=${busy || !callback}>${t("calls.test.send")}</button>`}>
    <form class="field" id="test-form" onSubmit=${send}><label for="test-url">${t("calls.test.url")}</label>
      <input class="input" id="test-url" type="url" required autofocus autocomplete="off" value=${callback} onInput=${(event) => setCallback(event.target.value.trim())} /></form>
    <div role="status">${outcome && html`<p class="track"><${Outcome_} cause=${outcome.cause} /> <span class="num">${number(outcome.milliseconds)} ms</span></p>`}
      ${late && html`<${Note} tone="warn" icon="clock">${t("calls.test.late")}</${Note}>`}</div>
    ${error && html`<${Failure} error=${error} />`}</${Dialog}>`;
}
