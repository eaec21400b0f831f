// The functions of the matrix in the official TypeScript SDK: `node app.cjs PORT`. What its users write, nothing adapted.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { Inngest, NonRetriableError, RetryAfterError, StepError, experiment, referenceFunction } = require("inngest");
const { createDefer } = require("inngest/experimental");
const { serve } = require("inngest/node");
const { channel, staticSchema } = require("inngest/realtime");

const APP = process.env.SDK_APP || "ts";
const checkpointing = { on: true, off: false }[process.env.SDK_CHECKPOINTING || "on"];
const quiet = { info() {}, warn() {}, error() {}, debug() {} };
const client = new Inngest({
  id: APP,
  appVersion: "v1",
  isDev: !process.env.INNGEST_SIGNING_KEY,
  checkpointing,
  logger: process.env.SDK_LOUD ? console : quiet,
});
const functions = [];

function seen(kind, name, attempt = 0) {
  fs.appendFileSync(process.env.SEEN, JSON.stringify({ kind, name, attempt, process: process.pid }) + "\n");
}

function make(id, options, handler) {
  const triggers = options.triggers || [{ event: `${APP}/${id}` }];
  const created = client.createFunction({ id, ...options, triggers }, handler);
  functions.push(created);
  return created;
}

const body = (name, value = null) => () => {
  seen("body", name);
  return value;
};

make("hello", {}, async ({ event }) => {
  seen("body", "hello");
  return { greeting: `hello ${event.data.name}` };
});

make("nothing", {}, async () => {});

make("steps", {}, async ({ step }) => {
  const add = (left, right) => {
    seen("body", "add");
    return left + right;
  };
  const a = await step.run("a", body("a", { nested: [1, 2.5, "three", null, true] }));
  const b = await step.run("add", add, 1, 2);
  const c = await step.run({ id: "none", name: "Nothing at all" }, body("none"));
  return [a, b, c];
});

make("repeats", {}, async ({ step }) => {
  const values = [];
  for (let n = 0; n < 3; n++) values.push(await step.run("same", body(`same ${n}`, n)));
  return values;
});

make("send", {}, async ({ step }) =>
  step.sendEvent("tell", [
    { name: `${APP}/told`, data: { n: 0 } },
    { name: `${APP}/told`, data: { n: 1 } },
  ]),
);

make("told", {}, async ({ event }) => event.data.n);

make("sleep", {}, async ({ step }) => {
  await step.run("before", body("before"));
  await step.sleep("nap", "1s");
  return step.run("after", body("after", "rested"));
});

make("sleep-until", {}, async ({ event, step }) => {
  await step.sleepUntil("nap", new Date(event.data.until * 1000));
  return "rested";
});

make("wait", {}, async ({ event, step }) => {
  const got = await step.waitForEvent("answer", {
    event: `${APP}/answer`,
    if: "event.data.order == async.data.order",
    timeout: event.data.timeout,
  });
  return got && { name: got.name, data: got.data, id: got.id, ts: got.ts };
});

make("wait-match", {}, async ({ step }) => {
  const got = await step.waitForEvent("answer", { event: `${APP}/answer`, match: "data.order", timeout: "1h" });
  return got && got.data;
});

make("signal", {}, async ({ event, step }) =>
  step.waitForSignal("approval", { signal: event.data.signal, timeout: event.data.timeout, onConflict: event.data.conflict || "fail" }),
);

make("send-signal", {}, async ({ event, step }) =>
  step.sendSignal("approve", { signal: event.data.signal, data: event.data.data }),
);

const double = make("double", {}, async ({ event }) => {
  seen("body", "double");
  return 2 * event.data.number;
});

make("invoke", {}, async ({ event, step }) =>
  step.invoke("doubled", { function: double, data: { number: event.data.number } }),
);

make("invoke-by-id", {}, async ({ event, step }) =>
  step.invoke("other", {
    function: referenceFunction({ appId: event.data.app, functionId: event.data.function }),
    data: event.data.data,
    timeout: event.data.timeout,
  }),
);

make("invoke-fails", {}, async ({ step }) => {
  try {
    await step.invoke("doomed", { function: referenceFunction({ functionId: "fails" }), data: {} });
  } catch (error) {
    return { caught: error.message };
  }
  return "not reached";
});

