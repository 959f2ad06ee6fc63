// Numbers, times and sizes as people read them, in the viewer's language and zone.
import { language, many, t } from "./texts.js";

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;
const NEAR = 12 * HOUR;
const GIB = 1024; // MB

export function number(value) {
  return new Intl.NumberFormat(language()).format(value);
}

// An exact span of the past, in seconds.
export function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < MINUTE) return t("span.s", { s });
  if (s < HOUR) return t("span.m", { m: Math.floor(s / MINUTE) });
  if (s < DAY) {
    const m = Math.floor((s % HOUR) / MINUTE);
    return m ? t("span.hm", { h: Math.floor(s / HOUR), m: String(m).padStart(2, "0") }) : t("span.h", { h: Math.floor(s / HOUR) });
  }
  const h = Math.floor((s % DAY) / HOUR);
  return h ? t("span.dh", { d: Math.floor(s / DAY), h }) : t("span.d", { d: Math.floor(s / DAY) });
}

// A span of the future, rounded as one knows it: 5 minutes below 1 h, 10 below 6 h, then hours.
function rounded(seconds) {
  const step = seconds < HOUR ? 5 * MINUTE : seconds < 6 * HOUR ? 10 * MINUTE : HOUR;
  return Math.max(step, Math.round(seconds / step) * step);
}

// A span without its unit, where the one that follows has the same: minutes below 1 h, whole hours below a day.
function bare(seconds, next) {
  if (next < HOUR) return String(seconds / MINUTE);
  return seconds >= HOUR && next < DAY && seconds % HOUR === 0 && next % HOUR === 0 ? String(seconds / HOUR) : span(seconds);
}

// A forecast: "35 – 50 min", "35 min – 1 h 10". `p90` null: that or later.
export function range(p50, p90) {
  if (p50 === null || p50 === undefined) return t("eta.unknown");
  if (p50 < MINUTE && p90 !== null && p90 < MINUTE) return t("eta.now");
  const first = rounded(p50);
  const from = p50 < MINUTE ? t("eta.now") : span(first);
  if (p90 === null || p90 === undefined) return t("eta.later", { from });
  const last = rounded(Math.max(p90, MINUTE));
  const to = span(last);
  if (from === to) return t("eta.about", { from });
  return t("eta.range", { from: p50 < MINUTE ? from : bare(first, last), to });
}

export function clockTime(date) {
  return new Intl.DateTimeFormat(language(), { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" })
    .format(date);
}

// To the minute, with the day unless that is today, and with the year unless it is this one.
function dayAndMinute(date, withDay = true) {
  const now = new Date();
  const day = withDay && now.toDateString() !== date.toDateString() && { month: "short", day: "numeric", year: now.getFullYear() === date.getFullYear() ? undefined : "numeric" };
  return new Intl.DateTimeFormat(language(), { ...day, hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(date);
}

export function moment(iso) {
  const date = new Date(iso);
  return new Date().toDateString() === date.toDateString() ? clockTime(date) : dayAndMinute(date);
}

// What is only about then: to the minute, and without the day within NEAR of now, so that an evening's forecast stays short.
export function minute(iso) {
  const date = new Date(iso);
  return dayAndMinute(date, Math.abs(date - Date.now()) > 1000 * NEAR);
}

export function instant(iso) {
  return new Intl.DateTimeFormat(language(), { dateStyle: "full", timeStyle: "long" }).format(new Date(iso));
}

// An amount of a resource with its unit; MB become GB only where that is exact.
export function amount(resource, value) {
  if (resource === "Memory") {
    return value % GIB === 0 && value ? t("amount.gb", { n: number(value / GIB) }) : t("amount.mb", { n: number(value) });
  }
  if (resource === "Disk") return t("amount.disk", { n: number(value) });
  return t("amount.other", { n: number(value), resource });
}

const ORDER = ["GPU", "VCPU", "Memory", "Disk"];

export function resources(names) {
  const known = ORDER.filter((name) => names.includes(name));
  return [...known, ...names.filter((name) => !ORDER.includes(name)).sort()];
}

// The size of a job in words; a viewer is not told.
export function sizeOf({ Data, Redacted }) {
  return Redacted?.includes("Data") ? { text: t("size.hidden"), more: "" } : size(Data);
}

// What a demand asks for: without instances one slot, as the API has it.
export function instancesOf(demand) {
  return Array.isArray(demand.instances) ? demand.instances : [{ Slots: 1 }];
}

// The instances of a demand in words: "4 × 8 VCPU, 32 GB", and what does not fit there.
export function size(data) {
  let demand;
  try { demand = JSON.parse(data); } catch { return { text: "", more: "" }; }
  const kinds = new Map();
  for (const instance of instancesOf(demand)) {
    const names = resources(Object.keys(instance).filter((name) => typeof instance[name] === "number" && name !== "count"));
    const main = names.filter((name) => name !== "Disk").map((name) => amount(name, instance[name])).join(", ");
    const disk = names.includes("Disk") ? amount("Disk", instance.Disk) : "";
    const key = `${main}|${disk}`;
    const { count = 1 } = instance;
    const times = typeof count === "number" ? count : count.min;
    const known = kinds.get(key) || { main: main || disk || t("size.nothing"), disk: main ? disk : "", count: 0, most: 0 };
    known.count += times;
    known.most += typeof count === "number" ? count : count.max;
    kinds.set(key, known);
  }
  const parts = [...kinds.values()];
  const words = parts.map(({ main, count, most }) => {
    if (most > count) return t("size.elastic", { min: number(count), max: number(most), main });
    return count === 1 ? main : t("size.times", { count: number(count), main });
  });
  const more = [parts.length === 1 ? parts[0].disk : "", demand.spread ? t("size.spread") : "",
    (demand.alternatives || []).length ? many("size.alternatives", demand.alternatives.length, { n: number(demand.alternatives.length) }) : ""];
  return { text: words.join(" + "), more: more.filter(Boolean).join(" · ") };
}
