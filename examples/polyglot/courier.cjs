// The courier: functions of the official TypeScript SDK on node. `node courier.cjs PORT` serves it.
// Nothing in it knows flowgen.
"use strict";

const { Inngest, referenceFunction } = require("inngest");
const { createServer } = require("inngest/node");

const client = new Inngest({ id: "courier", isDev: true });

const rate = client.createFunction(
  { id: "rate", triggers: [{ event: "courier/rate" }] },
  async ({ event, step }) => step.run("look up", () => (event.data.grams > 1000 ? 9 : 4)),
);

const deliver = client.createFunction(
  { id: "deliver", triggers: [{ event: "parcel/packed" }] },
  async ({ event, step }) => {
    const { order, city, grams } = event.data;
    const weight = await step.invoke("weigh", {
      function: referenceFunction({ appId: "warehouse", functionId: "weigh" }),
      data: { grams },
    });
    const insured = await step.invoke("insure", {
      function: referenceFunction({ appId: "shop", functionId: "insure" }),
      data: { items: event.data.items },
    });
    await step.run("label", () => `${order} to ${city}, ${weight} g`);
    await step.sleep("drive", "2s");
    await step.sendEvent("tell", { name: "parcel/delivered", data: { order, insured } });
    return `${order} is in ${city}`;
  },
);

createServer({ client, functions: [rate, deliver] }).listen(Number(process.argv[2]), "127.0.0.1");
