// The calls a page makes; names and arguments are those of Segment's analytics.js.

import { context, page as pageOf } from "./context";
import * as queue from "./queue";
import { Sender } from "./sender";
import * as store from "./store";
import { now, uuid } from "./types";
import type { Json, Kind, Message, Options } from "./types";

type Callback = () => void;

const WAITING_MOST = 1000;

export class Client {
  private sender: Sender | undefined;
  private waiting: Message[] = [];
  private refused = false;

  constructor(readonly options: Options) {
    const choice = this.choice();
    if (choice) this.begin();
    else this.refused = choice === false;
  }

  /** Record that something happened. */
  track(event: string, ...rest: unknown[]): void {
    const [properties, options, callback] = sort(rest);
    this.call("track", { event, properties }, options, callback);
  }

  /** Record that a page was seen: `page()`, `page(name)`, `page(category, name)`, each with more. */
  page(...rest: unknown[]): void {
    const [properties, options, callback, [first, second]] = sort(rest, 2);
    const name = second ?? first;
    const category = second && first;
    const facts = { ...pageOf(), ...(category && { category }), ...(name && { name }), ...properties };
    this.call("page", { ...(category && { category }), ...(name && { name }), properties: facts }, options, callback);
  }

  /** Say who this is: `identify(userId, traits)` or, of somebody unknown, `identify(traits)`. */
  identify(...rest: unknown[]): void {
    const [given, options, callback, [id]] = sort(rest, 1);
    const before = store.get("user");
    if (id && before && before != id) this.reset();
    if (id) store.set("user", id);
    const traits = { ...store.json<Json>("traits"), ...given };
    store.set("traits", JSON.stringify(traits));
    this.call("identify", { traits }, options, callback);
  }

  /** Say which account, company or household this person belongs to. */
  group(groupId: string, ...rest: unknown[]): void {
    const [traits, options, callback] = sort(rest);
    this.call("group", { groupId: String(groupId), traits }, options, callback);
  }

  /** Say that two ids are one person: `alias(to, from)`; left out, `from` is the present id. */
  alias(userId: string, ...rest: unknown[]): void {
    const [options, , callback, [from]] = sort(rest, 1);
    const previousId = from ?? store.get("user") ?? this.anonymousId();
    this.call("alias", { userId: String(userId), previousId }, options, callback);
  }

  /** Forget who this is: the next call is of somebody new. */
  reset(): void {
    ["user", "traits", "session", "anonymous"].forEach(store.remove);
  }

  /** Say whether this person agrees; a refusal forgets everything and sends nothing. */
  consent(agreed: boolean): void {
    if (!agreed) {
      this.refused = true;
      this.waiting = [];
      store.forget();
      keepChoice("0");
    } else {
      this.refused = false;
      keepChoice("1");
      this.begin();
    }
  }

  /** Call back once the script works: at once. */
  ready(callback: Callback): void {
    callback();
  }

  /** Hand over to the browser what waits; call it before leaving the page by other means. */
  flush(): void {
    this.sender?.leave();
  }

  /** Who this is, as far as is known. */
  user(): { id: () => string | null; anonymousId: () => string; traits: () => Json } {
    return {
      id: () => store.get("user"),
      anonymousId: () => this.anonymousId(),
      traits: () => store.json<Json>("traits") ?? {},
    };
  }

  private anonymousId(): string {
    const known = store.get("anonymous");
    if (known) return known;
    const made = uuid();
    store.set("anonymous", made);
    return made;
  }

  /** True: may store and send. False: must not. Undefined: has to be asked. */
  private choice(): boolean | undefined {
    const chosen = keptChoice();
    if (chosen) return chosen == "1";
    const { gpc, consent } = this.options;
    if (gpc && (navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl) return false;
    return consent == "required" ? undefined : true;
  }

  private begin(): void {
    store.persist();
    if (this.sender) return;
    this.sender = new Sender(this.options.host, this.options.writeKey);
    this.sender.resume();
    const waiting = this.waiting;
    this.waiting = [];
    waiting.forEach((it) => this.keep(it));
  }

  private call(type: Kind, facts: Json, options: Json | undefined, callback?: Callback): void {
    if (this.refused) return callback?.();
    const { anonymousId, userId, timestamp, messageId, integrations, context: more, ...rest } = options ?? {};
    this.keep({
      type,
      messageId: String(messageId ?? uuid()),
      timestamp: timestamp ?? now(),
      anonymousId: anonymousId ?? this.anonymousId(),
      userId: userId ?? store.get("user"),
      ...facts,
      context: { ...context(), ...rest, ...(more as Json) },
      ...(integrations ? { integrations } : {}),
    });
    if (callback) {
      this.flush(); // who waits for it is about to leave the page
      setTimeout(callback);
    }
  }

  private keep(message: Message): void {
    if (this.sender) this.sender.send(queue.add(message));
    else if (this.waiting.length < WAITING_MOST) this.waiting.push(message);
  }
}

/** Part arguments of which most may be left out: up to so many texts, facts, options, a callback. */
const sort = (
  rest: unknown[],
  most = 0,
): [Json, Json | undefined, Callback | undefined, (string | undefined)[]] => {
  const callback = rest.find((it) => typeof it == "function") as Callback | undefined;
  const given = rest.filter((it) => typeof it != "function" && !(it as Json | null)?.["__t"]);
  const texts: (string | undefined)[] = [];
  while (texts.length < most && given.length && typeof given[0] != "object")
    texts.push(text(given.shift()));
  if (most && given[0] === null) given.shift(); // identify(null, traits)
  const [facts, options] = given as (Json | undefined)[];
  return [facts ?? {}, options, callback, texts];
};

const text = (value: unknown): string | undefined => (value ? String(value) : undefined);

/** The choice itself is kept outside of the store, which a refusal empties. */
const keptChoice = (): string | null => {
  try {
    return localStorage.getItem("clm-consent");
  } catch {
    return null;
  }
};

const keepChoice = (choice: string): void => {
  try {
    localStorage.setItem("clm-consent", choice);
  } catch {
    // it is asked again on the next page
  }
};
