// What the parts of the script tell each other.

export type Json = Record<string, unknown>;
export type Kind = "track" | "page" | "identify" | "group" | "alias";

/** One call of the tracking API; its id is fixed here, so that a repeat counts once. */
export interface Message extends Json {
  type: Kind;
  messageId: string;
}

/** How the script behaves; see docs/reference/clm-js.md. */
export interface Options {
  /** The source's write key. */
  writeKey: string;
  /** Where ingest is, with any prefix: `https://t.example.com/x`. */
  host: string;
  /** Send a page view at the start and whenever the address changes. */
  pages: boolean;
  /** "required": store and send nothing before `consent(true)`. */
  consent: "granted" | "required";
  /** Treat a browser's Global Privacy Control as a refusal. */
  gpc: boolean;
  /** What is captured by itself: clicks, scroll, forms. */
  capture: string[];
}

/** Milliseconds of the day a call was made, as ISO 8601 in UTC. */
export const now = (): string => new Date().toISOString();

/** A random UUID, also where `crypto.randomUUID` is missing: on plain http. */
export const uuid = (): string =>
  crypto.randomUUID?.() ??
  "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (it) =>
    (+it ^ (crypto.getRandomValues(new Uint8Array(1))[0]! & (15 >> (+it / 4)))).toString(16),
  );
