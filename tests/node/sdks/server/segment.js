// @segment/analytics-node: node segment.js URL KEY.
import { Analytics } from "@segment/analytics-node";

const [host, writeKey] = process.argv.slice(2);
const failures = [];
const analytics = new Analytics({ writeKey, host, flushAt: 3 });
analytics.on("error", (error) => failures.push(String(error.reason ?? error)));
const userId = "node-1";
analytics.identify({ userId, anonymousId: "a-1", traits: { email: "ada@example.com" } });
for (let n = 0; n < 20; n++) analytics.track({ userId, event: "Product Viewed", properties: { n } });
analytics.page({ userId, name: "Home" });
analytics.screen({ userId, name: "Start" });
analytics.group({ userId, groupId: "g-1", traits: { name: "G" } });
analytics.alias({ userId, previousId: "old-1" });
await analytics.closeAndFlush();
console.log(JSON.stringify(failures));