make("invoke-times-out", {}, async ({ step }) => {
  try {
    const slow = referenceFunction({ functionId: "wait" });
    await step.invoke("slow", { function: slow, data: { timeout: 3600000, order: 0 }, timeout: "1s" });
  } catch (error) {
    return { name: error.name, message: error.message };
  }
  return "not reached";
});

make("parallel", {}, async ({ step }) => {
  const group = await Promise.all([
    step.invoke("invoke", { function: double, data: { number: 4 } }),
    step.run("first", body("first", 1)),
    step.run("second", body("second", 2)),
    step.sendEvent("tell", { name: `${APP}/noted`, data: {} }),
  ]);
  const last = await step.run("last", body("last", "last"));
  return [...group.slice(0, 3), group[3].ids.length, last];
});

const sequence = async (step, name) => {
  const values = [];
  for (const n of [1, 2]) values.push(await step.run(`${name}${n}`, body(`${name}${n}`, `${name}${n}`)));
  return values;
};

make("parallel-wait", {}, async ({ step }) => Promise.all([sequence(step, "a"), sequence(step, "b")]));

make("parallel-race", {}, async ({ step, group }) =>
  group.parallel(async () => Promise.all([sequence(step, "a"), sequence(step, "b")])),
);

make("uneven", {}, async ({ step, group }) =>
  group.parallel(async () =>
    Promise.all([
      step.run("fast", body("fast", "fast")),
      step.run("slow", async () => {
        seen("body", "slow");
        await new Promise((resolve) => setTimeout(resolve, 300));
        return "slow";
      }),
    ]),
  ),
);

make("unoptimized", { optimizeParallelism: false }, async ({ step }) =>
  Promise.all([sequence(step, "a"), sequence(step, "b")]),
);

make("race", {}, async ({ step }) => {
  const won = await Promise.race([
    step.run("hare", body("hare", "hare")),
    step.waitForEvent("tortoise", { event: `${APP}/never`, timeout: "1s" }),
  ]);
  return { won, then: await step.run("then", body("then", "then")) };
});

const failing = (attempt, name, failures) => () => {
  seen("body", name, attempt);
  if (attempt < failures) throw new RangeError(`${name} fails in attempt ${attempt}`);
  return attempt;
};

make("flaky", { retries: 2 }, async ({ attempt, step }) => step.run("flaky", failing(attempt, "flaky", 1)));

make("caught", { retries: 1 }, async ({ attempt, step }) => {
  try {
    await step.run("broken", failing(attempt, "broken", 99));
  } catch (error) {
    const fallback = await step.run("fallback", body("fallback", "fallback"));
    return { name: error.name, message: error.message, isStepError: error instanceof StepError, then: fallback };
  }
  return "not reached";
});

make("uncaught", { retries: 1 }, async ({ attempt, step }) => step.run("broken", failing(attempt, "broken", 99)));

make("fails", { retries: 0 }, async () => {
  throw new RangeError("this function fails");
});

make("body-retries", { retries: 2 }, async ({ attempt, step }) => {
  await step.run("once", body("once"));
  seen("body", "tail", attempt);
  if (attempt === 0) throw new Error("the first attempt fails");
  return attempt;
});

make("no-retry", { retries: 3 }, async ({ attempt }) => {
  seen("body", "no-retry", attempt);
  throw new NonRetriableError("never again", { cause: new Error("the reason") });
});

make("no-retry-step", { retries: 3 }, async ({ attempt, step }) =>
  step.run("fatal", () => {
    seen("body", "no-retry-step", attempt);
    throw new NonRetriableError("never again");
  }),
);

make("no-retry-caught", { retries: 3 }, async ({ step }) => {
  try {
    await step.run("fatal", () => {
      seen("body", "no-retry-caught");
      throw new NonRetriableError("never again");
    });
  } catch (error) {
    return { caught: error.message };
  }
  return "not reached";
});

make("retry-after", { retries: 3 }, async ({ attempt }) => {
  seen("body", "retry-after", attempt);
  if (attempt === 0) throw new RetryAfterError("soon", "1s");
  return attempt;
});

