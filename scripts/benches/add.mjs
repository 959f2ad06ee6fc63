// Adds the benchmark's job with BullMQ, after a warm-up: add.mjs COUNT IN_FLIGHT PORT [BATCH], run
// where bullmq is; by addBulk, with a batch. Prints [jobs a second, CPU µs a job, Redis bytes a job,
// BullMQ's version].
import { createRequire } from "module";
const require = createRequire(process.cwd() + "/");
const { Queue } = require("bullmq");
const Redis = require("ioredis");

const [count, inFlight, port, batch = 1] = process.argv.slice(2).map(Number);
const redis = new Redis({ port, maxRetriesPerRequest: null });
const used = async () => Number((await redis.info("memory")).match(/used_memory:(\d+)/)[1]);
const eight = (number) => String(number).padStart(8, "0");
const data = {
  instances: [{ VCPU: 1, Memory: 1024, Disk: 10 }],
  project: "6a7e",
  host_aggregate: "host1",
};
const job = (number) => {
  const request_id = "req-" + eight(number);
  const callback = "http://127.0.0.1:9999/cb/" + eight(number);
  const opts = { jobId: request_id, priority: 1 + (number % 2000000) };
  return { name: "notify", data: { request_id, owner_id: "6a7e", data, callback }, opts };
};
const addOne = (queue, number) => {
  const { name, data, opts } = job(number);
  return queue.add(name, data, opts);
};
const addMany = (queue, first) =>
  queue.addBulk(Array.from({ length: batch }, (_, at) => job(first + at)));
const add = batch === 1 ? addOne : addMany;
const fan = (queue, first, last) => {
  let next = first;
  const lane = async () => {
    while (next < last) {
      next += batch;
      await add(queue, next - batch);
    }
  };
  return Promise.all(Array.from({ length: inFlight }, lane));
};

const queue = new Queue("vm", { connection: { port } });
await queue.waitUntilReady();
await fan(queue, 10000000, 10002000);
await redis.flushall();
const before = await used();
const started = process.hrtime.bigint();
const cpu = process.cpuUsage();
await fan(queue, 0, count);
const seconds = Number(process.hrtime.bigint() - started) / 1e9;
const { user, system } = process.cpuUsage(cpu);
const bytes = ((await used()) - before) / count;
const { version } = require("bullmq/package.json");
console.log(JSON.stringify([count / seconds, (user + system) / count, bytes, version]));
process.exit(0);
