// @ts-check
// Uploads files and folders to the data endpoint by presigned addresses: small files at once, large
// ones in parts, which go on after a pause, a failure or a reload. A file is never read whole.

const box = /** @type {HTMLElement} */ (document.getElementById("uploads"));
const data = box.dataset;
const list = /** @type {HTMLElement} */ (box.querySelector("[data-list]"));
const total = /** @type {HTMLElement} */ (box.querySelector("[data-total]"));
const bar = /** @type {HTMLProgressElement} */ (box.querySelector("[data-progress]"));
const pauseButton = /** @type {HTMLButtonElement} */ (box.querySelector("[data-pause]"));
const abortButton = /** @type {HTMLButtonElement} */ (box.querySelector("[data-abort]"));
const drop = /** @type {HTMLElement} */ (document.querySelector("[data-drop]"));

const MIB = 1 << 20;
const PART = 16 * MIB;
const PARTS_MAX = 10000;
const AT_ONCE = 4;
const TRIES = 6;
const SHOWN = 200;

/**
 * @typedef {{key: string, file: File, state: string, sent: number, why: string, parts: Map<number, string>,
 *   id: string, size: number, running: Set<XMLHttpRequest>, row: HTMLElement | null}} Upload
 */

/** @type {Upload[]} */
const all = [];
let paused = false;
let busy = 0;
let began = 0;
let sentBefore = 0;

/** @param {number} n */
function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (n >= 1023.5 && at < units.length - 1) { n /= 1024; at += 1; }
  const digits = at === 0 ? String(n) : n.toPrecision(3);
  return value(`${digits.replace(".", data.point ?? ".")} ${units[at]}`);
}

/** What is put into a text from right to left keeps its own direction. @param {string} text */
const value = (text) => (document.dir === "rtl" ? `\u2068${text}\u2069` : text);

/** A text with values. @param {string} text @param {Record<string, string>} values */
const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

/** @param {string} name */
const t = (name) => data[name] ?? "";

/** Where the state of an upload in parts is kept, for a reload. @param {Upload} u */
const mark = (u) => `dhow:${data.who}:${data.bucket}:${u.key}`;

/** @param {Upload} u */
function remember(u) {
  try {
    localStorage.setItem(mark(u), JSON.stringify({ id: u.id, part: u.size, size: u.file.size, time: u.file.lastModified }));
  } catch { /* Private windows keep nothing. */ }
}

/** @param {Upload} u */
function forget(u) {
  try { localStorage.removeItem(mark(u)); } catch { /* as above */ }
}

/** @param {Upload} u */
function remembered(u) {
  try {
    const kept = JSON.parse(localStorage.getItem(mark(u)) ?? "null");
    return kept?.size === u.file.size && kept?.time === u.file.lastModified ? kept : null;
  } catch { return null; }
}

class Refused extends Error {}

/** Addresses from the console. @param {Record<string, string>} fields */
async function sign(fields) {
  const form = new URLSearchParams({ csrf: data.csrf ?? "", ...fields });
  const answer = await fetch(data.sign ?? "", { method: "POST", body: form, redirect: "manual" });
  if (answer.type === "opaqueredirect" || answer.status === 403) throw new Refused(t("tSession"));
  if (!answer.ok) throw new Error(`console ${answer.status}`);
  return /** @type {string[]} */ ((await answer.json()).urls);
}

/**
 * One request to the data endpoint.
 * @param {Upload} u @param {string} method @param {string} url @param {Blob | string | null} body
 * @param {Record<string, string>} headers @param {(sent: number) => void} progress
 * @returns {Promise<XMLHttpRequest>}
 */
function send(u, method, url, body, headers = {}, progress = () => {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => progress(event.loaded));
    const ended = () => u.running.delete(request);
    request.addEventListener("load", () => {
      ended();
      if (request.status >= 200 && request.status < 300) return resolve(request);
      const code = text(request.responseText, "Code") || `HTTP ${request.status}`;
      const why = `${text(request.responseText, "Message")} (${code})`;
      reject(request.status >= 500 || request.status === 408 ? new Error(why) : new Refused(why));
    });
    request.addEventListener("error", () => { ended(); reject(new Error(t("tNetwork"))); });
    request.addEventListener("abort", () => { ended(); reject(new Refused("stopped")); });
    u.running.add(request);
    request.send(body);
  });
}

