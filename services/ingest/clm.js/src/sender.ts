// Sends what is in the queue, in order, one request at a time, until ingest has taken it.
//
// Every request outlives its page (`keepalive`) as long as it fits: browsers allow 64 KiB of such
// bodies on their way at a time, over all of a page's requests. What does not fit when the page goes
// stays in the store for the next one.

import * as queue from "./queue";
import type { Entry } from "./queue";
import { now } from "./types";

const MOST = 64 * 1024;
const BUDGET = 62_000;
const LONGEST = 60_000;
const SOON = 50;
const LEFT = 10_000;

/** Which answers mean that the same body will never be taken. */
const NEVER = new Set([400, 401, 403, 413]);
const TOO_LARGE = 413;

export class Sender {
  private pending: Entry[] = [];
  private flying = 0;
  private busy = false;
  private failures = 0;
  private most = Infinity; // entries that ingest takes at once, as far as it has told
  private timer = 0;
  private readonly beacon: string;

  constructor(
    private readonly host: string,
    private readonly writeKey: string,
  ) {
    this.beacon = `${host}/beacon/v1/batch?writeKey=${encodeURIComponent(writeKey)}`;
    setInterval(() => this.resume(), LEFT);
    addEventListener("online", () => this.retry());
    addEventListener("pagehide", () => this.leave());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState == "hidden") this.leave();
      else this.retry();
    });
  }

  /** Send an entry, soon. */
  send(entry: Entry): void {
    this.pending.push(entry);
    if (document.visibilityState == "hidden") this.leave();
    else this.schedule(SOON);
  }

  /** Send what other pages left, unless it may still be on its way from there. */
  resume(): void {
    const mine = new Set(this.pending.map((it) => it.name));
    const others = queue.left(LEFT).filter((it) => !mine.has(it.name));
    this.pending.unshift(...others);
    if (others.length) this.schedule(0);
  }

  /** Try now what failed before. */
  retry(): void {
    this.failures = 0;
    this.resume();
    this.schedule(0);
  }

  /** The page may be gone in a moment: hand over to the browser what still fits. */
  leave(): void {
    clearTimeout(this.timer);
    this.timer = 0;
    for (;;) {
      const batch = this.take(BUDGET - this.flying);
      if (!batch.length) return;
      if ("keepalive" in Request.prototype) void this.fly(batch).then((it) => it && this.schedule(it));
      else navigator.sendBeacon(this.beacon, this.body(batch)); // nobody tells whether it arrives
    }
  }

  private schedule(delay: number): void {
    if (this.busy || (this.timer && delay)) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = 0;
      void this.flush();
    }, delay);
  }

  private async flush(): Promise<void> {
    if (this.busy) return;
    const batch = this.take(LONGEST);
    if (!batch.length) return;
    this.busy = true;
    const wait = await this.fly(batch);
    this.busy = false;
    this.failures = wait ? this.failures + 1 : 0;
    if (this.pending.length) this.schedule(wait);
  }

  /** Post a batch, outliving the page if that fits; what failed waits again. */
  private async fly(batch: Entry[]): Promise<number> {
    const body = this.body(batch);
    const size = length(body);
    const keepalive = this.flying + size <= MOST;
    if (keepalive) this.flying += size;
    const wait = await this.post(batch, body, keepalive);
    if (keepalive) this.flying -= size;
    if (wait) this.pending.unshift(...batch);
    return wait;
  }

  /** Take the oldest entries that fit into so many bytes; an entry too large for any is alone. */
  private take(bytes: number): Entry[] {
    const batch: Entry[] = [];
    let size = 200;
    while (this.pending.length) {
      const entry = this.pending[0]!;
      size += length(entry.body) + 1;
      if (batch.length >= this.most) break;
      if (size > bytes && (batch.length || bytes < LONGEST)) break;
      this.pending.shift();
      if (queue.waits(entry)) batch.push(entry);
    }
    return batch;
  }

  /** Post a batch, and give the milliseconds after which to try again: 0 when it is settled. */
  private async post(batch: Entry[], body: string, keepalive: boolean): Promise<number> {
    try {
      const answer = await fetch(`${this.host}/v1/batch`, {
        method: "POST",
        body, // as text/plain: with no header of our own a browser asks for no permission first
        keepalive,
        credentials: "omit",
      });
      if (answer.status == TOO_LARGE && batch.length > 1) {
        this.most = batch.length >> 1; // the source's policy is narrower than ingest's own
        return 1;
      }
      if (answer.ok || NEVER.has(answer.status)) {
        queue.done(batch);
        if (!answer.ok) console.warn(`clm.js: ${answer.status}`, await answer.text());
        return 0;
      }
      const asked = +(answer.headers.get("Retry-After") ?? 0);
      return Math.max(asked * 1000, 1) + this.pause();
    } catch {
      return this.pause(); // no network, or no answer
    }
  }

  /** Milliseconds, doubling up to a minute, with jitter. */
  private pause(): number {
    return Math.min(500 * 2 ** this.failures, 60_000) * (0.5 + Math.random());
  }

  private body(batch: Entry[]): string {
    const events = batch.map((it) => it.body).join();
    return `{"batch":[${events}],"sentAt":"${now()}","writeKey":${JSON.stringify(this.writeKey)}}`;
  }
}

/** How many bytes a text is as UTF-8. */
const length = (text: string): number => new TextEncoder().encode(text).length;
