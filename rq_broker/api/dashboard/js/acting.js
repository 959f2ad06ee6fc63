// What a person does: a call that may be asked about first, and what became of it, told beside its button.
import { html, useState } from "./dom.js";
import { Button, Dialog, Failure, Note } from "./parts.js";
import { t } from "./texts.js";

// One action: `run` makes the call; `busy`, `error` and `said` are what is known of it.
export function useAction() {
  const [state, setState] = useState({ busy: false, error: null, said: "" });
  async function run(work, said = "") {
    setState({ busy: true, error: null, said: "" });
    try {
      const result = await work();
      setState({ busy: false, error: null, said: typeof said === "function" ? said(result) : said });
      return true;
    } catch (error) {
      setState({ busy: false, error, said: "" });
      return false;
    }
  }
  return { ...state, run, clear: () => setState({ busy: false, error: null, said: "" }) };
}

// What became of an action: nothing, that it is done, or why not, with its code and its request.
export function Outcome({ action }) {
  if (action.error) return html`<${Failure} error=${action.error} />`;
  if (!action.said) return null;
  return html`<div role="status"><${Note} tone="ok" icon="ok">${action.said}</${Note}></div>`;
}

// Asks once before an action: what it will do, to whom. The focus is on the safe answer where it destroys.
export function Confirm({ title, says, children, label, bad = false, onYes, onClose, done }) {
  const action = useAction();
  const yes = async () => { if (await action.run(onYes)) { done?.(); onClose(); } };
  return html`<${Dialog} title=${title} lede=${says} onClose=${onClose} footer=${html`<span class="grow"></span>
    <${Button} autofocus=${bad} onClick=${onClose}>${t("cancel")}</${Button}>
    <${Button} data-kind=${bad ? "bad" : "main"} autofocus=${!bad} aria-busy=${action.busy} disabled=${action.busy} onClick=${yes}>${label}</${Button}>`}>
    ${children}${action.error && html`<${Failure} error=${action.error} />`}</${Dialog}>`;
}
