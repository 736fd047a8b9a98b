// The page: two panes, the worker that translates, and the result.

import about from "./about.js";
import { Pane, make } from "./pane.js";

const find = (selector) => document.querySelector(selector);
const WAIT = 120; // milliseconds after a face moved, before it is translated

// What check.js said, and what fail() says, stays.
let broken = !find("#alert").hidden;

function alert(text) {
  if (broken) return;
  find("#alert").textContent = text;
  find("#alert").hidden = !text;
}

// Nothing can be translated any more.
function fail(text) {
  alert(text);
  broken = true;
  say("");
}

// Asks the worker; answers come back by their number.
const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
const asked = new Map();
worker.onmessage = ({ data: { id, error, ...answer } }) => {
  const { resolve, reject } = asked.get(id);
  asked.delete(id);
  if (error) reject(new Error(error));
  else resolve(answer);
};
worker.onerror = (e) => {
  e.preventDefault();
  fail(`The page's files are damaged or missing (${e.message || "worker.js"}). Reload it, or export the page again.`);
};
let count = 0;
function ask(task, given = {}, transfer = []) {
  return new Promise((resolve, reject) => {
    asked.set(++count, { resolve, reject });
    worker.postMessage({ id: count, task, ...given }, transfer);
  });
}

const told = {
  about,
  alert,
  brush: () => ({
    mode: find("input[name=mode]:checked").value,
    radius: Number(find("#radius").value) / 200, // a share of the square's side
    shown: find("#shown").checked,
  }),
  resize(by) { find("#radius").value = Number(find("#radius").value) + 2 * by; },
  on(pane, what, picture) {
    if (what === "picture") {
      ask("picture", { slot: pane.number, picture }, [picture.data.buffer]).catch((error) => alert(error.message));
      if (pane.number === 0) show(null);
    }
    if (what !== "mask") forget();
    later(what === "face" ? WAIT : 0);
  },
};
const panes = [0, 1].map((number) => new Pane(number, told));

// Predicted masks belong to two faces: a new one has new ones.  What a person painted stays.
function forget() {
  panes.forEach((pane) => {
    if (!pane.mask.edited) pane.mask.clear();
    pane.draw();
  });
}

// For each attribute whether it is moved, or null to leave it to the model.
function moved() {
  const ticked = about.moves.filter((_, k) => find(`#move${k}`).checked).flatMap((move) => move.of);
  return ticked.length ? about.attributes.map((_, k) => Number(ticked.includes(k))) : null;
}

let timer, ready = false, busy = false, again = false;
function later(wait) {
  again = busy; // what is on its way is out of date
  clearTimeout(timer);
  timer = setTimeout(translate, wait);
}

// Translates what the panes show; what changes meanwhile is translated after it.
async function translate() {
  clearTimeout(timer);
  if (!ready || panes.some((pane) => !pane.canvas)) return;
  if (busy) { again = true; return; }
  [busy, again] = [true, false];
  say("Translating …");
  const start = performance.now();
  try {
    const answer = await ask("translate", { faces: panes.map((pane) => pane.face), masks: panes.map((pane) => pane.mask.given), moved: moved() });
    if (!again) {
      panes.forEach((pane, k) => pane.predict(answer.predicted[k]));
      show(answer);
      say(`${answer.width} x ${answer.height} pixels, in ${((performance.now() - start) / 1000).toFixed(1)} s.`);
      alert("");
      offline();
    }
  } catch (error) {
    alert(error.message);
    say("");
  }
  busy = false;
  if (again) translate();
}

function say(text) {
  find("#status").textContent = text;
}

function show(result) {
  const [before, after] = [find("#before"), find("#after")];
  find("#frame").classList.toggle("full", Boolean(result));
  find("#save").disabled = find("#divider").disabled = !result;
  if (!result) return;
  for (const canvas of [before, after]) Object.assign(canvas, { width: result.width, height: result.height });
  before.getContext("2d").drawImage(panes[0].canvas, 0, 0);
  after.getContext("2d").putImageData(new ImageData(result.data, result.width, result.height), 0, 0);
  divide();
}

function divide() {
  const at = find("#divider").value;
  find("#before").style.clipPath = `inset(0 ${100 - at}% 0 0)`;
  Object.assign(find("#line").style, { left: `${at}%`, display: at === "0" ? "none" : "" });
}

// On a narrow screen one of the panes is shown.
function tab() {
  panes.forEach((pane) => pane.root.classList.toggle("active", String(pane.number) === find("input[name=tab]:checked").value));
}

function save() {
  find("#after").toBlob((blob) => {
    if (!blob) return alert("There is not enough memory to save this picture. Close other pages, or take a smaller picture.");
    const link = make("a", { href: URL.createObjectURL(blob), download: "lomit.png" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }, "image/png");
}

// After the first result, so that nothing delays it: keeps the page's files for when there is no network.
let registered = false;
async function offline() {
  if (registered || !navigator.serviceWorker) return;
  registered = true;
  try {
    await navigator.serviceWorker.register("./sw.js");
    await navigator.serviceWorker.ready;
    find("#offline").textContent = "It also works without a network.";
  } catch {
    // A private window, or a host without https: the page works all the same.
  }
}

document.title = `${about.name} · lomit`;
find("#name").textContent = about.name;
find("#summary").textContent = about.summary;
find("#terms").textContent = about.terms || "The model's card says none.";
find("#card").hidden = !about.card;
if (about.card) find("#card").href = about.card;
find("#credits").hidden = !about.credits.length;
about.credits.forEach((credit, k) => find("#credits").append(k ? "; " : "", make("a", { href: credit.source_url, textContent: credit.source }),
  " by ", make("a", { href: credit.creator_url, textContent: credit.creator }), " (", make("a", { href: credit.license_url, textContent: credit.license }),
  `), changed: ${credit.changes}`));
find("#moves").hidden = !about.moves.length;
about.moves.forEach((move, k) => find("#moves").append(make("label", {}, make("input", { type: "checkbox", id: `move${k}` }), move.name)));
find("#moves").onchange = () => { forget(); later(0); };
if (about.moves.length) find("#moves").append(make("span", { className: "hint", textContent: "none ticked: what the model takes for different" }));
// Without masks there is nothing to paint: what is left is to place and to swap.
document.querySelectorAll("#tools > :not(#swap)").forEach((each) => { each.hidden = !about.hasMasks; });
find("#panes").prepend(...panes.map((pane) => pane.root));
find("#divider").oninput = divide;
find("#save").onclick = save;
find("#tools").onchange = () => panes.forEach((pane) => pane.draw());
find("#swap").onclick = () => {
  if (panes.some((pane) => !pane.canvas)) return;
  ask("swap").catch((error) => alert(error.message));
  const [a, b] = panes.map(({ canvas, width, height, face, mask }) => ({ canvas, width, height, face, mask }));
  Object.assign(panes[0], b);
  Object.assign(panes[1], a);
  show(null);
  forget();
  later(0);
};
document.querySelectorAll("input[name=tab]").forEach((input) => { input.onchange = tab; });
tab();
// A picture that is dropped beside the panes must not take the page's place.
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (e) => e.preventDefault());

show(null);
if (!broken) {
  say("Loading the model …");
  if (about.samples.length) panes.forEach((pane, k) => pane.sample(about.samples[k]));
  ask("load", { about }).then(() => {
    ready = true;
    say(panes.some((pane) => !pane.canvas) ? "Open two pictures." : "");
    translate();
  }, (error) => fail(error.message));
}
