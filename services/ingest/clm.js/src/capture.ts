// What is captured by itself, if wished: clicks, rage, scrolling, and how forms are filled in.
//
// Only where, when and how long: never what was typed, and nothing of fields that are hidden, hold
// a password, or stand inside [data-clm-ignore].

import type { Json } from "./types";

type Track = (event: string, properties: Json) => void;

const RAGE = 3;
const RAGE_WITHIN = 1000;
const RAGE_REACH = 30;
const QUARTERS = [25, 50, 75, 100];

/** Begin to capture what is listed: "clicks", "scroll", "forms". */
export const capture = (wished: string[], track: Track): void => {
  if (wished.includes("clicks")) clicks(track);
  if (wished.includes("scroll")) scroll(track);
  if (wished.includes("forms")) forms(track);
};

const clicks = (track: Track): void => {
  let recent: { x: number; y: number; at: number }[] = [];
  on("click", (event) => {
    const element = target(event);
    if (!(event instanceof MouseEvent) || !element) return;
    const box = element.getBoundingClientRect();
    const root = document.documentElement;
    const facts = {
      selector: selector(element),
      tag: element.tagName.toLowerCase(),
      href: element.closest("a")?.pathname,
      x: share(event.clientX - box.left, box.width),
      y: share(event.clientY - box.top, box.height),
      pageX: share(event.pageX, root.scrollWidth),
      pageY: share(event.pageY, root.scrollHeight),
      viewportWidth: innerWidth,
    };
    track("Element Clicked", facts);
    const { clientX: x, clientY: y, timeStamp: at } = event;
    const near = recent.filter(
      (it) => at - it.at < RAGE_WITHIN && Math.hypot(x - it.x, y - it.y) < RAGE_REACH,
    );
    recent = [...near, { x, y, at }];
    if (recent.length == RAGE) track("Rage Clicked", { ...facts, clicks: RAGE });
  });
};

const scroll = (track: Track): void => {
  let path = location.pathname;
  let deepest = 0;
  on("scroll", () => {
    if (path != location.pathname) {
      path = location.pathname;
      deepest = 0;
    }
    const { scrollHeight } = document.documentElement;
    const depth = ((scrollY + innerHeight) / scrollHeight) * 100 + 0.5;
    for (const quarter of QUARTERS) {
      if (quarter <= deepest || quarter > depth) continue;
      deepest = quarter;
      track("Scroll Depth Reached", { depth: quarter });
    }
  });
};

interface Filling {
  began: number;
  fields: Set<string>;
  last: string;
  entered: number;
}

const forms = (track: Track): void => {
  const open = new Map<HTMLFormElement, Filling>();
  on("focusin", (event) => {
    const found = field(event);
    if (!found) return;
    const [form, name] = found;
    let filling = open.get(form);
    if (!filling) {
      filling = { began: Date.now(), fields: new Set(), last: name, entered: 0 };
      open.set(form, filling);
      track("Form Started", { form: selector(form), field: name });
    }
    filling.last = name;
    filling.entered = Date.now();
  });
  on("focusout", (event) => {
    const found = field(event);
    const filling = found && open.get(found[0]);
    if (!filling) return;
    const [form, name, filled] = found;
    filling.fields.add(name);
    const duration = Date.now() - filling.entered;
    track("Form Field Left", { form: selector(form), field: name, duration, filled });
  });
  on("submit", (event) => {
    const form = event.target as HTMLFormElement;
    const filling = open.get(form);
    if (!filling) return;
    open.delete(form);
    track("Form Submitted", summary(form, filling));
  });
  const abandon = (): void => {
    open.forEach((filling, form) => track("Form Abandoned", summary(form, filling)));
    open.clear();
  };
  addEventListener("pagehide", abandon, true); // before what waits is sent
};

const summary = (form: HTMLFormElement, filling: Filling): Json => ({
  form: selector(form),
  fields: [...filling.fields],
  lastField: filling.last,
  duration: Date.now() - filling.began,
});

/** The form, the field's name, and whether there is anything in it. */
const field = (event: Event): [HTMLFormElement, string, boolean] | undefined => {
  const element = target(event) as HTMLInputElement | undefined;
  const form = element?.form;
  if (!form || /^(password|hidden)$/.test(element.type)) return undefined;
  return [form, element.name || element.id || element.type, !!element.value];
};

const target = (event: Event): Element | undefined => {
  const element = event.target;
  return element instanceof Element && !element.closest("[data-clm-ignore]") ? element : undefined;
};

/** A path to the element, from the nearest id on, at most five steps. */
const selector = (element: Element): string => {
  const steps: string[] = [];
  for (let it: Element | null = element; it && steps.length < 5; it = it.parentElement) {
    if (it.id) {
      steps.unshift(`#${CSS.escape(it.id)}`);
      break;
    }
    const tag = it.tagName.toLowerCase();
    const twins = [...(it.parentElement?.children ?? [])].filter((other) => other.tagName == it!.tagName);
    steps.unshift(twins.length > 1 ? `${tag}:nth-of-type(${twins.indexOf(it) + 1})` : tag);
  }
  return steps.join(">");
};

const share = (part: number, whole: number): number => Math.round((part / (whole || 1)) * 1000) / 1000;

const on = (name: string, handle: (event: Event) => void): void =>
  document.addEventListener(name, handle, { capture: true, passive: true });
