// The policy of a type: each field with what it means and its bounds; what changes is shown before it is changed.
import { html, useState } from "../dom.js";
import { call, may, path } from "../api.js";
import { Confirm } from "../acting.js";
import { useResource } from "../data.js";
import { Button, Failure, Loading, Note } from "../parts.js";
import { t } from "../texts.js";
import { Head } from "./head.js";
import { Field, shareDraft } from "./policy-fields.js";
import { GROUPS, parse, patchOf, same, secondsOf, shapeOf, spanText, words } from "./policy-values.js";

// A value as its control has it.
function draftOf(value, { kind }) {
  if (kind === "share") return shareDraft(value);
  if (kind === "limits" || kind === "queue_limits") return Object.entries(value).flatMap(([owner, amounts]) => Object.entries(amounts).map(([name, most]) => [owner, name, String(most)]));
  if (kind === "boolean" || kind === "choice") return value;
  return value === null ? "" : kind === "span" ? spanText(value) : String(value);
}

// The rows of a map → the map, or null where a row is not complete.
function mapOf(rows) {
  const map = {};
  for (const row of rows) {
    const most = Number(row[row.length - 1]);
    if (row.some((cell) => cell.trim() === "") || !Number.isFinite(most) || most < 0) return null;
    if (row.length === 2) map[row[0]] = most;
    else (map[row[0]] ??= {})[row[1]] = most;
  }
  return map;
}

// What a control has → { value } or { error }.
function valueOf(draft, shape) {
  const { kind } = shape;
  if (kind === "boolean" || kind === "choice") return { value: draft };
  if (kind === "limits" || kind === "queue_limits") {
    const value = mapOf(draft);
    return value ? { value } : { error: t("policy.err.rows") };
  }
  if (kind !== "share") return parse(draft, shape);
  if (!draft.on) return { value: null };
  const [half, weights] = [secondsOf(draft.half), mapOf(draft.rows)];
  if (half === null || half <= 0) return { error: t("policy.span.hint") };
  return weights ? { value: { by: "owner", half_life: half, weights } } : { error: t("policy.err.rows") };
}

const wholeShare = (value) => (value === "owner" ? { by: "owner", half_life: 86400, weights: {} } : value && { half_life: 86400, weights: {}, ...value });

function Preview({ type, changes, onClose, onRefused, done }) {
  const save = async () => {
    const body = Object.fromEntries(changes.map(({ name, before, after }) => [name, before === null || after === null ? after : patchOf(before, after)]));
    try { done(await call("PATCH", `types/${path(type)}`, { body })); } catch (error) { onRefused(error); throw error; }
  };
  return html`<${Confirm} title=${t("policy.preview.title", { type })} says=${t("policy.preview")} label=${t("policy.save")} onYes=${save} onClose=${onClose}>
    <table class="moves"><thead><tr><th scope="col">${t("policy.field")}</th><th scope="col">${t("policy.before")}</th><th scope="col">${t("policy.after")}</th></tr></thead>
      <tbody>${changes.map(({ name, before, after, shape }) => html`<tr key=${name}><td><strong>${t(`policy.${name}`)}</strong></td><td class="quiet wrap">${words(name, before, shape.kind)}</td><td class="wrap">${words(name, after, shape.kind)}</td></tr>`)}</tbody></table></${Confirm}>`;
}

// The field that a refusal is about: its sentence begins with its name, or names it.
function fieldIn(error, names) {
  return names.find((name) => new RegExp(`(^|[^a-z_])${name}([^a-z_]|$)`).test(error?.message || ""));
}

function Form({ type, policy, schema, disabled, done }) {
  const [drafts, setDrafts] = useState({});
  const [asking, setAsking] = useState(false);
  const [refused, setRefused] = useState(null);
  const names = Object.values(GROUPS).flat().filter((name) => name in policy);
  const shapes = Object.fromEntries(names.map((name) => [name, shapeOf(name, schema.properties[name])]));
  const whole = (name, value) => (name === "share" ? wholeShare(value) : value);
  const read = Object.fromEntries(Object.entries(drafts).map(([name, draft]) => [name, valueOf(draft, shapes[name])]));
  const changes = Object.entries(read).filter(([name, { error, value }]) => !error && !same(whole(name, policy[name]), value))
    .map(([name, { value }]) => ({ name, before: whole(name, policy[name]), after: value, shape: shapes[name] }));
  const isBad = Object.values(read).some(({ error }) => error);
  const atField = refused && fieldIn(refused, names);
  const set = (name) => (draft) => { setRefused(null); setDrafts({ ...drafts, [name]: draft }); };
  const label = isBad ? t("policy.bad") : changes.length === 0 ? t("policy.nothing") : changes.length === 1 ? t("policy.review.one") : t("policy.review", { n: changes.length });
  return html`<form class="stack" onSubmit=${(event) => { event.preventDefault(); if (changes.length && !isBad) setAsking(true); }}>
    ${refused && !atField && html`<${Failure} error=${refused} />`}
    <div class="policy-grid">${Object.entries(GROUPS).map(([group, fields]) => html`<section class="panel" key=${group} aria-labelledby=${`g-${group}`}><div class="panel-h"><h2 id=${`g-${group}`}>${t(`policy.group.${group}`)}</h2></div>
      <div class="panel-b stack">${fields.filter((name) => name in policy).map((name) => html`<${Field} key=${name} name=${name} shape=${shapes[name]} draft=${drafts[name] ?? draftOf(policy[name], shapes[name])}
        fallback=${schema.properties[name].default} disabled=${disabled} error=${read[name]?.error || (atField === name ? refused.message : "")} onDraft=${set(name)} />`)}</div></section>`)}</div>
    ${!disabled && html`<div class="save-bar"><span class="grow"></span>${Object.keys(drafts).length > 0 && html`<${Button} onClick=${() => { setDrafts({}); setRefused(null); }}>${t("policy.undo")}</${Button}>`}
      <button type="submit" class="btn" data-kind="main" disabled=${!changes.length || isBad}>${label}</button></div>`}
    ${asking && html`<${Preview} type=${type} changes=${changes} onClose=${() => setAsking(false)} onRefused=${setRefused} done=${(answer) => { setDrafts({}); setRefused(null); done(answer); }} />`}</form>`;
}

export function Policy({ route: { type } }) {
  const about = useResource(`types/${path(type)}`);
  const openapi = useResource("openapi.json");
  const [saved, setSaved] = useState(null);
  const head = html`<${Head} type=${type} view="policy" about=${about} />`;
  for (const each of [about, openapi]) if (each.error && !each.data) return html`${head}<${Failure} whole error=${each.error} again=${each.reload} />`;
  const schema = openapi.components?.schemas?.Policy;
  if (!about.data || !schema) return html`${head}<${Loading} rows=${6} />`;
  const mayChange = may("patch_policy", type);
  const done = (answer) => { setSaved(answer); about.reload(); };
  return html`${head}<p class="lede">${t(mayChange ? "policy.lede" : "policy.read", { type })}</p>
    ${saved && html`<div role="status"><${Note} tone="ok" icon="ok">${t("policy.saved")}</${Note}></div>`}${saved?.Warning && html`<${Note} tone="warn" icon="warn">${saved.Warning}</${Note}>`}
    <${Form} key=${type} type=${type} policy=${about.data.policy} schema=${schema} disabled=${!mayChange} done=${done} />`;
}
