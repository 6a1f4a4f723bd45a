// Starts the script where it is loaded, and does what the page asked for meanwhile.
//
// Our own tag says how in attributes: <script async src="…/clm.js" data-write-key="wk_…"></script>.
// Segment's snippet works as well: it asks for …/analytics.js/v1/{writeKey}/analytics.min.js.

import { capture } from "./capture";
import { Client } from "./client";
import { watch } from "./pages";
import type { Options } from "./types";

type Call = [name: string, ...rest: unknown[]];
type Stub = Call[] & { _writeKey?: string };

declare global {
  interface Window {
    clm?: unknown;
    analytics?: unknown;
  }
}

const METHODS = "track page identify group alias reset consent ready flush user".split(" ");
const UNKNOWN =
  "trackSubmit trackClick trackLink trackForm pageview screen debug once off on load setAnonymousId register addSourceMiddleware addIntegrationMiddleware addDestinationMiddleware".split(
    " ",
  );
const SEGMENT = /\/analytics\.js\/v1\/([^/]+)\/.*$/;

const tag = document.currentScript as HTMLScriptElement | null;

const start = (): void => {
  const source = tag?.src ?? location.href;
  const segment = SEGMENT.exec(source);
  const name = segment ? "analytics" : "clm";
  const stub = (window[name] ?? []) as Stub;
  if (!Array.isArray(stub)) return; // it runs already
  const wished = options(tag?.dataset ?? {}, source, segment, stub._writeKey);
  if (!wished.writeKey) return console.error("clm.js: data-write-key is missing");
  const client = new Client(wished) as Client & Record<string, (...rest: unknown[]) => unknown>;
  const call = ([method, ...rest]: Call): unknown => {
    try {
      return client[method]!(...rest);
    } catch (error) {
      return console.error(`clm.js: ${method}`, error); // never the page's trouble
    }
  };
  const api: Record<string, unknown> = { push: call };
  for (const method of METHODS) api[method] = (...rest: unknown[]) => call([method, ...rest]);
  for (const method of UNKNOWN) api[method] = () => console.warn(`clm.js: there is no ${method}`);
  window[name] = api;
  const { pages } = client.options;
  if (pages) client.page();
  stub.forEach(call);
  if (pages) watch(() => client.page());
  capture(client.options.capture, (event, properties) => client.track(event, properties));
};

/** Read the options off the tag; the host is where the script came from. */
const options = (
  data: DOMStringMap,
  source: string,
  segment: RegExpExecArray | null,
  known: string | undefined,
): Options => ({
  writeKey: data["writeKey"] ?? segment?.[1] ?? known ?? "",
  host: data["host"] ?? (segment ? source.replace(SEGMENT, "") : source.replace(/\/[^/]*$/, "")),
  pages: (data["pages"] ?? (segment ? "off" : "on")) != "off",
  consent: data["consent"] == "required" ? "required" : "granted",
  gpc: data["gpc"] != "ignore",
  capture: (data["capture"] ?? "").split(/[\s,]+/),
});

// A browser may load a page that nobody has asked for yet, and perhaps never will.
if ((document as { prerendering?: boolean }).prerendering)
  document.addEventListener("prerenderingchange", start, { once: true });
else start();
