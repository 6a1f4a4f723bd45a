// Prints where every customer stands, each time it changes, from `clm.stage-changes`.
//
//     npm install @platformatic/kafka
//     node subscriber.mjs localhost:9092 [TOPIC ...]
//
// Further topics are copies that `clm journey republish` made. It begins at the oldest record that
// the topics hold and keeps everything in memory: a service of yours keeps it in its database.

import { randomUUID } from "node:crypto";
import { Consumer, FetchIsolationLevels, MessagesStreamModes } from "@platformatic/kafka";

const CHANGED = new Set(["clm.stage-change.v1", "clm.journey.stage-changed.v1"]); // the latter in copies
const ERASED = new Set(["clm.person-erased.v1", "clm.journey.erased.v1"]);
const [brokers, ...copies] = process.argv.slice(2);

const newest = new Map(); // change id → the message with the highest version
const idsOf = new Map(); // profile and lifecycle → the ids of its changes
const erased = new Map(); // profile → the version up to which it is to be forgotten
const told = new Map(); // profile and lifecycle → the stage that was printed

/** The order of the contract: by time; at one instant the first appearance, deadlines, touchpoints. */
function compare(a, b) {
  const place = (it) => [it.at, it.source ? 1 : 0, it.cause ? 1 : 0, it.cause ?? ""];
  const [left, right] = [place(a), place(b)];
  const differs = left.findIndex((it, index) => it !== right[index]);
  return differs < 0 ? 0 : left[differs] < right[differs] ? -1 : 1;
}

/** Keep a message unless it is to be forgotten or something newer is known; tell whether it was kept. */
function keep(change) {
  if (change.version <= (erased.get(change.profile_id) ?? -1)) return false;
  const known = newest.get(change.id);
  if (known && known.version >= change.version) return false;
  newest.set(change.id, change);
  return true;
}

/** The stage of a profile in a lifecycle by all that stands; null where everything was taken back. */
function stageOf(ids) {
  const standing = [...ids].map((id) => newest.get(id)).filter((it) => !it.retracted);
  return standing.sort(compare).at(-1)?.target ?? null;
}

function handle(change) {
  if (!keep(change)) return;
  const who = `${change.profile_id} ${change.lifecycle}`;
  const ids = idsOf.get(who) ?? new Set();
  idsOf.set(who, ids.add(change.id));
  const { profile_id, lifecycle, user_id = null, historical = false } = change;
  tell(who, { profile_id, lifecycle, stage: stageOf(ids), user_id, historical });
}

/** Print where somebody stands, if that is news. */
function tell(who, line) {
  if (line.stage === (told.get(who) ?? null)) return;
  told.set(who, line.stage);
  console.log(JSON.stringify(line));
}

/** Forget what is kept of a profile up to this version; what is older stays out, also if it comes later. */
function forget({ profile_id, version }) {
  erased.set(profile_id, Math.max(version, erased.get(profile_id) ?? -1));
  for (const [who, ids] of idsOf) {
    if (!who.startsWith(`${profile_id} `)) continue;
    for (const id of ids) {
      if (newest.get(id).version <= version && ids.delete(id)) newest.delete(id);
    }
    const [, lifecycle] = who.split(" ");
    tell(who, { profile_id, lifecycle, stage: stageOf(ids), user_id: null, historical: false });
    if (ids.size === 0) [idsOf, told].forEach((it) => it.delete(who));
  }
}

const text = (bytes) => bytes?.toString("utf8");
const consumer = new Consumer({
  clientId: "stage-changes-example",
  groupId: `stage-changes-example-${randomUUID()}`, // everything is read anew each time
  bootstrapBrokers: brokers.split(","),
  deserializers: { key: text, value: text, headerKey: text, headerValue: text },
});
const stream = await consumer.consume({
  topics: ["clm.stage-changes", ...copies],
  mode: MessagesStreamModes.EARLIEST,
  isolationLevel: FetchIsolationLevels.READ_COMMITTED,
  autocommit: false,
});
for await (const message of stream) {
  const type = message.headers.get("ce_type");
  if (CHANGED.has(type)) handle(JSON.parse(message.value));
  if (ERASED.has(type)) forget(JSON.parse(message.value));
}
