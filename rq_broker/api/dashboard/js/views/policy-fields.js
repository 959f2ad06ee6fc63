// The controls of policy fields: one of each kind, with what it means, its default, and what is wrong with it.
import { html } from "../dom.js";
import { span } from "../format.js";
import { Button, Icon } from "../parts.js";
import { gap, t } from "../texts.js";
import { nullText, secondsOf, spanText, words } from "./policy-values.js";

const DAY = 86400; // the half-life of a share that says nothing else, seconds

function Note({ name, shape, fallback, error }) {
  // Here one leaves a field empty where a program says null.
  const means = t(`means.${name}`).replace("null", t("policy.word.empty")).replace(/^[a-z]/, (letter) => letter.toUpperCase());
  const parts = `${means}${t("policy.stop")}`.split("`");
  return html`<span class="hint" id=${`p-${name}-h`}>${parts.map((part, n) => (n % 2 ? html`<code>${part}</code>` : part))}
      ${fallback !== undefined && html`${gap()}<span class="nowrap">${t("policy.default", { value: words(name, fallback, shape.kind) })}</span>`}</span>
    ${error && html`<span class="err" id=${`p-${name}-e`} role="alert"><${Icon} name="bad" />${error}</span>`}`;
}

const described = (name, error) => ({ "aria-describedby": `p-${name}-h${error ? ` p-${name}-e` : ""}`, "aria-invalid": Boolean(error) });

function Text({ name, shape, text, error, disabled, onText }) {
  const seconds = shape.kind === "span" ? secondsOf(text) : null;
  const isPlain = /^\s*\d+(\.\d+)?\s*$/.test(text);
  return html`<div class="unit"><input class="input" id=${`p-${name}`} value=${text} disabled=${disabled} inputmode=${shape.kind === "integer" ? "numeric" : undefined} ...${described(name, error)} title=${shape.kind === "span" ? t("policy.span.hint") : ""}
    placeholder=${shape.nullable ? nullText(name) : ""} onInput=${(event) => onText(event.target.value)} />${seconds !== null && isPlain && html`<span class="sub nowrap">${t("policy.span.is", { span: span(seconds) })}</span>`}</div>`;
}

// Rows of a map that a person edits: [owner, name, number] or [owner, number].
function Rows({ name, rows, columns, choices, error, disabled, onRows }) {
  const set = (n, m, value) => onRows(rows.map((row, each) => (each === n ? row.map((cell, at) => (at === m ? value : cell)) : row)));
  const cell = (row, n, m) => (choices && m === 1 ? html`<select class="input" aria-label=${columns[m]} disabled=${disabled} onChange=${(event) => set(n, m, event.target.value)}>
      ${choices.map(([value, text]) => html`<option key=${value} value=${value} selected=${value === row[m]}>${text}</option>`)}</select>`
    : html`<input class="input" aria-label=${columns[m]} placeholder=${columns[m]} disabled=${disabled} value=${row[m]} inputmode=${m === row.length - 1 ? "decimal" : undefined} onInput=${(event) => set(n, m, event.target.value)} />`);
  return html`<div class="rows-edit" role="group" aria-labelledby=${`p-${name}-l`} ...${described(name, error)}>${rows.map((row, n) => html`<div class="rows-row" key=${n}>${row.map((_, m) => cell(row, n, m))}
      <${Button} data-kind="bare" data-size="icon" disabled=${disabled} aria-label=${t("policy.rows.remove", { owner: row[0] })} onClick=${() => onRows(rows.filter((each) => each !== row))}><${Icon} name="x" /></${Button}></div>`)}
    ${!disabled && html`<div class="actions"><${Button} data-size="sm" onClick=${() => onRows([...rows, columns.map((_, m) => (choices && m === 1 ? choices[0][0] : ""))])}>${t("policy.rows.add")}</${Button}><span class="sub">${t("policy.rows.hint")}</span></div>`}</div>`;
}

function Share({ draft, error, disabled, onDraft }) {
  const isOn = draft.on;
  return html`<select class="input" id="p-share" disabled=${disabled} ...${described("share", error)} onChange=${(event) => onDraft({ ...draft, on: event.target.value === "owner" })}>
      <option value="" selected=${!isOn}>${t("policy.share.none")}</option><option value="owner" selected=${isOn}>${t("policy.share.owner")}</option></select>
    ${isOn && html`<div class="sub-field"><label class="sub" for="p-share-half">${t("policy.share.half")}</label><input class="input" id="p-share-half" disabled=${disabled} value=${draft.half} title=${t("policy.span.hint")} onInput=${(event) => onDraft({ ...draft, half: event.target.value })} />
      <${Rows} name="share" rows=${draft.rows} columns=${[t("policy.rows.owner"), t("policy.rows.weight")]} disabled=${disabled} onRows=${(rows) => onDraft({ ...draft, rows })} /></div>`}`;
}

export function shareDraft(value) {
  const { half_life: half = DAY, weights = {} } = value && value !== "owner" ? value : {};
  return { on: Boolean(value), half: spanText(half), rows: Object.entries(weights).map(([owner, weight]) => [owner, String(weight)]) };
}

// One field: its name, its control by its kind, and the note below.
export function Field({ name, shape, draft, fallback, error, disabled, onDraft }) {
  const { kind } = shape;
  const isGroup = kind === "limits" || kind === "queue_limits";
  const label = html`${t(`policy.${name}`)} <code class="sub">${name}</code>`;
  const common = { name, error, disabled };
  const control = () => {
    if (kind === "boolean") return null;
    if (kind === "share") return html`<${Share} draft=${draft} error=${error} disabled=${disabled} onDraft=${onDraft} />`;
    if (kind === "choice") {
      return html`<select class="input" id=${`p-${name}`} disabled=${disabled} ...${described(name, error)} onChange=${(event) => onDraft(event.target.value)}>
        ${shape.choices.map((each) => html`<option key=${each} value=${each} selected=${each === draft}>${t(`policy.${name}.${each}`)}</option>`)}</select>`;
    }
    if (kind === "limits") return html`<${Rows} ...${common} rows=${draft} columns=${["owner", "resource", "most"].map((each) => t(`policy.rows.${each}`))} onRows=${onDraft} />`;
    if (kind === "queue_limits") {
      return html`<${Rows} ...${common} rows=${draft} columns=${["owner", "what", "most"].map((each) => t(`policy.rows.${each}`))} onRows=${onDraft}
        choices=${["jobs", "bytes"].map((each) => [each, t(`policy.rows.${each}`)])} />`;
    }
    return html`<${Text} ...${common} shape=${shape} text=${draft} onText=${onDraft} />`;
  };
  return html`<div class="field policy-field">${kind === "boolean" ? html`<label class="check-row" for=${`p-${name}`}><input type="checkbox" class="check" id=${`p-${name}`} checked=${draft} disabled=${disabled} ...${described(name, error)} onChange=${(event) => onDraft(event.target.checked)} /><span>${label}</span></label>`
    : isGroup ? html`<span class="label" id=${`p-${name}-l`}>${label}</span>` : html`<label for=${`p-${name}`} id=${`p-${name}-l`}>${label}</label>`}
    ${control()}<${Note} name=${name} shape=${shape} fallback=${fallback} error=${error} /></div>`;
}
