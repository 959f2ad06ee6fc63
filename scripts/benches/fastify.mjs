// An API in front of BullMQ's add, as a user would build it: fastify.mjs REDIS_PORT PORT, run where
// fastify and bullmq are.
import { createRequire } from "module";
const require = createRequire(process.cwd() + "/");
const { Queue } = require("bullmq");
const fastify = require("fastify");

const [redisPort, port] = process.argv.slice(2).map(Number);
const queue = new Queue("vm", { connection: { port: redisPort } });
await queue.waitUntilReady();
const text = { type: "string" };
const body = {
  type: "object",
  required: ["request_id", "owner_id", "data"],
  properties: { request_id: text, owner_id: text, callback: text, data: { type: "object" } },
};
const app = fastify();
app.post("/jobs", { schema: { body } }, async (request, reply) => {
  const job = await queue.add("notify", request.body, { jobId: request.body.request_id, priority: 1 });
  reply.code(201);
  return { request_id: job.id, ok: true };
});
await app.listen({ port, host: "127.0.0.1" });
