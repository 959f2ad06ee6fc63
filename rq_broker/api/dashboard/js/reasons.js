// Says why in the viewer's language: from the code and the values of a reason, never from its English text.
import { clock } from "./api.js";
import { amount, clockTime, minute, moment, number, resources, span } from "./format.js";
import { SENTENCES } from "./reason_texts.js";
import { language, t } from "./texts.js";

const NAMED = 3; // names that a sentence lists before it counts the others
const MINUTE = 60;

function fill(name, values = {}) {
  return SENTENCES[language()][name].replace(/\{(\w+)\}/g, (_, key) => {
    if (values[key] === undefined || values[key] === null) throw new Error(`${name} needs ${key}`);
    return values[key];
  });
}

// "a, b and 2 more": the first few, `count` of them in all.
function listed(names, count = names.length) {
  const shown = names.slice(0, NAMED);
  if (count > shown.length) shown.push(fill("part.count", { n: number(count - shown.length) }));
  const last = shown.pop();
  return shown.length ? shown.join(fill("part.comma")) + fill("part.and") + last : last;
}

// An amount as people say it, with the word for it: "64 GB memory".
function needs(resource, value) {
  const said = amount(resource, value);
  return resource === "Memory" ? fill("part.memory", { amount: said }) : said;
}

// Beside an amount that names the resource: "60 of the 64 VCPU".
const bare = (resource, value) => (["Memory", "Disk"].includes(resource) ? amount(resource, value) : number(value));
const left = (resource, value) => amount(resource, Math.max(0, value));

function instanceOf(amounts) {
  const names = resources(Object.keys(amounts));
  return names.map((name) => amount(name, amounts[name])).join(", ") || t("size.nothing");
}

function whereOf({ aggregate, any_aggregate: any = [], require = [], forbid = [], instance_require: own = [], instance_forbid: without = [] } = {}) {
  const or = fill("part.or");
  const groups = [["aggregate", [aggregate].filter(Boolean)], ["aggregate", any.length ? [any.join(or)] : []],
    ["require", [...require, ...own]], ["forbid", [...forbid, ...without]]];
  const parts = groups.filter(([, names]) => names.length).map(([kind, names]) => fill(`where.${kind}`, { names: names.join(fill("part.comma")) }));
  return parts.length ? fill("where.all", { parts: parts.join(fill("part.comma")) }) : "";
}

const at = (seconds) => moment(new Date(seconds * 1000).toISOString());
const since = (seconds) => span(Math.max(0, clock.now() / 1000 - seconds));
const percent = (share) => new Intl.NumberFormat(language(), { style: "percent", maximumFractionDigits: 1 }).format(share);

function soon(seconds) {
  const rest = seconds - clock.now() / 1000;
  return rest < 60 * MINUTE ? span(Math.max(1, rest)) : clockTime(new Date(seconds * 1000));
}

function lacking(why, of) {
  const lacks = why.lacks || [{ resource: why.resource, needed: why.needed, free: why.free || 0 }];
  return lacks.map((each) => of(each)).join(fill("part.and"));
}

function keptOf(why) {
  if (!why.hosts?.length) return fill("part.hosts.none");
  return fill(why.hosts.length > 1 ? "part.hosts.several" : "part.hosts", { hosts: listed(why.hosts) });
}

// What the sentence of a code may need, each value as the sentence says it.
const SAID = {
  needed: (why) => (why.resource || why.lacks ? lacking(why, (each) => needs(each.resource, each.needed)) : number(why.needed)),
  free: (why) => lacking(why, (each) => left(each.resource, each.free)),
  where: (why) => whereOf(why.where),
  largest: (why) => amount(why.resource, why.largest),
  instance: (why) => instanceOf(why.instance),
  least: (why) => (why.at_least ? fill("part.least") : ""),
  similar: (why) => (why.similar?.length ? fill("part.similar", { names: why.similar.join(fill("part.or")) }) : ""),
  owner: (why) => why.owner || fill("part.nobody"),
  limit: (why) => (why.resource ? amount(why.resource, why.limit) : number(why.limit)),
  held: (why) => bare(why.resource, why.held),
  more_needed: (why) => bare(why.resource, why.needed),
  kept: (why) => (why.kept ? fill("part.kept", { kept: amount(why.resource, why.kept) }) : ""),
  job: (why) => why.job || fill("part.another"),
  hosts: keptOf,
  passed: (why) => (why.passed_since ? fill("part.passed", { span: since(why.passed_since) }) : ""),
  next: (why) => (why.until ? fill("part.try", { span: soon(why.until) }) : ""),
  until: (why) => at(why.until),
  jobs: (why) => number(Math.max(why.jobs || 0, why.left)),
  ends: (why) => fill(why.any_end ? "part.end" : "part.done"),
  seconds: (why) => span(why.seconds),
  expected: (why) => span(why.expected),
  servers: (why) => listed(why.servers),
  unheld: (why) => listed(why.unheld.map((each) => `${amount(each.resource, each.amount)} (${each.host})`)),
  alternatives: (why) => why.alternatives.slice(0, NAMED).map((each, n) => fill("part.alternative", { n: number(n + 1), text: sentence(each) })).join(" "),
  more(why) {
    const rest = why.alternatives.length - NAMED;
    const further = rest > 0 ? ` ${fill("part.more", { n: number(rest) })}` : "";
    return further + (why.alternatives_from ? fill("part.from", { time: at(why.alternatives_from) }) : "");
  },
};

// What comes behind a sentence of any code.
const ENDINGS = {
  anywhere: ({ resource, host }) => fill("end.anywhere", { resource, host }),
  after_earlier: () => fill("end.after_earlier"),
  reserved({ hosts, host_count: count, start, waits_for: names = [], waits_for_count: jobs = 0 }) {
    const counted = jobs === 1 ? fill("part.job") : fill("part.jobs", { n: number(jobs) });
    return fill("end.reserved", { hosts: listed(hosts, count), from: start ? fill("end.from", { time: minute(1000 * start) }) : fill("end.until"),
      when: jobs ? fill("end.when", { jobs: names.length ? listed(names, jobs) : counted }) : "" });
  },
  lead: ({ job, owner, own_owner: own, share, own_share: used }) => fill("end.lead", { job: job || fill("end.later"), owner: owner ? ` ${owner} ` : "",
    share: percent(share), own_owner: own || fill("part.nobody"), own_share: percent(used) }),
  sources: (sources) => sources.map(({ source, stale, age, cause }) => {
    if (!stale) return fill("end.partly", { source, cause });
    return fill("end.stale", { source, age: age === undefined ? fill("end.unknown") : fill("end.age", { span: span(age) }) });
  }).join(""),
  unserved: ({ seconds }) => fill("end.unserved", { since: seconds === undefined ? "" : fill("end.since", { span: span(seconds) }) }),
};

function nameOf({ code, kind, spread }) {
  if (kind === "alternatives") return kind;
  const name = kind ? `${code}.${kind}` : code;
  return spread ? `${name}.spread` : name;
}

// The sentence of a reason; of one whose code this page does not know yet, the API's English one.
export function sentence(why) {
  if (!why) return "";
  const name = nameOf(why);
  if (!(name in SENTENCES[language()])) return why.text;
  const values = new Proxy(why, { get: (_, key) => (key in SAID ? SAID[key](why) : typeof why[key] === "number" ? number(why[key]) : why[key]) });
  const ends = Object.keys(ENDINGS).filter((key) => why[key] !== undefined).map((key) => ENDINGS[key](why[key]));
  return [fill(name, values), ...ends].join("").trim();
}
