// The images with their masks.  Where each exemplar has a region of its own, the input has a pane for each of these
// masks, and one of them is shown.  Masks live here while they are edited; the server is told after each
// stroke, and does the operations of `lomit.masks`.  `element`, `trigger`, `props` and `watch` come from gr.HTML.

const SIDE = 256; // of a mask, in pixels
const STEPS = 40; // that can be undone
const TINT = [255, 0, 128];
const TITLES = ["Input", "Exemplar", "Second exemplar", "Third exemplar", "Input for exemplar 2", "Input for exemplar 3"];
const SHORT = ["Input", "Exemplar", "Exemplar 2", "Exemplar 3", "Input", "Input"];
const HINTS = ["the face to change", "gives the style", "", "", "the face to change", "the face to change"];
const EXEMPLARS = [1, 2, 3];
const REGION = { 1: 0, 2: 4, 3: 5 }; // exemplar -> the pane of its region in the input
const imageOf = (number) => (number > 3 ? 0 : number); // the pane whose image a pane shows
// Lengths in pixels of the mask; a button pressed again does as much again.
const OPERATIONS = {
  grow: { text: "Grow", key: "+", label: "Grow the mask", step: { do: "grow", radius: 3 } },
  shrink: { text: "Shrink", key: "-", label: "Shrink the mask", step: { do: "shrink", radius: 3 } },
  feather: { text: "Feather", key: "f", label: "Feather the mask's edge", step: { do: "feather", radius: 3 } },
  fill: { text: "Fill holes", key: "h", label: "Fill the mask's holes", step: { do: "fill_holes" } },
  specks: { text: "Drop specks", key: "d", label: "Drop the mask's small specks", step: { do: "drop_specks", area: 150 } },
};
const PATIENCE = 10000; // ms after which an operation is no longer waited for
const WAKE = 2000; // ms after the last gesture
const UNITS = (n) => `${Math.round(n / 2 ** 20)} MB`;

const find = (selector) => element.querySelector(selector);
const make = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};

let threshold = 0;
let active = 0;
let region = 0; // which of the input's panes is shown
const opened = { 1: true, 2: false, 3: false }; // exemplars whose panes are open

