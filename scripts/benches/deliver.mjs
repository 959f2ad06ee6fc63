// Delivers callbacks with a BullMQ worker and Node's fetch: deliver.mjs COUNT IN_FLIGHT PORT
// SINK_PORT…, run where bullmq is. Prints the seconds it took.
import { createRequire } from "module";
const require = createRequire(process.cwd() + "/");
const { Queue, Worker } = require("bullmq");

const [count, inFlight, port] = process.argv.slice(2, 5).map(Number);
const sinks = process.argv.slice(5);
const connection = { port, maxRetriesPerRequest: null };
const queue = new Queue("vm", { connection });
const eight = (number) => String(number).padStart(8, "0");
const job = (number) => {
  const request_id = "req-" + eight(number);
  const callback = `http://127.0.0.1:${sinks[number % sinks.length]}/cb/${eight(number)}`;
  return { name: "notify", data: { request_id, callback } };
};
for (let first = 0; first < count; first += 500)
  await queue.addBulk(Array.from({ length: 500 }, (_, at) => job(first + at)));

const notify = async ({ data }) => {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(data.callback, { method: "POST", body: JSON.stringify(data), headers });
  await answer.arrayBuffer();
  if (!answer.ok) throw new Error(answer.status);
};
const worker = new Worker("vm", notify, { connection, concurrency: inFlight, autorun: false });
let done = 0;
const all = new Promise((resolve) => worker.on("completed", () => ++done === count && resolve()));
const started = process.hrtime.bigint();
worker.run();
await all;
console.log(Number(process.hrtime.bigint() - started) / 1e9);
process.exit(0);
