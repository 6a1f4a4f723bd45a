// @jitsu/js on a server: node jitsu.js URL KEY.
import { jitsuAnalytics } from "@jitsu/js";

const [host, writeKey] = process.argv.slice(2);
const failures = [];
const jitsu = jitsuAnalytics({ host, writeKey: `${writeKey}:any`, s2s: true }); // it wants key:secret
const note = (error) => failures.push(String(error));
await jitsu.identify("node-1", { email: "ada@example.com" }).catch(note);
for (let n = 0; n < 20; n++) await jitsu.track("Product Viewed", { n }).catch(note);
await jitsu.page({ name: "Home" }).catch(note);
await jitsu.group("g-1", { name: "G" }).catch(note);
console.log(JSON.stringify(failures));
process.exit(0);