class Pane {
  constructor(number) {
    this.number = number;
    this.revision = null;
    this.operation = 0; // of the server's that this mask has seen
    this.until = 0; // when the answer to an operation is no longer waited for
    this.later = []; // what is to be done after that answer
    this.line = []; // of a lasso
    this.mask = this.predicted = null;
    this.undone = [];
    this.done = [];
    this.fingers = new Set(); // pointers that are down on the image
    this.at = { x: SIDE / 2, y: SIDE / 2 };
    const name = TITLES[number];
    const lower = name.toLowerCase();
    const file = make("input", { type: "file", accept: "image/*", className: "file", ariaLabel: `Open an image as ${lower}` });
    file.onchange = () => { this.open(file.files[0]); file.value = ""; };
    const opener = make("label", { className: "button" }, "Open…", file);
    this.closer = make("button", { type: "button", textContent: "×", ariaLabel: `Remove the ${lower}` });
    this.closer.onclick = () => { opened[number] = false; ask({ action: "remove", pane: number }); layout(); };
    this.closer.hidden = imageOf(number) < 2;
    const head = make("header", {}, make("h3", { textContent: SHORT[number] }), make("span", { className: "hint", textContent: HINTS[number] }), this.closer, opener);

    this.image = make("img", { alt: "", draggable: false });
    this.overlay = make("canvas", { width: SIDE, height: SIDE, ariaHidden: "true" });
    this.ring = make("div", { className: "ring", hidden: true });
    this.empty = make("div", { className: "empty" }, make("span", { textContent: "Drop an image here" }),
      make("span", { textContent: "or open one, or take a sample" }));
    this.stage = make("div", { className: "stage", tabIndex: 0 }, this.image, this.overlay, this.ring, this.empty);
    this.stage.setAttribute("role", "application");
    this.stage.setAttribute("aria-label", `Mask of the ${lower}. Arrow keys move the brush, space applies it, ` +
      "E and P choose erase and paint, square brackets its size, Ctrl Z undoes. B, L and S choose brush, lasso and select; " +
      "with the lasso, space adds a corner and enter closes it. Plus grows the mask, minus shrinks it, F feathers its edge, " +
      "H fills holes, D drops specks.");

    const button = (text, action, label) => {
      const b = make("button", { type: "button", textContent: text, ariaLabel: `${label}: ${lower}` });
      b.onclick = action;
      return b;
    };
    this.buttons = {
      undo: button("Undo", () => this.undo(), "Undo the last edit of the mask"),
      redo: button("Redo", () => this.redo(), "Redo the last edit of the mask"),
      invert: button("Invert", () => this.edit(() => this.mask.map((v) => 255 - v)), "Invert the mask"),
      reset: button("Reset", () => this.edit(() => this.predicted.slice()), "Reset the mask to the prediction"),
    };
    this.operations = Object.values(OPERATIONS).map((o) => button(o.text, () => this.operate(o.step), o.label));
    const maskFile = make("input", { type: "file", accept: "image/*", className: "mask-file", ariaLabel: `Load a mask for the ${lower}` });
    maskFile.onchange = () => { this.upload(maskFile.files[0], (told) => this.operated({ action: "load_mask", ...told })); maskFile.value = ""; };
    this.loader = make("label", { className: "button" }, "Load mask…", maskFile);
    this.saver = button("Save mask", () => trigger("save", { what: "mask", pane: number, ...standing() }), "Save the mask");
    this.note = make("p", { className: "note", ariaLive: "polite" });
    this.face = make("select", { ariaLabel: `Face in the ${lower}` });
    this.face.onchange = () => ask({ action: "face", pane: imageOf(number), face: Number(this.face.value) });
    this.samples = make("div", { className: "samples", role: "group", ariaLabel: `Samples for the ${lower}` });
    this.gives = make("div", { className: "gives", role: "group", ariaLabel: `What the ${lower} gives`, hidden: true });
    (props.samples || []).forEach((sample, index) => {
      const b = make("button", { type: "button", title: sample.name, ariaLabel: `Sample as ${lower}: ${sample.name}` },
        make("img", { src: sample.image, alt: "" }));
      b.onclick = () => ask({ action: "sample", pane: imageOf(number), sample: index });
      this.samples.append(b);
    });
    this.root = make("section", { className: "pane", ariaLabel: name }, head, this.stage, this.gives,
      make("div", { className: "row" }, ...Object.values(this.buttons)),
      make("div", { className: "row small" }, ...this.operations, this.loader, this.saver), this.face, this.note, this.samples);
    this.root.dataset.pane = number;
    this.tab = make("button", { type: "button", textContent: SHORT[number], ariaLabel: name });
    this.tab.setAttribute("role", "tab");
    this.tab.onclick = () => { active = number; layout(); };
    this.listen();
  }

  listen() {
    const stage = this.stage;
    stage.addEventListener("pointerdown", (e) => {
      if (e.button || !this.editable) return;
      e.preventDefault();
      this.fingers.add(e.pointerId);
      // Two fingers mean something else than to draw: what the first one has drawn by then is undone.
      if (this.fingers.size > 1) return this.abandon();
      stage.focus({ preventScroll: true });
      if (this.waiting) return;
      stage.setPointerCapture(e.pointerId);
      this.begin();
      this.moveTo(this.point(e));
    });
    stage.addEventListener("pointermove", (e) => {
      this.place(this.point(e));
      if (this.base && this.fingers.has(e.pointerId)) for (const p of e.getCoalescedEvents?.() || [e]) this.moveTo(this.point(p));
    });
    // The browser cancels what it takes for another gesture, or a palm.
    for (const [kind, end] of [["pointerup", "commit"], ["pointercancel", "abandon"]]) {
      stage.addEventListener(kind, (e) => { if (this.fingers.delete(e.pointerId) && this.base) this[end](); });
    }
    stage.addEventListener("pointerleave", () => { this.ring.hidden = document.activeElement !== stage; });
    stage.addEventListener("focus", () => this.place(this.at));
    stage.addEventListener("blur", () => { this.ring.hidden = true; });
    stage.addEventListener("keydown", (e) => this.key(e));
    this.root.addEventListener("dragover", (e) => { e.preventDefault(); this.root.classList.add("over"); });
    this.root.addEventListener("dragleave", () => this.root.classList.remove("over"));
    this.root.addEventListener("drop", (e) => {
      e.preventDefault();
      this.root.classList.remove("over");
      this.open(e.dataTransfer.files[0]);
    });
    this.root.addEventListener("paste", (e) => {
      const file = [...e.clipboardData.files].find((f) => f.type.startsWith("image/"));
      if (file) { e.preventDefault(); this.open(file); }
    });
  }

