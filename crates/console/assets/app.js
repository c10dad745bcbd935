// @ts-check
// What every page has: keys, copying, and a menu that closes. Pages work without it.

/** Where keys are typed: not a box that is ticked. */
const field = (/** @type {EventTarget | null} */ target) =>
  target instanceof HTMLElement && !target.matches("[type=checkbox]") &&
  (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));

const base = document.documentElement.dataset.base ?? "";
const goes = new Map([
  ["h", "/"], ["b", "/"], ["s", "/sessions"], ["m", "/regions"], ["r", "/regions"], ["a", "/audit"],
]);
let going = false;

// Whether single keys do something, for this browser. Who dictates, or hits keys by mistake,
// switches them off.
const KEPT = "__Host-dhow-keys";
const areOff = () => document.cookie.split("; ").includes(`${KEPT}=off`);
const keys = /** @type {HTMLDialogElement | null} */ (document.getElementById("keys"));
const switched = /** @type {HTMLInputElement | null} */ (keys?.querySelector("[data-keys]"));
switched?.addEventListener("change", () => {
  const kept = switched.checked ? "on; Max-Age=0" : "off; Max-Age=34560000";
  document.cookie = `${KEPT}=${kept}; Path=/; Secure; SameSite=Strict`;
});
const showKeys = () => {
  if (switched) switched.checked = !areOff();
  keys?.showModal();
};
const opener = /** @type {HTMLElement | null} */ (document.querySelector("[data-keys-open]"));
if (opener) opener.hidden = false;
opener?.addEventListener("click", showKeys);
keys?.querySelector("[data-keys-close]")?.addEventListener("click", () => keys.close());

/** The links of the rows that a page lists. */
const rows = () => Array.from(document.querySelectorAll("[data-rows] tbody th a"));

/** @param {number} by */
function step(by) {
  const all = rows();
  const at = all.findIndex((row) => row === document.activeElement);
  const next = /** @type {HTMLElement | undefined} */ (all[Math.max(0, Math.min(all.length - 1, at + by))]);
  next?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const open = document.querySelector("details.who[open]");
  if (event.key === "Escape" && open) {
    open.removeAttribute("open");
    /** @type {HTMLElement | null} */ (open.querySelector("summary"))?.focus();
    return;
  }
  if (field(event.target) || keys?.open || areOff()) return;
  if (going) {
    going = false;
    const to = goes.get(event.key);
    if (to) location.assign(base + to);
    return;
  }
  switch (event.key) {
    case "/": {
      const filter = /** @type {HTMLInputElement | null} */ (document.querySelector("[data-filter]"));
      if (filter) {
        event.preventDefault();
        filter.focus();
        filter.select();
      }
      break;
    }
    case "g": going = true; break;
    case "j": step(1); break;
    case "k": step(-1); break;
    case "x": {
      const row = document.activeElement?.closest("[data-rows] tr");
      /** @type {HTMLElement | null | undefined} */ (row?.querySelector("input[type=checkbox]"))?.click();
      break;
    }
    case "u": /** @type {HTMLElement | null} */ (document.querySelector("[data-upload]"))?.click(); break;
    case "?": showKeys(); break;
  }
});

document.addEventListener("click", async (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const open = document.querySelector("details.who[open]");
  if (open && target && !open.contains(target)) open.removeAttribute("open");
  const copy = /** @type {HTMLElement | null} */ (target?.closest("[data-copy]"));
  if (copy) {
    await navigator.clipboard?.writeText(copy.dataset.copy ?? "");
    copy.textContent = copy.dataset.done ?? "";
  }
});

// On a narrow window the menu is a row: the page that is open is in sight.
document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// Rows that can be chosen: a count in the buttons, which do nothing without one.
for (const form of document.querySelectorAll("form[data-chosen]")) {
  const buttons = /** @type {HTMLButtonElement[]} */ (Array.from(form.querySelectorAll("button[data-count]")));
  const every = /** @type {HTMLInputElement | null} */ (form.querySelector("[data-all]"));
  if (!buttons.length || !every) continue;
  const ticks = /** @type {HTMLInputElement[]} */ (Array.from(form.querySelectorAll("tbody input[type=checkbox]")));
  const idle = buttons.map((button) => button.textContent ?? "");
  const count = () => {
    const chosen = ticks.filter((tick) => tick.checked).length;
    buttons.forEach((button, n) => {
      const text = (button.dataset.count ?? "").replace("{count}", String(chosen));
      button.textContent = chosen ? text : (idle[n] ?? "");
      button.disabled = chosen === 0;
    });
    every.checked = chosen > 0 && chosen === ticks.length;
    every.indeterminate = chosen > 0 && chosen < ticks.length;
  };
  every.hidden = false;
  every.addEventListener("change", () => { for (const tick of ticks) tick.checked = every.checked; count(); });
  form.addEventListener("change", count);
  addEventListener("pageshow", count);
  count();
}

// On the map of a new bucket a region is chosen as its home; what is typed already stays.
document.addEventListener("click", (event) => {
  const mark = event.target instanceof Element ? event.target.closest("[data-picks] a") : null;
  const form = /** @type {HTMLFormElement | null} */ (document.querySelector("form[data-new]"));
  if (!mark || !form || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const to = new URL(mark.getAttribute("href") ?? "", location.href);
  const typed = new FormData(form);
  to.searchParams.set("name", String(typed.get("name") ?? ""));
  // A blank means every country; nothing at all means those of the account.
  if (typed.has("law")) to.searchParams.set("law", String(typed.get("law")) || " ");
  to.searchParams.delete("replica");
  for (const replica of typed.getAll("replica")) to.searchParams.append("replica", String(replica));
  location.assign(to);
});
