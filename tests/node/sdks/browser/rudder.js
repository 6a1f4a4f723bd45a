// @rudderstack/analytics-js with its plugins bundled: one request an event, or as `options` say.
import { RudderAnalytics } from "@rudderstack/analytics-js/bundled";

window.visit = ({ url, key, options }) =>
  new Promise((done) => {
    const analytics = new RudderAnalytics();
    analytics.load(key, url, { configUrl: url, logLevel: "ERROR", ...options });
    analytics.ready(() => {
      analytics.identify("web-1", { email: "ada@example.com" });
      for (let n = 0; n < 20; n++) analytics.track("Product Viewed", { n });
      analytics.page("Home");
      analytics.group("g-1", { name: "G" });
      analytics.alias("web-2", "old-1");
      done([]);
    });
  });