  get editable() { return this.mask !== null; }

  // Waits for the server's answer to an operation: what is done meanwhile is done after it.
  get waiting() { return performance.now() < this.until; }

  whenReady(action) {
    this.later.push(action);
    while (this.later.length && !this.waiting) this.later.shift()();
  }

  // An operation that the server does, by the functions that Python has.
  operate(step) { this.operated({ action: "operate", step }); }

  operated(told) {
    if (!this.editable) return;
    this.abandon();
    this.whenReady(() => {
      ask({ ...told, pane: this.number });
      this.until = performance.now() + PATIENCE;
    });
  }

  answered() {
    this.until = 0;
    this.whenReady(() => {});
  }

  open(file) { this.upload(file, (told) => ask({ action: "open", pane: imageOf(this.number), ...told })); }

  upload(file, take) {
    if (!file) return;
    if (file.type && !file.type.startsWith("image/")) return alert(`${file.name} is not an image`);
    if (file.size > props.max_bytes) return alert(`${file.name} has ${UNITS(file.size)}; at most ${UNITS(props.max_bytes)} can be opened`);
    const reader = new FileReader();
    reader.onerror = () => alert(`${file.name} can't be read`);
    reader.onload = () => {
      alert("");
      take({ name: file.name, data: reader.result.split(",", 2)[1] || "" });
    };
    reader.readAsDataURL(file);
  }

  // What the server says of this pane.  Masks that are edited here stay unless the image changed.
  async show(told) {
    this.image.hidden = !told.image;
    this.empty.hidden = Boolean(told.image);
    if (told.image) this.image.src = told.image;
    this.image.alt = told.image ? `${TITLES[this.number]}: ${told.name}` : "";
    this.face.hidden = told.faces.length < 2;
    this.face.replaceChildren(...told.faces.map((text, k) =>
      make("option", { value: k, textContent: text, selected: k === told.face })));
    this.told = told.note;
    this.tick(told.gives || []);
    const call = (this.call = {});
    const [mask, predicted] = await Promise.all([pixels(told.mask), pixels(told.predicted)]);
    if (this.call !== call) return;
    const afresh = told.revision !== this.revision;
    const followed = !this.mask || same(this.mask, this.predicted);
    // Not before the masks are there: what is drawn is sent as belonging to this revision.
    const operated = !afresh && told.operation !== this.operation;
    this.revision = told.revision;
    this.operation = told.operation;
    this.predicted = predicted;
    if (afresh) [this.base, this.line, this.later] = [null, [], []]; // they belong to the image before
    if (operated && this.mask && !same(this.mask, mask)) this.undoable(this.mask);
    if (afresh || operated || !predicted || (followed && !this.base)) this.mask = mask;
    if (afresh || !predicted) [this.done, this.undone] = [[], []];
    this.draw();
    if (afresh || operated) this.answered();
  }

  // What an exemplar gives, by name.  Boxes stay where they are the same, so that the keyboard's focus does.
  tick(gives) {
    this.gives.hidden = !gives.length;
    const boxes = [...this.gives.querySelectorAll("input")];
    if (boxes.map((b) => b.value).join() === gives.map((g) => g.name).join()) return boxes.forEach((b, k) => { b.checked = gives[k].on; });
    this.gives.replaceChildren("Gives", ...gives.map(({ name, on }) => {
      const box = make("input", { type: "checkbox", value: name, checked: on });
      box.onchange = () => ask({ action: "give", pane: this.number, name, on: Number(box.checked) });
      return make("label", { className: "tick" }, box, make("span", { textContent: name }));
    }));
  }