make("retry-after-step", { retries: 3 }, async ({ attempt, step }) =>
  step.run("later", () => {
    seen("body", "retry-after-step", attempt);
    if (attempt === 0) throw new RetryAfterError("soon", 1000);
    return attempt;
  }),
);

make(
  "mourned",
  {
    retries: 0,
    onFailure: async ({ error, event, step }) => {
      await step.run("mourn", body("mourn"));
      seen("failure", `${event.data.function_id}: ${error.message}`);
      return { of: event.data.run_id, event: event.data.event.name };
    },
  },
  async () => {
    throw new RangeError("to be mourned");
  },
);

make("ctx", {}, async ({ attempt, event, events, maxAttempts, runId }) => ({
  attempt,
  max_attempts: maxAttempts,
  run_id: runId,
  event: { id: event.id, name: event.name, data: event.data, ts: event.ts },
  events: events.length,
}));

make(
  "cancelled",
  { cancelOn: [{ event: `${APP}/cancel`, if: "event.data.order == async.data.order", timeout: "1h" }] },
  async ({ step }) => {
    await step.run("begin", body("begin"));
    await step.sleep("long", "1h");
    return "not reached";
  },
);

make("cancelled-match", { cancelOn: [{ event: `${APP}/cancel`, match: "data.order" }] }, async ({ step }) => {
  await step.sleep("long", "1h");
  return "not reached";
});

make("batched", { batchEvents: { maxSize: 3, timeout: "60s", key: "event.data.shop" } }, async ({ events }) =>
  events.map((event) => event.data.n).sort(),
);

make("debounced", { debounce: { period: "1s", key: "event.data.key", timeout: "60s" } }, async ({ event }) => event.data.n);

make("rate-limited", { rateLimit: { limit: 1, period: "1h", key: "event.data.key" } }, async ({ event }) => event.data.n);

make("throttled", { throttle: { limit: 1, period: "1s", key: "event.data.key" } }, async ({ event }) => event.data.n);

make("idempotent", { idempotency: "event.data.key" }, async ({ event }) => event.data.n);

make("singleton-skip", { singleton: { mode: "skip", key: "event.data.key" } }, async ({ event, step }) => {
  await step.sleep("nap", "1s");
  return event.data.n;
});

make("singleton-cancel", { singleton: { mode: "cancel", key: "event.data.key" } }, async ({ event, step }) => {
  await step.sleep("nap", "1s");
  return event.data.n;
});

make("concurrent", { concurrency: [{ limit: 1, key: "event.data.key" }, { limit: 5 }] }, async ({ event, step }) =>
  step.run("alone", async () => {
    seen("enter", String(event.data.n));
    await new Promise((resolve) => setTimeout(resolve, 50));
    seen("leave", String(event.data.n));
    return event.data.n;
  }),
);

make("urgent", { priority: { run: "event.data.urgent ? 100 : 0" } }, async ({ event }) => event.data.urgent);

make("timed-out", { timeouts: { finish: "1s" } }, async ({ step }) => {
  await step.sleep("long", "1h");
  return "not reached";
});

make("start-timed-out", { timeouts: { start: "1s" }, throttle: { limit: 1, period: "60s" } }, async () => "started");

make(
  "nightly",
  { triggers: [{ cron: "TZ=Europe/Berlin 0 3 * * *" }, { event: `${APP}/nightly` }] },
  async ({ event }) => event.name,
);

make(
  "filtered",
  { triggers: [{ event: `${APP}/filtered`, if: "event.data.total > 100" }] },
  async ({ event }) => event.data.total,
);

make("any", { triggers: [{ event: `${APP}/kind/*` }] }, async ({ event }) => event.name);

make("big", {}, async ({ event, step }) => {
  const sizes = [];
  for (let n = 0; n < event.data.pieces; n++) {
    const piece = await step.run(`piece ${n}`, body(`piece ${n}`, "x".repeat(1500000)));
    sizes.push(piece.length);
  }
  return sizes;
});

make("infer", {}, async ({ event, step }) =>
  step.ai.infer("think", {
    model: step.ai.models.openai({ model: "a-model", apiKey: "a-key", baseUrl: event.data.url }),
    body: { messages: [{ role: "user", content: "hello" }] },
  }),
);

