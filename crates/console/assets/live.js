// @ts-check
// Loads a page again once what it shows has changed.

const part = /** @type {HTMLElement} */ (document.querySelector("[data-live]"));
const EVERY_MS = Number(part.dataset.every) || 1000;
const EVERY_HIDDEN_MS = 10000;
const WAIT_MS = 30000;

async function look() {
  try {
    const answer = await fetch(part.dataset.live ?? "", { signal: AbortSignal.timeout(WAIT_MS), redirect: "error" });
    if (answer.ok && (await answer.json()).state !== part.dataset.state) return location.reload();
  } catch { /* Asked again below. */ }
  setTimeout(look, document.hidden ? EVERY_HIDDEN_MS : EVERY_MS);
}

setTimeout(look, EVERY_MS);
