// What JavaScript adds to the pages: keys, copying, and a question before something is deleted. Everything works without.
"use strict";

// Keys. An element with data-key is clicked by that key, one with data-focus-key gets the focus
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (document.querySelector("dialog[open]")) return;
  const field = event.target.closest("input, textarea, select");
  if (field) {
    if (event.key === "Escape") field.blur();
    return;
  }
  const key = CSS.escape(event.key);
  const target = document.querySelector(`[data-key="${key}"]`);
  const focused = document.querySelector(`[data-focus-key="${key}"]`);
  if (target) target.click();
  if (focused) focused.focus();
  if (target || focused) event.preventDefault();
});

// Copying the text of another element, also of one that came later
const showCopying = () => document.querySelectorAll("[data-copy], [data-copy-text]").forEach((button) => { button.hidden = !navigator.clipboard; });
showCopying();
document.addEventListener("htmx:after:swap", showCopying);
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-text]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copyText ?? document.querySelector(button.dataset.copy).innerText);
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
});

// A part of the page that is fetched anew. What a proxy, or the sign-in page of a network, answers in place of the server
// does not have that part: then the page stays as it is, with what was written into it
const noteFailure = (select, hasFailed) => {
  const part = select && document.querySelector(select);
  if (!part) return;
  document.querySelectorAll("[data-failure]").forEach((note) => note.remove());
  if (!hasFailed) return;
  const note = document.createElement("p");
  note.className = "notice warn";
  note.setAttribute("role", "status");
  note.dataset.failure = "";
  note.textContent = "That could not be fetched, so what follows may be old. Try again, or reload the page.";
  part.before(note);
};
document.addEventListener("htmx:after:request", (event) => {
  const { select, text, hx } = event.detail.ctx;
  if (!select || hx?.redirect) return;
  const hasPart = text.includes(`id="${select.slice(1)}"`);
  if (!hasPart) event.preventDefault();
  noteFailure(select, !hasPart);
});
document.addEventListener("htmx:error", (event) => noteFailure(event.detail.ctx?.select, true));

// Leaving a form with changes that are not saved
const guarded = document.querySelector("form[data-guard]");
if (guarded) {
  const read = () => new URLSearchParams(new FormData(guarded)).toString();
  const before = read();
  let isSent = false;
  guarded.addEventListener("submit", () => { isSent = true; });
  window.addEventListener("beforeunload", (event) => { if (!isSent && read() !== before) event.preventDefault(); });
}

// What was written for one text is the message of the user when the prompt becomes messages, and the other way round
document.addEventListener("change", (event) => {
  if (event.target.name !== "type" || !event.target.form?.elements.message) return;
  const { content, message, role } = event.target.form.elements;
  const rows = message instanceof RadioNodeList ? [...message] : [message];
  const roles = role instanceof RadioNodeList ? [...role] : [role];
  const written = rows.filter((each) => each.value.trim());
  if (event.target.value === "chat" && !written.length) {
    const ofUser = rows.find((each, at) => roles[at].value === "user");
    if (ofUser) ofUser.value = content.value;
  } else if (event.target.value === "text" && written.length === 1) {
    if (roles[rows.indexOf(written[0])].value !== "placeholder") content.value = written[0].value;
  }
});

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

// A button that needs some of the outputs of a list: without JavaScript the server leads back, and the ticks are lost
document.addEventListener("submit", (event) => {
  const { least, most, refusal } = event.submitter?.dataset ?? {};
  if (!refusal) return;
  const count = event.target.querySelectorAll("[name=log]:checked").length;
  const isRefused = count < Number(least) || count > Number(most ?? Infinity);
  event.target.querySelector("[data-refused]").textContent = isRefused ? refusal : "";
  if (isRefused) event.preventDefault();
});

// How many of a list are chosen
document.addEventListener("change", (event) => {
  const label = event.target.form?.querySelector(`[data-count-of="${CSS.escape(event.target.name)}"]`);
  if (!label) return;
  const count = event.target.form.querySelectorAll(`[name="${CSS.escape(event.target.name)}"]:checked`).length;
  label.textContent = count ? `${count} chosen:` : "Chosen ones:";
});

// The token of an invitation stands behind the `#` of its link, which no server sees. A link that is opened where another
// one is open changes the part behind the `#` alone
const tokenField = document.querySelector("[data-from-fragment]");
const takeToken = () => {
  if (location.hash.length < 2) return;
  tokenField.value = location.hash.slice(1);
  if (tokenField.form.hasAttribute("data-send")) tokenField.form.requestSubmit();
};
if (tokenField) {
  takeToken();
  window.addEventListener("hashchange", takeToken);
}

// A button that opens a dialog
document.querySelectorAll("[data-opens]").forEach((button) => {
  button.hidden = false;
  button.addEventListener("click", () => document.querySelector(button.dataset.opens).showModal());
});
