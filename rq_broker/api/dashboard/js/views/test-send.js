// Sends one callback that names no job to a destination, and says what it answered.
import { html, useState } from "../dom.js";
import { call, path } from "../api.js";
import { useAction } from "../acting.js";
import { causeWords, isTaken } from "../causes.js";
import { number } from "../format.js";
import { Button, Dialog, Failure, Note } from "../parts.js";
import { t } from "../texts.js";

export function TestSend({ type, each, onClose }) {
  const [where, setWhere] = useState("/");
  const [answer, setAnswer] = useState(null);
  const action = useAction();
  const { destination, owner } = each;
  const send = async (event) => {
    event.preventDefault();
    setAnswer(null);
    const body = { destination, owner, path: where };
    await action.run(async () => setAnswer((await call("POST", `types/${path(type)}/destinations/test`, { body })).data));
  };
  const values = answer && { cause: causeWords(answer.cause), ms: number(answer.milliseconds) };
  return html`<${Dialog} title=${t("calls.test.title", { destination })} lede=${t("calls.test.says")} onClose=${onClose} footer=${html`<span class="grow"></span><${Button} onClick=${onClose}>${t("close")}</${Button}>
      <${Button} data-kind="main" icon="send" aria-busy=${action.busy} disabled=${action.busy} onClick=${send}>${t("calls.test.yes")}</${Button}>`}>
    <form class="field" onSubmit=${send}><label for="path">${t("calls.test.path")}</label><input class="input mono" id="path" autofocus value=${where} onInput=${(event) => setWhere(event.target.value)} /></form>
    <div role="status">${answer && html`<${Note} tone=${isTaken(answer.cause) ? "ok" : "bad"} icon=${isTaken(answer.cause) ? "ok" : "bad"}>${t(isTaken(answer.cause) ? "calls.test.ok" : "calls.test.bad", values)}</${Note}>`}</div>
    ${action.error && html`<${Failure} error=${action.error} />`}</${Dialog}>`;
}
