// @ts-check
// Goes on with what takes several steps, each of which shows how far it is.

const PAUSE_MS = 300;
const form = /** @type {HTMLFormElement | null} */ (document.querySelector("form[data-again]"));

setTimeout(() => form?.requestSubmit(), PAUSE_MS);
