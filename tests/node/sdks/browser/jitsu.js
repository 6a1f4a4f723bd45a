// @jitsu/js in a browser.
import { jitsuAnalytics } from "@jitsu/js";

window.visit = async ({ url, key }) => {
  const failures = [];
  const jitsu = jitsuAnalytics({ host: url, writeKey: `${key}:any` }); // it wants key:secret
  const note = (error) => failures.push(String(error));
  await jitsu.identify("web-1", { email: "ada@example.com" }).catch(note);
  const calls = [];
  for (let n = 0; n < 20; n++) calls.push(jitsu.track("Product Viewed", { n }).catch(note));
  calls.push(jitsu.page({ name: "Home" }).catch(note), jitsu.group("g-1", { name: "G" }).catch(note));
  await Promise.all(calls);
  return failures;
};
