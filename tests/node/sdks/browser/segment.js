// @segment/analytics-next: one request an event, or batches with `batching` in the address.
import { AnalyticsBrowser } from "@segment/analytics-next";

window.visit = async ({ url, key, batching }) => {
  const failures = [];
  const [protocol, host] = url.split("://");
  const settings = { apiHost: `${host}/v1`, protocol };
  if (batching) settings.deliveryStrategy = { strategy: "batching", config: { size: 5, timeout: 300 } };
  const analytics = AnalyticsBrowser.load(
    { writeKey: key, cdnURL: url },
    { integrations: { "Segment.io": settings } },
  );
  const [instance] = await analytics;
  instance.on("error", (error) => failures.push(String(error.reason ?? error)));
  await analytics.identify("web-1", { email: "ada@example.com" });
  const calls = [];
  for (let n = 0; n < 20; n++) calls.push(analytics.track("Product Viewed", { n }));
  calls.push(analytics.page("Home"), analytics.screen("Start"), analytics.group("g-1", { name: "G" }));
  calls.push(analytics.alias("web-2", "old-1"));
  await Promise.all(calls);
  return failures;
};
