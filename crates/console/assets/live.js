// @ts-check
// Loads a page again once what it shows has changed. Texts that change all the time are put in their
// places.

const part = /** @type {HTMLElement} */ (document.querySelector("[data-live]"));
const EVERY_MS = Number(part.dataset.every) || 1000;
const EVERY_HIDDEN_MS = 10000;
const WAIT_MS = 30000;

/** @param {Record<string, string>} texts */
function put(texts) {
  for (const place of document.querySelectorAll("[data-text]")) {
    const text = texts[place.getAttribute("data-text") ?? ""];
    if (text !== undefined && place.textContent !== text) place.textContent = text;
  }
}

async function look() {
  try {
    const answer = await fetch(part.dataset.live ?? "", { signal: AbortSignal.timeout(WAIT_MS), redirect: "error" });
    if (answer.ok) {
      const { state, texts } = await answer.json();
      if (state !== part.dataset.state) return location.reload();
      put(texts ?? {});
    }
  } catch { /* Asked again below. */ }
  setTimeout(look, document.hidden ? EVERY_HIDDEN_MS : EVERY_MS);
}

setTimeout(look, EVERY_MS);