/** The text of an element. @param {string} xml @param {string} name */
function text(xml, name) {
  const found = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml);
  return (found?.[1] ?? "").replaceAll("&quot;", '"').replaceAll("&#34;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

/** Tries again after failures that may pass, with longer pauses. @template T @param {() => Promise<T>} work @returns {Promise<T>} */
async function tried(work) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Refused || attempt >= TRIES || paused) throw error;
      const pause = Math.min(30000, 300 * 2 ** attempt) * (0.5 + Math.random() / 2);
      await new Promise((done) => setTimeout(done, pause));
    }
  }
}

/** @param {Upload} u */
async function small(u) {
  await tried(async () => {
    const [url] = await sign({ op: "put", key: u.key });
    await send(u, "PUT", url, u.file, type(u), (sent) => { u.sent = sent; show(u); });
  });
  u.sent = u.file.size;
}

/** @param {Upload} u @returns {Record<string, string>} */
const type = (u) => (u.file.type ? { "Content-Type": u.file.type } : { "Content-Type": "application/octet-stream" });

/** The parts that are there already. @param {Upload} u */
async function known(u) {
  const kept = remembered(u);
  if (!kept) return false;
  [u.id, u.size] = [kept.id, kept.part];
  try {
    // A page has 1,000 parts at most.
    for (let after = ""; ;) {
      const [url] = await sign({ op: "list", key: u.key, upload: u.id, after });
      const page = (await send(u, "GET", url, null)).responseText;
      for (const part of page.matchAll(/<Part>.*?<\/Part>/gs)) {
        const number = Number(text(part[0], "PartNumber"));
        if (Number(text(part[0], "Size")) === length(u, number)) u.parts.set(number, text(part[0], "ETag"));
      }
      const next = text(page, "NextPartNumberMarker");
      if (text(page, "IsTruncated") !== "true" || next === after) return true;
      after = next;
    }
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    forget(u);
    u.id = "";
    return false;
  }
}

/** @param {Upload} u @param {number} part */
const length = (u, part) => Math.min(u.size, u.file.size - (part - 1) * u.size);

