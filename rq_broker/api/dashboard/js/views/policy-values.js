// The values of policy fields: how they are written, read from what somebody typed, and shown in words.
import { number, span } from "../format.js";
import { LANGUAGES, t } from "../texts.js";

export const GROUPS = {
  order: ["patience", "strict_order", "share", "limits", "own_order"],
  times: ["offer", "running", "retention", "expected_default", "expected_most", "holds", "settle"],
  bounds: ["queue_limits", "most_waiting", "most_bytes", "most_kinds", "most_hosts", "concurrency"],
  other: ["names", "audit_log"],
};
const UNITS = { s: 1, sec: 1, m: 60, min: 60, h: 3600, d: 86400 };

// What the API's document says of a field: { kind, nullable, min, max, choices }.
export function shapeOf(name, schema) {
  const forms = schema?.anyOf || [schema || {}];
  const [form] = forms.filter((each) => each.type !== "null");
  const nullable = forms.some((each) => each.type === "null");
  if (name === "share") return { kind: "share", nullable };
  if (name === "limits" || name === "queue_limits") return { kind: name, nullable: false };
  if (form.enum) return { kind: "choice", choices: form.enum, nullable };
  const bounds = { min: form.minimum ?? form.exclusiveMinimum, max: form.maximum, above: form.exclusiveMinimum !== undefined };
  return { kind: form.type === "number" ? "span" : form.type, nullable, ...bounds };
}

// "1 h 30 min", "90m" or "300" → seconds; null where it cannot be read.
export function secondsOf(text) {
  const plain = text.trim().replace(",", ".");
  if (/^\d+(\.\d+)?$/.test(plain)) return Number(plain);
  const parts = [...plain.matchAll(/(\d+(?:\.\d+)?)\s*([a-z]+)/gi)];
  const isWhole = parts.map((part) => part[0]).join("").replace(/\s/g, "") === plain.replace(/\s/g, "");
  if (!parts.length || !isWhole || parts.some((part) => !(part[2].toLowerCase() in UNITS))) return null;
  return parts.reduce((sum, part) => sum + Number(part[1]) * UNITS[part[2].toLowerCase()], 0);
}

// A span as it stands in its field, so that reading it gives the same number.
export function spanText(seconds) {
  for (const [unit, of] of [["d", 86400], ["h", 3600], ["min", 60]]) if (seconds >= of && seconds % of === 0) return `${seconds / of} ${unit}`;
  return `${seconds} s`;
}

// Reads what was typed: { value } or { error }.
export function parse(text, { kind, nullable, min, max, above }) {
  if (text.trim() === "") return nullable ? { value: null } : { error: t("policy.err.empty") };
  const isSpan = kind === "span";
  const value = isSpan ? secondsOf(text) : Number(text);
  const fits = value !== null && Number.isFinite(value) && (isSpan || Number.isSafeInteger(value)) && (above ? value > min : value >= (min ?? 0)) && value <= (max ?? Infinity);
  if (fits) return { value };
  return { error: isSpan ? t("policy.err.span", { min: span(min ?? 0), max: span(max) }) : t("policy.err.int", { min: number(min ?? 0), max: number(max ?? Number.MAX_SAFE_INTEGER) }) };
}

export function nullText(name) {
  return `policy.null.${name}` in LANGUAGES.en ? t(`policy.null.${name}`) : t("policy.null");
}

function pairs(value) {
  return Object.entries(value).map(([owner, amounts]) => `${owner}: ${Object.entries(amounts).map(([name, most]) => `${name} ${number(most)}`).join(", ")}`);
}

// A value in words, for the preview and the defaults.
export function words(name, value, kind) {
  if (value === null || value === undefined) return nullText(name);
  if (typeof value === "boolean") return t(value ? "policy.yes" : "policy.no");
  if (kind === "span") return span(value);
  if (kind === "choice") return t(`policy.${name}.${value}`);
  if (kind === "share") return value === "owner" ? t("policy.share.owner") : [t("policy.share.owner"), span(value.half_life ?? 86400), ...Object.entries(value.weights || {}).map(([owner, weight]) => `${owner} ${weight}`)].join("; ");
  if (typeof value === "object") return pairs(value).join("; ") || t("policy.none");
  return number(value);
}

export function same(one, other) {
  const sorted = (value) => (value && typeof value === "object" && !Array.isArray(value) ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])])) : value);
  return JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
}

// What a merge patch must say so that `before` becomes `after`: null removes what is gone.
export function patchOf(before, after) {
  const isMap = (value) => value && typeof value === "object" && !Array.isArray(value);
  if (!isMap(before) || !isMap(after)) return after;
  const patch = {};
  for (const key of Object.keys(before)) if (!(key in after)) patch[key] = null;
  for (const [key, value] of Object.entries(after)) if (!same(before[key], value)) patch[key] = patchOf(before[key], value);
  return patch;
}