  draw() {
    const context = this.overlay.getContext("2d");
    context.clearRect(0, 0, SIDE, SIDE);
    const shown = this.mask && find(".shown").checked;
    let sum = 0;
    if (this.mask) {
      const picture = context.createImageData(SIDE, SIDE);
      for (let i = 0; i < this.mask.length; i++) {
        const m = Math.max(0, (this.mask[i] / 255 - threshold) / (1 - threshold));
        sum += m;
        picture.data.set([...TINT, 165 * m], 4 * i);
      }
      if (shown) context.putImageData(picture, 0, 0);
    }
    if (this.line.length) {
      context.lineWidth = 1.5;
      for (const [style, dash] of [["#000", []], ["#fff", [4, 4]]]) {
        context.strokeStyle = style;
        context.setLineDash(dash);
        context.beginPath();
        this.line.forEach((p) => context.lineTo(p.x, p.y));
        context.stroke();
      }
    }
    const share = `The mask covers ${Math.round((100 * sum) / SIDE ** 2)} %`;
    const edited = this.mask && !same(this.mask, this.predicted) ? ", edited" : "";
    this.note.textContent = [this.mask ? share + edited : "", this.told].filter(Boolean).join(". ");
    this.stage.classList.toggle("editable", this.editable);
    this.buttons.undo.disabled = !this.done.length;
    this.buttons.redo.disabled = !this.undone.length;
    for (const each of [this.buttons.invert, this.saver, ...this.operations]) each.disabled = !this.mask;
    this.loader.classList.toggle("off", !this.mask);
    this.loader.querySelector("input").disabled = !this.mask;
    this.buttons.reset.disabled = !edited;
  }

  point(e) {
    const box = this.stage.getBoundingClientRect();
    return { x: ((e.clientX - box.left) / box.width) * SIDE, y: ((e.clientY - box.top) / box.height) * SIDE };
  }

  place(p) {
    this.at = p;
    const share = (v) => `${(100 * v) / SIDE}%`;
    const across = share(tool() === "brush" ? 2 * radius() : 5);
    Object.assign(this.ring.style, { left: share(p.x), top: share(p.y), width: across, height: across });
    this.ring.hidden = !this.editable;
  }

  // One stroke covers each pixel once, however often the brush passes over it.
  begin() {
    this.base = this.mask.slice();
    this.cover = new Float32Array(SIDE * SIDE);
    this.last = null;
    this.line = [];
  }

  moveTo(p) {
    if (tool() !== "brush") {
      if (tool() === "lasso" && (!this.last || Math.hypot(p.x - this.last.x, p.y - this.last.y) >= 1)) this.line.push(this.last = p);
      this.at = p;
      return this.draw();
    }
    const from = this.last || p;
    const count = Math.max(1, Math.ceil(Math.hypot(p.x - from.x, p.y - from.y) / Math.max(1, radius() / 4)));
    for (let k = 1; k <= count; k++) this.dab(from.x + ((p.x - from.x) * k) / count, from.y + ((p.y - from.y) * k) / count);
    this.last = p;
    this.draw();
  }

  dab(x, y) {
    const r = radius();
    const soft = find(".soft").checked;
    const value = painting() ? 255 : 0;
    for (let j = Math.max(0, Math.floor(y - r)); j <= Math.min(SIDE - 1, y + r); j++) {
      for (let i = Math.max(0, Math.floor(x - r)); i <= Math.min(SIDE - 1, x + r); i++) {
        const d = Math.hypot(i + 0.5 - x, j + 0.5 - y);
        if (d >= r) continue;
        const cover = soft ? 0.5 + 0.5 * Math.cos((Math.PI * Math.max(0, d - r / 3)) / (r - r / 3)) : Math.min(1, r - d);
        const at = j * SIDE + i;
        if (cover <= this.cover[at]) continue;
        this.cover[at] = cover;
        this.mask[at] = Math.round(this.base[at] + (value - this.base[at]) * cover);
      }
    }
  }

  // Ends what the pointer began.
  commit() {
    const [before, line] = [this.base, this.line];
    [this.base, this.line] = [null, []];
    if (tool() === "lasso") return this.enclose(line);
    if (tool() === "select") return this.select();
    if (!same(before, this.mask)) this.remember(before);
  }

  select() {
    this.operate({ do: "select", at: shares(this.at), alike: Number(find(".alike").value), erase: !painting() });
  }

  enclose(line) {
    this.draw();
    if (line.length > 2) this.operate({ do: "lasso", points: line.map(shares), erase: !painting() });
  }

  // Ends a stroke and undoes it.
  abandon() {
    this.line = [];
    if (!this.base) return;
    this.mask = this.base;
    this.base = null;
    this.draw();
  }

  edit(next) {
    this.abandon();
    this.whenReady(() => {
      const before = this.mask;
      this.mask = next();
      if (!same(before, this.mask)) this.remember(before);
    });
  }

  remember(before) {
    this.undoable(before);
    this.send();
  }