/** @param {Upload} u */
async function large(u) {
  if (!u.id && !(await known(u))) {
    u.size = Math.max(PART, Math.ceil(u.file.size / PARTS_MAX / MIB) * MIB);
    u.parts.clear();
    const [url] = await sign({ op: "create", key: u.key });
    u.id = text((await tried(() => send(u, "POST", url, null, type(u)))).responseText, "UploadId");
    remember(u);
  }
  const count = Math.ceil(u.file.size / u.size);
  const wanted = [];
  for (let part = 1; part <= count; part += 1) if (!u.parts.has(part)) wanted.push(part);
  /** @type {Map<number, string>} */
  const urls = new Map();
  /** @type {Map<number, number>} */
  const under = new Map();
  const tell = () => {
    let sent = 0;
    for (const part of u.parts.keys()) sent += length(u, part);
    for (const one of under.values()) sent += one;
    u.sent = sent;
    show(u);
  };
  tell();
  /** @param {number} part */
  const one = async (part) => {
    await tried(async () => {
      if (!urls.has(part)) {
        const to = Math.min(count, part + 49);
        const given = await sign({ op: "parts", key: u.key, upload: u.id, from: String(part), to: String(to) });
        given.forEach((url, at) => urls.set(part + at, url));
      }
      const from = (part - 1) * u.size;
      const slice = u.file.slice(from, from + length(u, part));
      try {
        const answer = await send(u, "PUT", urls.get(part) ?? "", slice, {}, (sent) => { under.set(part, sent); tell(); });
        u.parts.set(part, answer.getResponseHeader("ETag") ?? "");
      } catch (error) {
        // It may be too old after a long pause.
        urls.delete(part);
        throw error;
      } finally {
        under.delete(part);
        tell();
      }
    });
  };
  const worker = async () => {
    for (let part = wanted.shift(); part !== undefined && !paused && u.state === "running"; part = wanted.shift()) await one(part);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  if (paused || u.state !== "running") throw new Refused("stopped");
  const parts = [...u.parts].sort(([a], [b]) => a - b);
  const body = parts.map(([part, etag]) => `<Part><PartNumber>${part}</PartNumber><ETag>${etag.replaceAll("&", "&amp;")}</ETag></Part>`);
  await tried(async () => {
    const [url] = await sign({ op: "complete", key: u.key, upload: u.id });
    const done = await send(u, "POST", url, `<CompleteMultipartUpload>${body.join("")}</CompleteMultipartUpload>`, { "Content-Type": "application/xml" });
    // S3 may say only in the body that it failed.
    if (done.responseText.includes("<Error>")) throw new Error(text(done.responseText, "Message"));
  });
  forget(u);
}

/** @param {Upload} u */
async function run(u) {
  busy += 1;
  u.state = "running";
  u.why = "";
  show(u);
  try {
    await (u.file.size <= PART ? small(u) : large(u));
    u.state = "done";
    u.sent = u.file.size;
  } catch (error) {
    if (u.state === "running") {
      const stopped = paused && error instanceof Refused && error.message === "stopped";
      u.state = stopped ? "paused" : "failed";
      u.why = stopped ? "" : String(error instanceof Error ? error.message : error);
    }
  }
  busy -= 1;
  show(u);
  next();
}

function next() {
  while (!paused && busy < AT_ONCE) {
    const waiting = all.find((u) => u.state === "waiting");
    if (!waiting) break;
    void run(waiting);
  }
  summary();
}

/** @param {Upload} u */
function show(u) {
  if (!u.row && list.childElementCount < SHOWN) {
    u.row = document.createElement("li");
    for (const part of ["bdi", "progress", "span"]) u.row.append(document.createElement(part));
    list.append(u.row);
  }
  if (u.row) {
    const [name, progress, state] = /** @type {HTMLElement[]} */ ([...u.row.children]);
    name.textContent = visible(u.key);
    const gauge = /** @type {HTMLProgressElement} */ (progress);
    gauge.max = Math.max(1, u.file.size);
    gauge.value = u.state === "done" ? gauge.max : u.sent;
    gauge.setAttribute("aria-label", visible(u.key));
    const word = t("t" + u.state.charAt(0).toUpperCase() + u.state.slice(1));
    state.textContent = u.state === "running" ? `${bytes(u.sent)} / ${bytes(u.file.size)}` : u.why ? `${word}: ${u.why}` : word;
    u.row.dataset.state = u.state;
    u.row.dataset.parts = String(u.parts.size);
    if (u.state === "failed" && u.row.childElementCount === 3) {
      const again = document.createElement("button");
      again.type = "button";
      again.className = "small";
      again.textContent = t("tAgain");
      again.addEventListener("click", () => { again.remove(); u.state = "waiting"; next(); });
      u.row.append(again);
    }
  }
  summary();
}

/** What cannot be seen in a name is shown. @param {string} name */
const visible = (name) => name.replace(/[\0-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, (c) => `⟨U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);

function summary() {
  let [done, sent, size] = [0, 0, 0];
  for (const u of all) {
    if (u.state === "aborted") continue;
    if (u.state === "done") done += 1;
    sent += u.sent;
    size += u.file.size;
  }
  const count = all.filter((u) => u.state !== "aborted").length;
  const seconds = (performance.now() - began) / 1000;
  const rate = seconds > 1 ? (sent - sentBefore) / seconds : 0;
  let line = filled(t("tTotal"), { done: value(String(done)), all: value(String(count)), bytes: bytes(sent), size: bytes(size) });
  if (busy > 0 && rate > 0) {
    const left = Math.ceil((size - sent) / rate);
    const time = value(`${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`);
    line += ` · ${bytes(Math.round(rate))}/s · ${filled(t("tLeft"), { time })}`;
  }
  total.textContent = line;
  bar.max = Math.max(1, size);
  bar.value = sent;
  const open = all.some((u) => ["running", "waiting", "paused"].includes(u.state));
  pauseButton.hidden = abortButton.hidden = !open;
  pauseButton.textContent = paused ? t("tGo") : t("tPause");
  /** @type {HTMLElement} */ (box.querySelector("[data-reload]")).hidden = done === 0 || open;
  box.dataset.state = open ? (paused ? "paused" : "running") : all.some((u) => u.state === "failed") ? "failed" : "done";
}

/** @param {{name: string, file: File}[]} files */
function add(files) {
  if (files.length === 0) return;
  if (busy === 0) {
    began = performance.now();
    sentBefore = all.reduce((sum, u) => sum + u.sent, 0);
  }
  box.hidden = false;
  for (const { name, file } of files) {
    /** @type {Upload} */
    const u = { key: (data.prefix ?? "") + name, file, state: "waiting", sent: 0, why: "", parts: new Map(), id: "", size: PART, running: new Set(), row: null };
    if (new TextEncoder().encode(u.key).length > 1024) [u.state, u.why] = ["failed", t("tName")];
    all.push(u);
    show(u);
  }
  next();
}

pauseButton.addEventListener("click", () => {
  paused = !paused;
  for (const u of all) {
    if (paused) for (const request of [...u.running]) request.abort();
    else if (u.state === "paused") u.state = "waiting";
  }
  if (!paused) { began = performance.now(); sentBefore = all.reduce((sum, u) => sum + u.sent, 0); }
  next();
});

abortButton.addEventListener("click", async () => {
  for (const u of all) {
    if (!["running", "waiting", "paused"].includes(u.state)) continue;
    u.state = "aborted";
    for (const request of [...u.running]) request.abort();
    show(u);
    if (u.id) {
      forget(u);
      try {
        const [url] = await sign({ op: "abort", key: u.key, upload: u.id });
        await send(u, "DELETE", url, null);
      } catch { /* The region removes what is left of it. */ }
    }
  }
  paused = false;
  next();
});

for (const input of document.querySelectorAll("[data-upload]")) {
  const field = /** @type {HTMLInputElement} */ (input);
  /** @type {HTMLElement} */ (field.closest(".pick")).hidden = false;
  field.addEventListener("change", () => {
    add(Array.from(field.files ?? [], (file) => ({ name: file.webkitRelativePath || file.name, file })));
    field.value = "";
  });
}

/** All files below an entry. A directory gives its entries in batches. @param {FileSystemEntry} entry @returns {Promise<{name: string, file: File}[]>} */
async function below(entry) {
  const name = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
    return [{ name, file: /** @type {File} */ (file) }];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const found = [];
  for (;;) {
    const batch = /** @type {FileSystemEntry[]} */ (await new Promise((resolve, reject) => reader.readEntries(resolve, reject)));
    if (batch.length === 0) return found;
    for (const one of batch) found.push(...(await below(one)));
  }
}

let over = 0;
const files = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files") ?? false;
document.addEventListener("dragenter", (event) => { if (files(event)) { over += 1; drop.hidden = false; } });
document.addEventListener("dragleave", (event) => { if (files(event) && (over -= 1) <= 0) { over = 0; drop.hidden = true; } });
document.addEventListener("dragover", (event) => { if (files(event)) event.preventDefault(); });
document.addEventListener("drop", async (event) => {
  if (!files(event)) return;
  event.preventDefault();
  over = 0;
  drop.hidden = true;
  // Entries can be asked for only now, before anything is awaited.
  const items = Array.from(event.dataTransfer?.items ?? []);
  const entries = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  for (const entry of entries) {
    if (entry instanceof File) add([{ name: entry.name, file: entry }]);
    else if (entry) add(await below(entry));
  }
});

addEventListener("beforeunload", (event) => {
  if (all.some((u) => u.state === "running" || u.state === "waiting")) event.preventDefault();
});

// What a reload interrupted.
try {
  const begin = `dhow:${data.who}:${data.bucket}:${data.prefix}`;
  for (let at = 0; at < localStorage.length; at += 1) {
    const name = localStorage.key(at) ?? "";
    if (!name.startsWith(begin)) continue;
    box.hidden = false;
    const row = document.createElement("li");
    row.dataset.state = "unfinished";
    row.textContent = filled(t("tUnfinished"), { name: value(visible(name.slice(begin.length))) });
    list.append(row);
    pauseButton.hidden = abortButton.hidden = true;
  }
} catch { /* Nothing is kept. */ }
