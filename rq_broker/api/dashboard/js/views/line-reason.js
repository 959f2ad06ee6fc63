// Why a job waits, as a row says it: an icon, a tone and a sentence.
import { sentence } from "../reasons.js";
import { t } from "../texts.js";

const LOOKS = {
  granted_soon: ["clock", "ok"], next_pass: ["clock"], same_shape: ["clock"], impossible: ["bad", "bad"], never: ["bad", "bad"],
  paused: ["pause", "warn"], protected_other: ["kept"], strict_order: ["line"], owner_limit: ["limit", "warn"], at_once: ["limit"],
  destination_closed: ["plug", "warn"], destination_asked: ["clock", "warn"], destination_behind: ["plug", "warn"],
  offers_missed: ["clock", "warn"], offers_open: ["limit"], no_notifier: ["off", "bad"], not_before: ["clock"], after: ["clock"],
};

export function reasonOf(job) {
  const { code = "", ...why } = job.Why || {};
  if (!code) return { code, icon: "clock", text: t("line.reason.none") };
  const [icon, tone] = LOOKS[code] || ["box"];
  return { code, icon, tone, text: sentence({ code, ...why }) };
}

// Whether a job is the one that does not fit now, rather than one that waits for another cause.
export const isBlocked = (job) => job.Status === "queued" && job.Why?.code === "no_fit";
