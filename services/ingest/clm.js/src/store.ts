// What is kept in the browser: one place to read it, write it, and refuse to.
//
// Values live in localStorage, or in memory where that is missing, full or not allowed (yet).
// Who somebody is lives in a cookie of the widest domain, too, so that shop and blog agree.

const PREFIX = "clm.";
const YEAR = 31536000;
const SHARED = new Set(["anonymous", "user"]);

const memory = new Map<string, string>();
let persistent = false;

/** Keep what is in memory, and from now on everything, across pages. */
export const persist = (): void => {
  persistent = true;
  memory.forEach((value, name) => set(name, value));
};

/** Forget everything, here and in memory. */
export const forget = (): void => {
  names("").forEach(remove);
  memory.clear();
  persistent = false;
};

/** Read a value; null where there is none. */
export const get = (name: string): string | null => {
  const kept = memory.get(name);
  if (kept != null || !persistent) return kept ?? null;
  return (SHARED.has(name) && cookie(name)) || local((it) => it.getItem(PREFIX + name));
};

/** Write a value. */
export const set = (name: string, value: string): void => {
  if (!persistent) {
    memory.set(name, value);
    return;
  }
  if (SHARED.has(name)) bake(name, value, YEAR);
  const kept = local((it) => (it.setItem(PREFIX + name, value), true));
  if (kept) memory.delete(name);
  else memory.set(name, value);
};

/** Remove a value. */
export const remove = (name: string): void => {
  memory.delete(name);
  if (SHARED.has(name)) bake(name, "", 0);
  local((it) => it.removeItem(PREFIX + name));
};

/** The names that begin like this, oldest first where they end in a number. */
export const names = (beginning: string): string[] => {
  const found = new Set([...memory.keys()].filter((it) => it.startsWith(beginning)));
  if (persistent)
    local((it) => {
      for (let place = 0; place < it.length; place++) {
        const name = it.key(place)!;
        if (name.startsWith(PREFIX + beginning)) found.add(name.slice(PREFIX.length));
      }
    });
  return [...found].sort();
};

/** Read a JSON value; null where there is none or it is broken. */
export const json = <Value>(name: string): Value | null => parse(get(name));

export const parse = <Value>(text: string | null): Value | null => {
  try {
    return JSON.parse(text!) as Value;
  } catch {
    return null;
  }
};

const local = <Value>(use: (storage: Storage) => Value): Value | null => {
  try {
    return use(localStorage);
  } catch {
    return null; // blocked, or full
  }
};

const cookie = (name: string): string | null => {
  const found = document.cookie.match(`(?:^|; )${PREFIX.replace(".", "_")}${name}=([^;]*)`);
  return found ? decodeURIComponent(found[1]!) : null;
};

/** Set a cookie on the widest domain that takes it: browsers refuse public suffixes. */
const bake = (name: string, value: string, seconds: number): void => {
  const labels = location.hostname.split(".");
  const secure = location.protocol == "https:" ? ";secure" : "";
  for (let size = 2; size <= labels.length + 1; size++) {
    const domain = size > labels.length ? "" : `;domain=${labels.slice(-size).join(".")}`;
    const text = encodeURIComponent(value);
    document.cookie = `${PREFIX.replace(".", "_")}${name}=${text};path=/;max-age=${seconds};samesite=lax${secure}${domain}`;
    if (seconds ? cookie(name) == value : cookie(name) == null) return;
  }
};
