// Listens with the official TypeScript SDK: `node listener.cjs HOW CHANNEL TOPIC…`. What it hears goes out as lines of JSON.
"use strict";

const { Inngest } = require("inngest");
const { getSubscriptionToken, subscribe } = require("inngest/realtime");

const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const heard = ({ kind, channel, topic, data, runId }) => tell({ kind, channel, topic, data, runId });
const [how, channel, ...topics] = process.argv.slice(2);
const client = new Inngest({ id: "listener", isDev: !process.env.INNGEST_SIGNING_KEY });

const listening = {
  // A server makes the token, and the page that gets it knows no key.
  token: async () => subscribe(await getSubscriptionToken(client, { channel, topics }), heard),
  callback: () => client.realtime.subscribe({ channel, topics, onMessage: heard }),
  stream: async () => {
    const stream = await client.realtime.subscribe({ channel, topics });
    (async () => {
      for await (const message of stream) heard(message);
      tell({ kind: "ended" });
    })();
  },
};

listening[how]().then(
  () => tell({ kind: "open" }),
  (error) => tell({ kind: "refused", data: String(error && error.message) }),
);
