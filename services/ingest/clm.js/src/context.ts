// Where a call is made: the page, the campaign and click that led here, the browser.

import * as store from "./store";
import { now } from "./types";
import type { Json } from "./types";

const CLICKS =
  "gclid gbraid wbraid dclid gad_source fbclid msclkid ttclid twclid li_fat_id igshid ScCid epik rdt_cid yclid mc_eid irclickid".split(
    " ",
  );
const SESSION = 30 * 60 * 1000;

interface Touch {
  campaign: Json;
  clickIds: Json;
  referrer: string;
  url: string;
  at: string;
}

interface Session extends Touch {
  seen: number;
}

const own = (): string => location.origin + location.pathname + location.search;

/** Describe the page as Segment's spec does. */
export const page = (): Json => {
  const link = document.querySelector<HTMLLinkElement>('link[rel="canonical"]');
  const canonical = link?.href;
  return {
    path: canonical ? new URL(canonical, location.href).pathname : location.pathname,
    referrer: document.referrer,
    search: location.search,
    title: document.title,
    url: canonical ? canonical + (canonical.includes("?") ? "" : location.search) : own(),
  };
};

/** Read what led here from the address and the referrer. */
const arrival = (): Touch => {
  const query = new URLSearchParams(location.search);
  const campaign: Json = {};
  const clickIds: Json = {};
  query.forEach((value, name) => {
    const part = /^utm_(\w+)$/.exec(name)?.[1];
    if (part) campaign[part == "campaign" ? "name" : part] = value;
    if (CLICKS.includes(name)) clickIds[name] = value;
  });
  const other = document.referrer && new URL(document.referrer).host != location.host;
  const referrer = other ? document.referrer : "";
  return { campaign, clickIds, referrer, url: own(), at: now() };
};

const empty = (touch: Touch): boolean =>
  !touch.referrer && !Object.keys({ ...touch.campaign, ...touch.clickIds }).length;

/** What led to this visit; a new campaign, or half an hour's silence, begins another one. */
const session = (): Session => {
  const seen = Date.now();
  const present = arrival();
  const before = store.json<Session>("session");
  const goes_on = before && seen - before.seen < SESSION;
  const kept = goes_on && (empty(present) || before.url == present.url) ? before : present;
  const found = { ...kept, seen };
  store.set("session", JSON.stringify(found));
  if (!store.get("first")) store.set("first", JSON.stringify(present));
  return found;
};

/** The context of a call. */
export const context = (): Json => {
  const { campaign, clickIds, referrer } = session();
  const { width, height } = screen;
  return {
    library: { name: "clm.js", version: VERSION },
    page: page(),
    campaign,
    clickIds,
    ...(referrer && { referrer: { url: referrer } }),
    firstTouch: store.json<Touch>("first"),
    userAgent: navigator.userAgent,
    locale: navigator.language,
    timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    screen: { width, height, density: devicePixelRatio, innerWidth, innerHeight },
  };
};

declare const VERSION: string;
