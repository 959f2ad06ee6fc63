// Where the rows of the line come from: by place where all jobs of a status are shown, else page by page.
import { get, path } from "../api.js";

export const PAGE = 100;
const LONGEST = 1000; // rows that one page of the API may have
const EXTRA = "&eta=1&reason=1";

// All jobs of a status by their place: a page is read when it comes into sight, wherever that is.
export class Places {
  constructor(type, status, changed) {
    this.url = `v1/${path(type)}/?status=${status}&limit=${PAGE}${status === "queued" ? EXTRA : ""}`;
    this.changed = changed;
    this.pages = new Map(); // number → rows
    this.asked = new Set();
    this.count = 0;
    this.whole = true; // whether `count` is all there is
    this.ready = false; // whether anything was read
    this.error = null;
  }

  row(index) { return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE]; }

  async read(number) {
    const { data, count, others } = await get(`${this.url}&from=${number * PAGE + 1}`);
    return { rows: others ? byPlace(data, others, number * PAGE + 1) : data, count };
  }

  async want(first, last) {
    const numbers = pagesOf(first, last).filter((number) => !this.pages.has(number) && !this.asked.has(number));
    await Promise.all(numbers.map(async (number) => {
      this.asked.add(number);
      try {
        const { rows, count } = await this.read(number);
        this.pages.set(number, rows);
        this.count = count;
        this.ready = true;
        this.error = null;
      } catch (error) { this.error = error; }
      this.asked.delete(number);
      this.changed();
    }));
  }

  // Reads anew what is in sight, and forgets the rest. Returns the rows by place; nothing is shown before `show`.
  async fresh(first, last) {
    const numbers = pagesOf(first, last);
    const pages = await Promise.all(numbers.map((number) => this.read(number)));
    return { pages: new Map(numbers.map((number, n) => [number, pages[n].rows])), count: pages.at(-1).count };
  }

  // Where a job stands in what was read anew; -1 where it is not there.
  find({ pages }, name) {
    for (const [number, rows] of pages) {
      const at = rows.findIndex((job) => job?.RequestID === name);
      if (at >= 0) return number * PAGE + at;
    }
    return -1;
  }

  show({ pages, count }) {
    this.pages = pages;
    this.count = count;
    this.error = null;
  }
}

// A client's own jobs at their places. Of the jobs between them it is told only how big they are.
function byPlace(own, others, first) {
  const rows = [];
  for (const job of own) rows[job.Position - first] = job;
  for (const { position, instances } of others) {
    rows[position - first] = { other: true, Position: position, Status: "queued", Data: JSON.stringify({ instances }) };
  }
  return rows;
}

function pagesOf(first, last) {
  const from = Math.floor(Math.max(0, first) / PAGE);
  return Array.from({ length: Math.floor(Math.max(0, last) / PAGE) - from + 1 }, (_, n) => from + n);
}

// Jobs that match a filter: no index knows their places, so they are read one page after another.
export class Matches {
  constructor(type, query, changed) {
    this.url = `v1/${path(type)}/?${new URLSearchParams(query)}${!query.status || query.status === "queued" ? EXTRA : ""}`;
    this.changed = changed;
    this.rows = [];
    this.names = new Set();
    this.next = "";
    this.busy = false;
    this.closed = false;
    this.error = null;
    this.pagesRead = 0;
  }

  get count() { return this.rows.length; }

  get whole() { return this.next === null; }

  get ready() { return this.pagesRead > 0; }

  row(index) { return this.rows[index]; }

  // Reads on until there are rows up to `last`, or no more match.
  async want(first, last) {
    if (this.busy || this.closed) return;
    this.busy = true;
    try {
      while (!this.closed && this.next !== null && this.rows.length <= last + PAGE / 2) {
        const { data, next } = await get(`${this.url}&limit=${PAGE}${this.next && `&cursor=${encodeURIComponent(this.next)}`}`);
        this.add(data);
        this.next = next;
        this.pagesRead += 1;
        this.error = null;
        this.changed();
      }
    } catch (error) { this.error = error; }
    this.busy = false;
    this.changed();
  }

  add(jobs) {
    for (const job of jobs) {
      if (!this.names.has(job.RequestID)) { this.names.add(job.RequestID); this.rows.push(job); }
    }
  }

  async fresh() {
    return get(`${this.url}&limit=${Math.min(LONGEST, Math.max(PAGE, this.rows.length))}`);
  }

  find({ data }, name) { return data.findIndex((job) => job.RequestID === name); }

  show({ data, next }) {
    this.rows = [];
    this.names = new Set();
    this.add(data);
    this.next = next;
    this.error = null;
  }
}
