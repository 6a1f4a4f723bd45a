// @rudderstack/rudder-sdk-node: node rudder.js URL KEY.
import RudderAnalytics from "@rudderstack/rudder-sdk-node";

const [dataPlaneUrl, writeKey] = process.argv.slice(2);
const failures = [];
const client = new RudderAnalytics(writeKey, { dataPlaneUrl, flushAt: 5 });
const userId = "node-1";
const sent = [];
const send = (name, message) =>
  sent.push(new Promise((done) => client[name](message, (error) => done(error && failures.push(String(error))))));
send("identify", { userId, anonymousId: "a-1", traits: { email: "ada@example.com" } });
for (let n = 0; n < 20; n++) send("track", { userId, event: "Product Viewed", properties: { n } });
send("page", { userId, name: "Home" });
send("screen", { userId, name: "Start" });
send("group", { userId, groupId: "g-1", traits: { name: "G" } });
send("alias", { userId, previousId: "old-1" });
await client.flush();
await Promise.all(sent);
console.log(JSON.stringify(failures));
process.exit(0);
