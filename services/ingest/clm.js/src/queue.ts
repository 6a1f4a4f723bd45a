// What is to be sent: every message is an entry of its own in the store until ingest has taken it.
//
// Entries of their own let tabs work side by side. A tab sends what it made; what a closed tab or
// an earlier page left is sent by the next one. Sending twice is harmless: the id is the same.

import * as store from "./store";
import type { Message } from "./types";

const MOST = 1000;
const ENTRY = "q.";

/** An entry: its name in the store (they sort by age) and the message as JSON. */
export interface Entry {
  name: string;
  body: string;
}

let count = 0;

/** Add a message; beyond a thousand the oldest one goes. */
export const add = (message: Message): Entry => {
  const entry = { name: name(message.messageId), body: JSON.stringify(message) };
  const waiting = store.names(ENTRY);
  if (waiting.length >= MOST) store.remove(waiting[0]!);
  store.set(entry.name, entry.body);
  return entry;
};

/** What was added at least so many milliseconds ago, by whichever page. */
export const left = (milliseconds: number): Entry[] => {
  const entries: Entry[] = [];
  for (const name of store.names(ENTRY)) {
    const age = Date.now() - parseInt(name.slice(ENTRY.length), 36);
    const body = age >= milliseconds && store.get(name);
    if (body) entries.push({ name, body });
  }
  return entries;
};

/** Whether an entry still waits: another tab may have sent it. */
export const waits = (entry: Entry): boolean => store.get(entry.name) != null;

/** Forget what ingest has taken, or will never take. */
export const done = (entries: Entry[]): void => entries.forEach((it) => store.remove(it.name));

const name = (messageId: string): string => {
  count = (count + 1) % 46656;
  const order = count.toString(36).padStart(3, "0");
  return `${ENTRY}${Date.now().toString(36)}.${order}.${messageId.slice(0, 8)}`;
};