make("wrap", {}, async ({ step }) => step.ai.wrap("wrapped", async (text) => ({ echoed: text }), "hello"));

make("fetch", {}, async ({ event, step }) => {
  const response = await step.fetch(event.data.url, { method: "POST", body: JSON.stringify({ ping: 1 }), headers: { "x-a": "b" } });
  return { status: response.status, body: await response.json() };
});

make("experiment", {}, async ({ group, step }) => {
  const { result, variant } = await group.experiment("which", {
    variants: { one: () => step.run("one", body("one", 1)), two: () => step.run("two", body("two", 2)) },
    select: experiment.fixed("two"),
  });
  return { result, variant };
});

const afterwards = createDefer(client, { id: "afterwards" }, async ({ event }) => {
  seen("deferred", String(event.data.note));
  return event.data.note;
});
functions.push(afterwards);

make("defers", {}, async ({ defer, step }) => {
  await step.run("work", body("work"));
  defer("note", { function: afterwards, data: { note: "kept" } });
  const dropped = defer("dropped", { function: afterwards, data: { note: "dropped" } });
  dropped.abort();
  return step.run("more", body("more", "done"));
});

make("short-runtime", { checkpointing: checkpointing && { maxRuntime: "50ms" } }, async ({ step }) => {
  const values = [];
  for (let n = 0; n < 3; n++) {
    values.push(
      await step.run(`part ${n}`, async () => {
        seen("body", `part ${n}`);
        await new Promise((resolve) => setTimeout(resolve, 60));
        return n;
      }),
    );
  }
  return values;
});

make("buffered", { checkpointing: checkpointing && { bufferedSteps: 3 } }, async ({ step }) => {
  const values = [];
  for (let n = 0; n < 4; n++) values.push(await step.run(`part ${n}`, body(`part ${n}`, n)));
  return values;
});

make("outside", {}, async () => client.send({ name: `${APP}/noted`, data: {} }));

const progress = channel({
  name: (run) => `run:${run}`,
  topics: { progress: { schema: staticSchema() }, log: { schema: staticSchema() }, words: { schema: staticSchema() } },
});

make("publish", {}, async ({ event, step }) => {
  await step.realtime.publish("tell", progress(event.data.key).progress, { percent: 50 });
  return "told";
});

make("publishes", {}, async ({ event, step }) => {
  const { progress: percent, log, words } = progress(event.data.key);
  for (const n of [0, 1, 2]) await step.realtime.publish(`tell ${n}`, percent, { percent: n });
  await step.run("inside", async () => {
    await client.realtime.publish(log, "a line");
    await client.realtime.publish(words, new Blob(["one ", "two"]).stream());
    await client.realtime.publish(percent, { percent: 100 });
  });
  return "told";
});

const opened = async (key, n) => {
  const gate = path.join(process.env.SEEN_GATES, `${key}-${n}`);
  while (!fs.existsSync(gate)) await new Promise((resolve) => setTimeout(resolve, 10));
};

make("slow", {}, async ({ event, step }) => {
  const gated = async (n) => {
    seen("body", `slow ${n}`);
    await opened(event.data.key, n);
    seen("done", `slow ${n}`);
    return n;
  };
  return [await step.run("slow 0", gated, 0), await step.run("slow 1", gated, 1), await step.run("slow 2", gated, 2)];
});

make("crossed", { optimizeParallelism: false }, async ({ event, step }) =>
  Promise.all([
    step.run("fast", body("fast", "fast")),
    step.run("slow", async () => {
      seen("body", "slow");
      await opened(event.data.key, 0);
      return "slow";
    }),
  ]),
);

const wanted = (process.env.SDK_FUNCTIONS || "").split(" ").filter(Boolean);
const served = functions.filter((each) => wanted.length === 0 || wanted.includes(each.id()));
const handler = serve({ client, functions: served, streaming: process.env.SDK_STREAMING === "on" });
const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://localhost");
  if (request.method === "POST") seen("call", `${url.searchParams.get("fnId")} ${url.searchParams.get("stepId")}`);
  if (url.pathname === "/api/inngest") return handler(request, response);
  response.writeHead(404);
  return response.end();
});
server.listen(Number(process.argv[2]), "127.0.0.1");
