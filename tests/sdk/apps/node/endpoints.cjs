// Durable endpoints in the official TypeScript SDK: `node endpoints.cjs PORT`. What its users write, nothing adapted.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { Inngest, NonRetriableError, step } = require("inngest");
const { endpointAdapter, serveEndpoint } = require("inngest/node");

const quiet = { info() {}, warn() {}, error() {}, debug() {} };
const options = JSON.parse(process.env.SDK_ENDPOINT || "null");
const client = new Inngest({
  id: "endpoints",
  isDev: !process.env.INNGEST_SIGNING_KEY,
  logger: process.env.SDK_LOUD ? console : quiet,
  endpointAdapter: options ? endpointAdapter.withOptions(options) : endpointAdapter,
});

function seen(kind, name, attempt = 0) {
  fs.appendFileSync(process.env.SEEN, JSON.stringify({ kind, name, attempt, process: process.pid }) + "\n");
}

const body = (name, value = null) => () => {
  seen("body", name);
  return value;
};

const opened = async (gate) => {
  while (!fs.existsSync(path.join(process.env.SEEN_GATES, gate))) await new Promise((resolve) => setTimeout(resolve, 10));
};

const said = (request, name) => new URL(request.url).searchParams.get(name);

const endpoints = {
  "/hello": async (request) => {
    const one = await step.run("one", body("one", { a: [1, null, "ü"] }));
    const two = await step.run("two", body("two", 2));
    return Response.json({ one, two, who: said(request, "who") }, { status: 201, headers: { "X-Cart": "7" } });
  },

  "/value": async () => ({ value: await step.run("value", body("value", 7)) }),

  "/no-steps": async () => Response.json("at once"),

  "/nap": async (request) => {
    const before = await step.run("before", body("before", 1));
    await step.sleep("nap", "1s");
    return Response.json({ before, after: await step.run("after", body("after", 2)), who: said(request, "who") });
  },

  "/wait": async () => {
    const answer = await step.waitForEvent("answer", { event: "endpoints/answer", timeout: "1h" });
    return Response.json(answer.data);
  },

  "/flaky": async () => {
    const first = await step.run("first", body("first", 1));
    const flaky = await step.run("flaky", () => {
      seen("body", "flaky");
      if (!fs.existsSync(path.join(process.env.SEEN_GATES, "flaky"))) {
        fs.writeFileSync(path.join(process.env.SEEN_GATES, "flaky"), "");
        throw new Error("not yet");
      }
      return "well";
    });
    return Response.json({ first, flaky });
  },

  "/caught": async () => {
    try {
      await step.run("fatal", () => {
        throw new NonRetriableError("never again");
      });
    } catch (error) {
      return Response.json({ caught: error.message });
    }
  },

  "/fails": async () => {
    await step.run("first", body("first"));
    throw new NonRetriableError("this cannot be done");
  },

  "/together": async () =>
    Response.json(await Promise.all([step.run("left", body("left", "l")), step.run("right", body("right", "r"))])),

  "/slow": async () => {
    const before = await step.run("before slow", body("before slow", 1));
    const slow = await step.run("slow", async () => {
      seen("body", "slow");
      await opened("slow");
      return 2;
    });
    return Response.json([before, slow]);
  },
};

const handlers = Object.fromEntries(
  Object.entries(endpoints).map(([place, handler]) => [place, serveEndpoint(client.endpoint(handler))]),
);
handlers["/poll"] = client.endpointProxy();

http
  .createServer((request, response) => {
    const place = request.url.split("?")[0];
    if (handlers[place]) return handlers[place](request, response);
    response.writeHead(200);
    response.end("{}");
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
