// @ts-check
// Signs in, or signs once more before what is dangerous. The secret is used here to sign a challenge (Signature Version 4) and is not sent.

const form = /** @type {HTMLFormElement} */ (document.getElementById("signin"));
const access = /** @type {HTMLInputElement} */ (document.getElementById("access"));
const secret = /** @type {HTMLInputElement} */ (document.getElementById("secret"));
const problem = /** @type {HTMLElement} */ (document.getElementById("problem"));
const bytes = new TextEncoder();
/** Waits of up to so many seconds are kept without a word, so many times. */
const SHORT_WAIT_S = 2;
const SHORT_WAITS = 5;

/** @param {ArrayBuffer} buffer */
const hex = (buffer) => Array.from(new Uint8Array(buffer), (b) => b.toString(16).padStart(2, "0")).join("");

/** @param {string} text */
const sha256 = async (text) => hex(await crypto.subtle.digest("SHA-256", bytes.encode(text)));

/** @param {BufferSource} key @param {string} text */
async function hmac(key, text) {
  const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return crypto.subtle.sign("HMAC", imported, bytes.encode(text));
}

/**
 * The headers of a signed POST without a body.
 * @param {string} path
 * @param {{challenge: string, region: string, now: string}} given
 */
async function signed(path, given) {
  const day = given.now.slice(0, 8);
  const scope = `${day}/${given.region}/s3/aws4_request`;
  const empty = await sha256("");
  const names = "host;x-amz-content-sha256;x-amz-date;x-dhow-challenge";
  const canonical = [
    "POST", path, "", `host:${location.host}`, `x-amz-content-sha256:${empty}`,
    `x-amz-date:${given.now}`, `x-dhow-challenge:${given.challenge}`, "", names, empty,
  ].join("\n");
  let key = await hmac(bytes.encode("AWS4" + secret.value), day);
  for (const part of [given.region, "s3", "aws4_request"]) key = await hmac(key, part);
  const text = ["AWS4-HMAC-SHA256", given.now, scope, await sha256(canonical)].join("\n");
  const signature = hex(await hmac(key, text));
  return {
    "authorization": `AWS4-HMAC-SHA256 Credential=${access.value.trim()}/${scope},SignedHeaders=${names},Signature=${signature}`,
    "x-amz-content-sha256": empty,
    "x-amz-date": given.now,
    "x-dhow-challenge": given.challenge,
  };
}

/** @param {string} text */
function say(text) {
  problem.textContent = text;
  problem.hidden = false;
  secret.focus();
}

/**
 * Sends a signed challenge. When many people of one network sign in within a second, the server
 * asks for a short wait: it is kept here, and nobody has to press the button again.
 * @param {string} challenge @param {string} session
 */
async function attempt(challenge, session) {
  for (let left = SHORT_WAITS; ; left--) {
    const given = await (await fetch(challenge, { method: "POST" })).json();
    const answer = await fetch(session, { method: "POST", headers: await signed(session, given) });
    const seconds = Number(answer.headers.get("retry-after"));
    if (answer.status !== 429 || !(seconds <= SHORT_WAIT_S) || left === 0) return answer;
    await new Promise((done) => setTimeout(done, seconds * 1000));
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { challenge = "", session = "", next = "/", insecure = "", broken = "" } = form.dataset;
  if (!crypto.subtle) return say(insecure);
  const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
  button.disabled = true;
  problem.hidden = true;
  try {
    const answer = await attempt(challenge, session);
    if (answer.ok) {
      form.reset();
      // What was asked for before the key had to sign again.
      const after = /** @type {HTMLFormElement | null} */ (document.querySelector("form[data-after]"));
      if (after) after.submit();
      else location.assign(next);
      return;
    }
    say((await answer.json()).error);
  } catch {
    say(broken);
  }
  button.disabled = false;
});
