// posthog-node: node posthog.js URL KEY.
import { PostHog } from "posthog-node";

const [host, key] = process.argv.slice(2);
const failures = [];
const client = new PostHog(key, { host, flushAt: 5 });
client.on("error", (error) => failures.push(String(error)));
const distinctId = "node-1";
client.identify({ distinctId, properties: { email: "ada@example.com" } });
for (let n = 0; n < 20; n++) client.capture({ distinctId, event: "Product Viewed", properties: { n } });
client.capture({ distinctId, event: "$pageview", properties: { $current_url: "https://shop.example/" } });
client.capture({ distinctId, event: "$screen", properties: { $screen_name: "Start" } });
client.groupIdentify({ groupType: "company", groupKey: "g-1", properties: { name: "G" }, distinctId });
client.alias({ distinctId, alias: "old-1" });
await client.shutdown();
console.log(JSON.stringify(failures));
