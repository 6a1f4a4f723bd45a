// Page views of single-page apps: the address changes and no page is loaded.

/** Call back whenever path or query change, hash routes (`#/`) included, or a page is back whole. */
export const watch = (seen: () => void): void => {
  let last = place();
  const look = (): void => {
    if (place() == last) return;
    last = place();
    setTimeout(seen); // the app sets its title first
  };
  for (const name of ["pushState", "replaceState"] as const) {
    const original = history[name];
    history[name] = function (...rest) {
      original.apply(this, rest);
      look();
    };
  }
  addEventListener("popstate", look);
  addEventListener("hashchange", look);
  addEventListener("pageshow", (it) => it.persisted && seen()); // from the browser's own cache
};

const place = (): string =>
  location.pathname + location.search + (/^#!?\//.test(location.hash) ? location.hash : "");
