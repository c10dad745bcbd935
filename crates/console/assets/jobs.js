// @ts-check
// Shows how far jobs are, without a reload; once one has ended the page is loaded again.

const EVERY_MS = 1000;
const EVERY_HIDDEN_MS = 10000;
const WAIT_MS = 30000;
const base = document.documentElement.dataset.base ?? "";
const ids = (/** @type {HTMLElement[]} */ (Array.from(document.querySelectorAll("[data-job]"))))
  .filter((card) => card.querySelector("progress"));

async function look() {
  try {
    const answer = await fetch(`${base}/jobs/state`, { signal: AbortSignal.timeout(WAIT_MS), redirect: "error" });
    if (!answer.ok) return;
    const state = await answer.json();
    for (const card of ids) {
      const job = state[card.dataset.job ?? ""];
      if (!job || !job.runs) return location.reload();
      const counts = /** @type {HTMLElement} */ (card.querySelector("[data-counts]"));
      if (counts.textContent !== job.counts) counts.textContent = job.counts;
    }
  } catch { /* Asked again below. */ }
  setTimeout(look, document.hidden ? EVERY_HIDDEN_MS : EVERY_MS);
}

setTimeout(look, EVERY_MS);