  undoable(before) {
    this.done.push(before);
    if (this.done.length > STEPS) this.done.shift();
    this.undone = [];
  }

  undo() { this.step("done", "undone"); }

  redo() { this.step("undone", "done"); }

  step(from, to) {
    this.abandon();
    this.whenReady(() => {
      if (!this[from].length) return;
      this[to].push(this.mask);
      this.mask = this[from].pop();
      this.send();
    });
  }

  send() {
    this.draw();
    trigger("stroke", { masks: drawn() });
  }

  // The mask as the server takes it; null for the prediction.
  sent() { return same(this.mask, this.predicted) ? null : encoded(this.mask); }

  key(e) {
    if (!this.editable) return;
    const far = e.shiftKey ? 24 : 6;
    const moves = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] };
    const inside = (v) => Math.min(SIDE, Math.max(0, v));
    if (moves[e.key]) {
      this.place({ x: inside(this.at.x + moves[e.key][0]), y: inside(this.at.y + moves[e.key][1]) });
    } else if (tool() === "lasso" && e.key === " ") {
      this.line.push({ ...this.at });
      this.draw();
    } else if (tool() === "lasso" && e.key === "Enter") {
      this.enclose(this.line.splice(0));
    } else if (e.key === "Escape" && this.line.length) {
      this.abandon();
      this.draw();
    } else if (e.key === " " || e.key === "Enter") {
      if (this.waiting) return;
      this.begin();
      this.moveTo(this.at);
      this.commit();
    } else if (e.key.toLowerCase() === "z" && (e.ctrlKey || e.metaKey)) {
      e.shiftKey ? this.redo() : this.undo();
    } else if (e.ctrlKey || e.metaKey || e.altKey) {
      return;
    } else if (e.key === "[" || e.key === "]") {
      find(".radius").value = radius() + (e.key === "]" ? 3 : -3);
      this.place(this.at);
    } else if (e.key === "e" || e.key === "p") {
      find(`input[value=${e.key === "e" ? "erase" : "paint"}]`).checked = true;
    } else if (TOOLS[e.key]) {
      find(`input[value=${TOOLS[e.key]}]`).click();
      this.place(this.at);
    } else if (Object.values(OPERATIONS).some((o) => o.key === e.key)) {
      this.operate(Object.values(OPERATIONS).find((o) => o.key === e.key).step);
    } else return;
    e.preventDefault();
  }
}

const TOOLS = { b: "brush", l: "lasso", s: "select" };
const tool = () => find("input[name=lomit-tool]:checked").value;
const painting = () => find("input[name=lomit-brush]:checked").value === "paint";
const shares = (p) => [p.x, p.y].map((v) => Math.min(1, Math.max(0, v / SIDE)));
const radius = () => Number(find(".radius").value);
const same = (a, b) => Boolean(a && b) && a.every((v, i) => v === b[i]);

// What is drawn: masks of all panes, because of several strokes that wait for an answer only the last one is sent.
function drawn() {
  return panes.filter((pane) => pane.mask && pane.predicted)
    .map((pane) => ({ pane: pane.number, revision: pane.revision, operation: pane.operation, mask: pane.sent() }));
}

// How masks and sliders stand in the page.
const standing = () => ({ masks: drawn(), settings: props.value?.settings });

function ask(told) {
  trigger("act", { ...told, ...standing() });
}

// Gradio (6.31) closes its stream of answers when the last one is in, also where another event was sent meanwhile: that one's
// answer would lie on the server until something else is asked for.
let waking = 0;

function wake() {
  clearTimeout(waking);
  waking = setTimeout(() => trigger("wake"), WAKE);
}

function alert(text) {
  find(".alert").textContent = text || "";
  find(".alert").hidden = !text;
}

function encoded(mask) {
  const canvas = make("canvas", { width: SIDE, height: SIDE });
  const context = canvas.getContext("2d");
  const picture = context.createImageData(SIDE, SIDE);
  mask.forEach((v, i) => picture.data.set([v, v, v, 255], 4 * i));
  context.putImageData(picture, 0, 0);
  return canvas.toDataURL("image/png").split(",", 2)[1];
}

async function pixels(source) {
  if (!source) return null;
  const image = make("img", { src: source });
  await image.decode();
  const canvas = make("canvas", { width: SIDE, height: SIDE });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, SIDE, SIDE);
  return context.getImageData(0, 0, SIDE, SIDE).data.filter((_, i) => i % 4 === 0);
}

