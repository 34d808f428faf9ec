// The review with JavaScript: the next outputs are fetched ahead, and scores are saved beside, so that nobody waits for
// the network. A score that is not saved yet is kept in this browser, also when the page is closed, and sent again.
"use strict";

(() => {
const AHEAD = 3; // outputs that are fetched ahead
const STEPS_MAX = 50; // outputs to go back to
const UNSAVED_MAX = 40; // scores that wait; no further output is fetched until some are saved
const SKIPPED_MAX = 50; // that the server is asked to leave out
const PATIENCE_MS = 15_000; // for an answer
const DELAY_MS = { first: 500, most: 15_000 }; // between attempts

const root = document.querySelector("#review");
if (!root) return;
const slot = root.querySelector("#review-slot");
const status = root.querySelector("#review-status");
const { account, name } = root.dataset;
const undo = document.querySelector("[data-step=undo]");

// What is to be saved: by output and name, each kept in the browser's storage too, which the other windows share
const PREFIX = `review ${account} `;
const unsaved = new Map();
const refused = [];
let isStored = true;

function keyOf(score) { return `${PREFIX}${score.output} ${score.url}`; }

function keep(score) {
  const key = keyOf(score);
  if (score.comment === undefined) score.comment = unsaved.get(key)?.comment;
  unsaved.delete(key); // so that it is the last one again
  unsaved.set(key, score);
  try { localStorage.setItem(key, JSON.stringify(score)); } catch { isStored = false; }
}

function release(key, score) {
  if (unsaved.get(key) === score) unsaved.delete(key);
  try {
    // else another window has a newer one
    if (localStorage.getItem(key) === JSON.stringify(score)) localStorage.removeItem(key);
  } catch { /* it was not stored */ }
}

// Another window may have saved the score meanwhile, or have a newer one
function reread(key) {
  if (!isStored) return;
  try {
    const text = localStorage.getItem(key);
    if (text === null) unsaved.delete(key);
    else if (text !== JSON.stringify(unsaved.get(key))) unsaved.set(key, JSON.parse(text));
  } catch (error) {
    if (error instanceof SyntaxError) localStorage.removeItem(key); else isStored = false;
  }
}

function rereadAll() {
  let stored = [];
  try { stored = Object.keys(localStorage); } catch { isStored = false; }
  new Set([...unsaved.keys(), ...stored.filter((each) => each.startsWith(PREFIX))]).forEach(reread);
}

rereadAll();
window.addEventListener("storage", (event) => {
  if (event.key === null) [...unsaved.values()].forEach(keep); // all was removed, also what is not saved
  else if (event.key.startsWith(PREFIX)) reread(event.key);
  else return;
  showStatus();
});
// A page that is shown again has missed what was stored meanwhile
window.addEventListener("pageshow", (event) => { if (event.persisted) rereadAll(); });

window.addEventListener("beforeunload", (event) => { if (unsaved.size && !isStored) event.preventDefault(); });

// Requests. Only what this server says is an answer: a proxy before it, or the sign-in page of a network, may answer in
// its place. Without an answer the status is 0
let isSignedOut = false;

async function ask(url, options = {}) {
  const none = { status: 0, article: null, message: "", code: "", isTransient: true, isForeign: false };
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const response = await fetch(url, { headers: { Accept: "application/json" }, signal, ...options });
    const answer = read(response, await response.text());
    if (!answer) return { ...none, isForeign: true };
    if (answer.status === 401) isSignedOut = true;
    else if (!answer.isTransient) isSignedOut = false;
    return { ...none, ...answer };
  } catch {
    return none;
  }
}

function read({ status, ok }, text) {
  if (status === 204) return { status, isTransient: false };
  if (ok) {
    const article = new DOMParser().parseFromString(text, "text/html").querySelector("article[data-output]");
    return article && { status, article, isTransient: false };
  }
  const isTransient = status >= 500 || [401, 408, 425, 429].includes(status);
  let error = null;
  try { error = JSON.parse(text); } catch { /* it is not from this server */ }
  if (typeof error?.code === "string" && typeof error.message === "string") {
    return { status, message: error.message, code: error.code, isTransient };
  }
  return isTransient ? { status, isTransient } : null;
}

class Repeater {
  // Calls `attempt` again, later and later, while that returns false; at once when the browser is online again
  constructor(attempt) {
    this.attempt = attempt;
    this.isRunning = false;
    this.isWanted = false;
    this.timer = 0;
    this.delay = DELAY_MS.first;
    window.addEventListener("online", () => { if (this.timer) this.run(); });
  }

  async run() {
    if (this.isRunning) { this.isWanted = true; return; }
    clearTimeout(this.timer);
    this.timer = 0;
    this.isRunning = true;
    let isDone = false;
    do {
      this.isWanted = false;
      try {
        isDone = await this.attempt();
      } catch (error) {
        isDone = false;
        reportError(error);
      }
    } while (isDone && this.isWanted);
    this.isRunning = false;
    if (isDone) { this.delay = DELAY_MS.first; return; }
    this.timer = setTimeout(() => this.run(), this.delay * (0.75 + Math.random() / 2));
    this.delay = Math.min(2 * this.delay, DELAY_MS.most);
  }

  // After a failure the next attempt has its time already
  wake() { if (!this.timer) this.run(); }
}

// Saving
let trouble = ""; // why scores are not saved: "", "failed", "foreign" or "other-account"
const saving = new Repeater(async () => {
  const tried = new Map();
  for (;;) {
    const next = [...unsaved].find(([key, score]) => tried.get(key) !== score);
    if (!next) break;
    const [key] = next;
    reread(key);
    const score = unsaved.get(key);
    if (!score) continue;
    tried.set(key, score);
    const body = new URLSearchParams({ output: score.output, value: score.value, account });
    if (score.comment !== undefined) body.set("comment", score.comment);
    // With keepalive the request outlives the page; browsers allow it for short bodies
    const keepalive = body.toString().length < 30_000;
    const answer = await ask(score.url, { method: "POST", body, keepalive });
    if (answer.status === 204) {
      release(key, score);
      trouble = "";
      if (score.url === root.dataset.save) showProgress(score.output);
    } else if (answer.status === 401) {
      trouble = "failed";
      break;
    } else if (answer.code === "other_account") {
      trouble = "other-account";
      break;
    } else if (answer.isForeign || answer.article) {
      trouble = "foreign";
      break;
    } else if (answer.isTransient) {
      trouble = "failed";
      if (answer.status === 0) break;
    } else {
      release(key, score);
      setRecent(score.output, false);
      refused.push(`The score ${score.value} of output …${score.output.slice(-6)} was not saved. ${answer.message}`);
    }
    showStatus();
  }
  showStatus();
  if (isWaiting) fetching.wake();
  return !unsaved.size;
});

// Outputs: those that were shown, and those that come next
const steps = [];
let position = -1;
const queue = [];
const skipped = new Set();
let isWaiting = false; // the next output is to be shown as soon as it is there
let nothingMore = false;
let fetchTrouble = "";

const fetching = new Repeater(async () => {
  while (queue.length < AHEAD && !nothingMore && unsaved.size < UNSAVED_MAX) {
    const url = new URL(root.dataset.next, location.href);
    const unsavedHere = [...unsaved.values()].filter((each) => each.url === root.dataset.save).slice(-UNSAVED_MAX);
    const excluded = new Set([...unsavedHere, ...queue].map((each) => each.output));
    if (steps.length && !isWaiting) excluded.add(steps.at(-1).output);
    excluded.forEach((each) => url.searchParams.append("exclude", each));
    [...skipped].filter((each) => !excluded.has(each)).slice(-SKIPPED_MAX).forEach((each) => url.searchParams.append("skipped", each));
    const answer = await ask(url);
    fetchTrouble = "";
    if (answer.status === 204) {
      nothingMore = true;
    } else if (answer.article) {
      const { output } = answer.article.dataset;
      const isJustScored = [...unsaved.values()].some((each) => each.output === output && each.url === root.dataset.save);
      if (isJustScored || queue.some((each) => each.output === output)) continue;
      skipped.delete(output);
      queue.push({ output, article: document.adoptNode(answer.article), value: null });
    } else if (!answer.isTransient) {
      fetchTrouble = answer.message || "The next output cannot be shown.";
    }
    if (isWaiting) showNext();
    showStatus();
    if (fetchTrouble) return true; // asking again would not help
    if (answer.isTransient) {
      if (isWaiting) showOffline();
      return false;
    }
  }
  if (isWaiting && nothingMore && !queue.length) finish();
  return true;
});

function show(index) {
  position = index;
  isWaiting = false;
  const step = steps[index];
  for (const button of step.article.querySelectorAll("button[name=value]")) {
    if (button.value === step.value) button.setAttribute("aria-pressed", "true");
    else if (step.value !== null) button.removeAttribute("aria-pressed");
  }
  slot.replaceChildren(step.article);
  step.article.focus({ preventScroll: true });
  if (root.getBoundingClientRect().top < 0) root.scrollIntoView();
  showSteps();
  for (const link of document.querySelectorAll("[data-keeps-output]")) { // the same output, shown otherwise
    const url = new URL(link.href);
    url.searchParams.set("output", step.output);
    link.href = url;
  }
}

function showNext() {
  if (position < steps.length - 1) { show(position + 1); return; }
  if (queue.length) {
    steps.push(queue.shift());
    if (steps.length > STEPS_MAX) steps.shift();
    show(steps.length - 1);
    fetching.wake();
    return;
  }
  if (isWaiting) return;
  isWaiting = true;
  nothingMore = false; // what was left out before may be next now, and outputs may have arrived
  showWaiting(fetchTrouble || "The next output is coming…");
  fetchTrouble = "";
  showSteps();
  if (fetching.timer) showOffline();
  fetching.isRunning ? fetching.run() : fetching.wake();
}

function showWaiting(text) {
  const line = document.createElement("p");
  line.textContent = text;
  const card = document.createElement("div");
  card.className = "card empty";
  card.append(line);
  slot.replaceChildren(card);
}

function showOffline() {
  showWaiting(isSignedOut
    ? "The next output appears when you have signed in."
    : "No connection to the server. The next output appears as soon as there is one.");
}

function finish() {
  if (unsaved.size) {
    showWaiting("Nothing left to review. The last scores are being saved.");
    return;
  }
  if (refused.length) { // another page would not say it
    showWaiting("Nothing left to review.");
    return;
  }
  const url = new URL(root.dataset.page, location.href);
  const last = steps.findLast((each) => each.value !== null);
  if (last) url.searchParams.set("last", last.output);
  location.replace(url); // with the progress, and how far the raters agree
}

// What the page says beside
const COUNT = `review count ${account} ${root.dataset.page}`;
const RECENT = `review recent ${account} ${root.dataset.save}`;
const scored = new Set();
let before = 0;
let recent = []; // what was scored last in this window: a page may have been asked for before the score was stored
try {
  before = Number(sessionStorage.getItem(COUNT)) || 0;
  recent = JSON.parse(sessionStorage.getItem(RECENT)) ?? [];
} catch { /* it counts from 0 */ }

function setRecent(output, isScored) {
  recent = recent.filter((each) => each !== output);
  if (isScored) recent = [...recent, output].slice(-STEPS_MAX);
  try { sessionStorage.setItem(RECENT, JSON.stringify(recent)); } catch { /* it is forgotten with the page */ }
}

function showSteps() {
  const count = before + scored.size;
  document.querySelector("#review-count").textContent = count ? `${count} in this sitting` : "";
  try { sessionStorage.setItem(COUNT, count); } catch { /* it is forgotten with the page */ }
  if (!undo.href) undo.hidden = findScored() < 0;
}

// How far everybody was when the page was opened, and what has been saved since then
const bar = document.querySelector("#review-bar");
const givenBefore = bar?.value;
const fresh = new Set(); // outputs whose scores the page did not count
let isScoredBefore = ""; // the output that came with the page and has a score of this account

function showProgress(output) {
  if (!bar || output === isScoredBefore) return;
  fresh.add(output);
  bar.value = givenBefore + fresh.size; // no more than its maximum
  const given = document.querySelector("#review-given");
  if (given) given.textContent = bar.value.toLocaleString("en-US");
}

function showStatus() {
  const lines = [];
  const said = describeTrouble();
  if (said) lines.push(["notice warn", said]);
  refused.slice(-5).forEach((text) => lines.push(["notice bad", text]));
  if (fetchTrouble) lines.push(["notice bad", fetchTrouble]);
  const all = JSON.stringify(lines);
  if (status.dataset.said === all) return; // it is read aloud once
  status.dataset.said = all;
  status.replaceChildren(...lines.map(([className, text]) => {
    const line = document.createElement("p");
    line.className = className;
    line.textContent = text;
    return line;
  }));
  if (!said || !(isSignedOut || trouble === "other-account")) return;
  const link = document.createElement("a");
  link.href = `${root.dataset.signIn}?next=${encodeURIComponent(location.pathname + location.search)}`;
  link.textContent = "Sign in";
  if (!isStored) link.target = "_blank"; // with this page the scores would go
  status.firstChild.append(" ", link);
}

function describeTrouble() {
  if (!unsaved.size) trouble = "";
  const count = unsaved.size === 1 ? "1 score" : `${unsaved.size} scores`;
  const kept = isStored ? `${unsaved.size === 1 ? "It is" : "They are"} kept in this browser.` : "Leave this page open.";
  if (trouble === "other-account") {
    return `Another account has signed in in this browser. Not saved yet: ${count}. Sign in as before.`;
  }
  if (isSignedOut) return `Your session has ended.${unsaved.size ? ` Not saved yet: ${count}. ${kept}` : ""}`;
  const retried = `Not saved yet, trying again: ${count}. ${kept}`;
  if (trouble === "foreign") {
    return `${retried} Something else answered in place of the server, such as the sign-in page of a network.`;
  }
  return trouble ? retried : "";
}

// What the person does
function findScored() {
  for (let index = isWaiting ? steps.length - 1 : position - 1; index >= 0; index--) if (steps[index].value !== null) return index;
  return -1;
}

root.addEventListener("submit", (event) => {
  event.preventDefault();
  const step = steps[position];
  const form = event.target;
  if (event.submitter?.name === "skip") {
    if (position === steps.length - 1 && step.value === null) skipped.add(step.output);
    showNext();
    return;
  }
  const given = form.elements.comment.value;
  // An empty field says nothing of a comment that the first score has got elsewhere; later it removes the comment
  const comment = given || step.value !== null ? given : undefined;
  step.value = event.submitter?.name === "value" ? event.submitter.value : form.elements.value.value;
  skipped.delete(step.output);
  scored.add(step.output);
  setRecent(step.output, true);
  keep({ output: step.output, value: step.value, comment, url: root.dataset.save, at: Date.now() });
  showNext();
  saving.wake();
  showStatus();
});

document.addEventListener("click", (event) => {
  const step = event.target.closest("[data-step]")?.dataset.step;
  if (!step) return;
  const target = step === "undo" ? findScored() : isWaiting ? steps.length - 1 : position - 1;
  if (target < 0) return; // a link leads to the one that was scored on the page before
  event.preventDefault();
  show(target);
});

root.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && event.target.matches("textarea")) {
    event.preventDefault();
    event.target.blur();
  }
});

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  if (unsaved.size) saving.run();
  if (fetching.timer) fetching.run();
});

// The output that came with the page
const first = slot.querySelector("article");
if (first) {
  if ("scored" in first.dataset) isScoredBefore = first.dataset.output;
  const given = "scored" in first.dataset ? first.querySelector("[name=value][aria-pressed], input[name=value]") : null;
  steps.push({ output: first.dataset.output, article: first, value: given ? given.value : null });
  position = 0;
  const isChosen = new URLSearchParams(location.search).has("output");
  const waiting = [...unsaved.values()].find((each) => each.output === first.dataset.output && each.url === root.dataset.save);
  if (waiting) {
    steps[0].value = waiting.value;
    first.querySelector("[name=comment]").value = waiting.comment ?? "";
    if (isChosen) show(0);
  }
  if (!isChosen && (waiting || recent.includes(first.dataset.output))) showNext();
  fetching.wake();
}
showSteps();
showStatus();
if (unsaved.size) saving.run();
})();
