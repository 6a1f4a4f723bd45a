// Page views of single-page apps: the address changes and no page is loaded.

/** Call back whenever path or query change, hash routes (`#/`) included. */
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
};

const place = (): string =>
  location.pathname + location.search + (/^#!?\//.test(location.hash) ? location.hash : "");
