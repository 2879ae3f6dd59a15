// Every call of toxiproxy-node-client, each with what it gave. Arguments: the server's address, an edge's, an upstream's.
import { createRequire } from "node:module";
const require = createRequire(process.cwd() + "/");
const { Toxiproxy } = require("toxiproxy-node-client");

const [, , server, listen, upstream] = process.argv;
const toxiproxy = new Toxiproxy(server);
const said = [];

async function step(name, act) {
  try {
    const result = await act();
    said.push([name, result?.toJson ? result.toJson() : result ?? null]);
    return result;
  } catch (error) {
    said.push([name, `${error.name}: ${error.message}`]);
  }
}

const values = { name: "slow", type: "latency", stream: "downstream", toxicity: 0.5, attributes: { latency: 5, jitter: 1 } };
const proxy = await step("create", () => toxiproxy.createProxy({ name: "p", listen, upstream }));
await step("create again", () => toxiproxy.createProxy({ name: "p", listen, upstream }));
await step("get", () => toxiproxy.get("p"));
await step("get none", () => toxiproxy.get("none"));
await step("disable", () => proxy.update({ enabled: false, listen, upstream }));
await step("enable", () => proxy.update({ enabled: true, listen, upstream }));
const toxic = await step("add", () => proxy.addToxic(values));
await step("add again", () => proxy.addToxic(values));
await step("add nonsense", () => proxy.addToxic({ ...values, name: "x", type: "nonsense" }));
await step("update toxic", () => toxic.update({ ...values, toxicity: 1, attributes: { latency: 9, jitter: 0 } }));
await step("get toxic", () => proxy.getToxic("slow"));
await step("all", async () => Object.values(await toxiproxy.getAll()).map((each) => each.toJson()));
await step("remove toxic", () => toxic.remove());
await step("remove it again", () => toxic.remove());
await step("populate", async () =>
  Object.values(await toxiproxy.populate([{ name: "p", listen, upstream }])).map((each) => each.toJson()));
await step("reset", () => toxiproxy.reset());
await step("remove", () => proxy.remove());
await step("remove again", () => proxy.remove());
await step("version", () => toxiproxy.getVersion());
console.log(JSON.stringify(said));