const panes = TITLES.map((_, number) => new Pane(number));
const ordered = [0, 4, 5, 1, 2, 3].map((number) => panes[number]);
find(".panes").append(...ordered.map((pane) => pane.root));
find(".tabs").append(...panes.map((pane) => pane.tab));
find(".regions").append(...EXEMPLARS.map((number) => {
  const input = make("input", { type: "radio", name: "lomit-region", value: REGION[number], checked: number === 1 });
  input.onchange = () => { region = REGION[number]; active = 0; layout(); };
  return make("label", {}, input, make("span", { textContent: number === 1 ? "Exemplar 1" : `Exemplar ${number}` }));
}));

function layout() {
  const told = props.value || {};
  const given = EXEMPLARS.filter((number) => told.panes?.[number].image);
  if (!told.composing) region = 0;
  else if (!given.some((number) => REGION[number] === region)) region = REGION[given[0]];
  if (active && !opened[active]) active = 1;
  panes.forEach((pane) => {
    const shown = imageOf(pane.number) ? opened[pane.number] : pane.number === region;
    pane.root.hidden = !shown;
    pane.tab.hidden = pane.number > 3 || Boolean(pane.number && !shown);
    pane.root.classList.toggle("active", imageOf(pane.number) === active);
    pane.tab.setAttribute("aria-selected", String(pane.number === active));
  });
  const count = EXEMPLARS.filter((number) => opened[number]).length;
  ["three", "four"].forEach((name, k) => find(".panes").classList.toggle(name, count === k + 2));
  const most = told.can_compose ? 3 : told.can_blend ? 2 : 1;
  find(".more").hidden = count >= most;
  find(".sharing").hidden = !told.can_compose || given.length < 2;
  find(".regions").hidden = find(".region-label").hidden = !told.composing;
  find(".regions").querySelectorAll("label").forEach((label, k) => {
    label.hidden = !given.includes(EXEMPLARS[k]);
    label.firstChild.checked = REGION[EXEMPLARS[k]] === region;
  });
  find("input[value=blend]").disabled = given.length > 2;
  find(`input[value=${told.composing ? "compose" : "blend"}]`).checked = true;
  find(".sharing .hint").textContent = !told.composing ? "" : told.named
    ? "Tick what each exemplar gives, or paint its region: on the input and on the exemplar."
    : "Erase from each exemplar's region what the others shall give: on the input and on the exemplar.";
}

find(".more").onclick = () => {
  active = EXEMPLARS.find((number) => !opened[number]);
  opened[active] = true;
  layout();
  panes[active].root.scrollIntoView({ block: "nearest" });
};
element.querySelectorAll("input[name=lomit-sharing]").forEach((input) => {
  input.onchange = () => ask({ action: "compose", on: Number(input.value === "compose") });
});
find(".swap").onclick = () => ask({ action: "swap" });
find(".shown").onchange = () => panes.forEach((pane) => pane.draw());
window.addEventListener("lomit-ask", (e) => Object.assign(e.detail, standing()));
element.querySelectorAll("input[name=lomit-tool]").forEach((input) => { input.onchange = tooled; });

function tooled() {
  element.querySelectorAll("[data-of]").forEach((each) => { each.hidden = each.dataset.of !== tool(); });
  panes.forEach((pane) => { pane.abandon(); pane.draw(); });
}
for (const gesture of ["click", "pointerup", "keyup", "input"]) window.addEventListener(gesture, wake, true);
window.addEventListener("lomit-threshold", (e) => { threshold = e.detail; panes.forEach((pane) => pane.draw()); });

async function update() {
  const told = props.value;
  if (!told) return;
  threshold = told.threshold;
  for (const [number, can] of [[2, told.can_blend], [3, told.can_compose]]) {
    opened[number] = can && (opened[number] || Boolean(told.panes[number].image));
  }
  alert(told.alert);
  if (told.alert) panes.forEach((pane) => pane.answered()); // what was asked for is not done
  find(".about").textContent = told.about;
  find(".tools").classList.toggle("off", !told.has_masks);
  element.querySelectorAll(".tools input").forEach((input) => { input.disabled = !told.has_masks; });
  find(".swap").disabled = !told.panes[0].image || !told.panes[1].image;
  layout();
  await Promise.all(panes.map((pane) => pane.show(told.panes[pane.number])));
}

watch("value", update);
tooled();
update();
