// posthog-js as it is set up by default, which sends the page view by itself.
import posthog from "posthog-js";

window.visit = ({ url, key }) =>
  new Promise((done) => {
    posthog.init(key, {
      api_host: url,
      opt_out_useragent_filter: true, // a Chromium that is steered looks like a bot to it
      loaded: () => {
        posthog.identify("web-1", { email: "ada@example.com" });
        for (let n = 0; n < 20; n++) posthog.capture("Product Viewed", { n });
        posthog.capture("$screen", { $screen_name: "Start" });
        posthog.group("company", "g-1", { name: "G" });
        posthog.alias("old-1", "web-1");
        done([]);
      },
    });
  });
