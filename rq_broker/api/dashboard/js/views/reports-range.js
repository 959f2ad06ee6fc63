// Of which time a report is, and how its groups are called.
import { path } from "../api.js";
import { t } from "../texts.js";

// Name of a period → the length of its steps, and how many.
export const PERIODS = { day: ["hour", 24], week: ["hour", 192], month: ["day", 30], year: ["day", 366] };
export const SECONDS = { hour: 3600, day: 86400 };

export function groupName(group) {
  if (group.other) return t("reports.rest");
  if (group.owner_id !== undefined) return group.owner_id || t("reports.noowner");
  if (group.size === 0) return t("reports.size.one");
  return t(group.size < 0 ? "reports.size.part" : "reports.size.whole", { label: group.label });
}

export const urlOf = (type, period, by, limit) => {
  const [step, count] = PERIODS[period] || PERIODS.day;
  const start = Math.floor(Date.now() / 1000 / SECONDS[step]) * SECONDS[step] - (count - 1) * SECONDS[step];
  return `types/${path(type)}/report?by=${by}&step=${step}&from=${start}&limit=${limit}`;
};
