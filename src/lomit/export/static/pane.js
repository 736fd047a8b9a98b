// The input or the exemplar: a picture, the square on its face, and the mask on that square.

import { Mask } from "./mask.js";

const TINT = [255, 0, 128];
const LEAST = 16; // pixels of the smallest square
const MOST = 8; // sides of the largest square, in longer sides of the picture

export const make = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};

// The colours of a file, turned as its EXIF block says, in sRGB.
async function decoded(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image", premultiplyAlpha: "none" });
  } catch {
    throw new Error(`${file.name || "This"} can't be read as a picture. Save it as JPEG, PNG or WebP.`);
  }
  const canvas = make("canvas", { width: bitmap.width, height: bitmap.height });
  const tooLarge = () => new Error(`${bitmap.width} x ${bitmap.height} pixels are more than this browser can hold. Make the picture smaller.`);
  try {
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    // Browsers leave a canvas empty that is too large for them.
    if (!data.some((v) => v)) throw tooLarge();
    return { canvas, picture: { width: canvas.width, height: canvas.height, data } };
  } catch {
    throw tooLarge();
  }
}

export class Pane {
  // `told` has about, brush() -> { mode, radius, shown }, alert(text), and on(pane, what) for "picture", "face", "mask".
  constructor(number, told) {
    Object.assign(this, { number, told, canvas: null, face: null, at: null, fingers: new Map() });
    const { about } = told;
    this.mask = new Mask(about.size);
    const name = ["Input", "Exemplar"][number];
    const lower = name.toLowerCase();
    this.file = make("input", { type: "file", accept: "image/*", className: "file", ariaLabel: `Open a picture as ${lower}` });
    this.file.onchange = () => { this.open(this.file.files[0]); this.file.value = ""; };
    this.view = make("canvas", { ariaHidden: "true" });
    this.overlay = make("canvas", { width: about.size, height: about.size, className: "mask", ariaHidden: "true" });
    this.ring = make("div", { className: "ring", hidden: true });
    this.guide = this.guideLines();
    this.empty = make("div", { className: "empty" }, make("span", { textContent: "Drop a picture here" }), make("span", { textContent: "or open one" }));
    this.stage = make("div", { className: "stage", tabIndex: 0 }, this.view, this.overlay, this.guide, this.ring, this.empty);
    this.stage.setAttribute("role", "application");
    this.stage.setAttribute("aria-label", `The face in the ${lower}. While placing, arrow keys move it, plus and minus scale it, 0 ` +
      "takes the centre. While painting, arrow keys move the brush, space applies it, square brackets set its size, Control Z undoes.");
    const button = (text, label, action) => make("button", { type: "button", textContent: text, ariaLabel: `${label}: ${lower}`, onclick: action });
    this.buttons = {
      smaller: button("−", "Scale down", () => this.zoom(1.08)),
      larger: button("+", "Scale up", () => this.zoom(1 / 1.08)),
      undo: button("Undo", "Undo the last stroke", () => this.change(() => this.mask.undo())),
      reset: button("Reset mask", "Back to the predicted mask", () => this.change(() => this.mask.reset())),
    };
    if (!about.hasMasks) this.buttons.undo.hidden = this.buttons.reset.hidden = true;
    this.note = make("p", { className: "note", ariaLive: "polite" });
    this.samples = make("div", { className: "samples", role: "group", ariaLabel: `Samples for the ${lower}` });
    about.samples.forEach((sample) => {
      const pick = make("button", { type: "button", ariaLabel: `${sample.name} as ${lower}` }, make("img", { src: sample.url, alt: "" }));
      pick.onclick = () => this.sample(sample);
      this.samples.append(pick);
    });
    this.root = make("section", { className: "pane", ariaLabel: name },
      make("header", {}, make("h2", { textContent: name }), make("span", { className: "hint", textContent: ["the face to change", "gives the style"][number] }),
        make("label", { className: "button" }, "Open…", this.file)),
      this.stage, make("div", { className: "row" }, ...Object.values(this.buttons)), this.note, this.samples);
    this.listen();
    this.draw();
  }

  // Where the eyes and the nose of a face lie in the square.
  guideLines() {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 100 100");
    svg.setAttribute("class", "guide");
    svg.setAttribute("aria-hidden", "true");
    if (!this.told.about.template) return svg;
    const [[ax, ay], [bx, by], [cx, cy], [dx, dy], [nx, ny]] = this.told.about.template.map((point) => point.map((v) => 100 * v));
    const eye = (x1, y1, x2, y2) => `M${x1} ${y1}Q${(x1 + x2) / 2} ${Math.min(y1, y2) - 4} ${x2} ${y2}Q${(x1 + x2) / 2} ${Math.max(y1, y2) + 3} ${x1} ${y1}`;
    for (const kind of ["dark", "light"]) {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", `${eye(ax, ay, bx, by)}${eye(cx, cy, dx, dy)}M${nx - 5} ${ny}Q${nx} ${ny + 3} ${nx + 5} ${ny}`);
      path.setAttribute("class", kind);
      svg.append(path);
    }
    return svg;
  }

  async open(file) {
    if (!file) return;
    const call = (this.call = {});
    try {
      const { canvas, picture } = await decoded(file);
      if (this.call !== call) return;
      Object.assign(this, { canvas, width: picture.width, height: picture.height });
      this.mask.clear();
      this.centre();
      this.told.alert("");
      this.told.on(this, "picture", picture);
      this.draw();
    } catch (error) {
      this.told.alert(error.message);
    }
  }

  async sample({ url, name }) {
    const [, data] = url.split(",", 2);
    await this.open(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name, { type: "image/png" }));
  }

  centre() {
    const side = Math.min(this.width, this.height);
    this.face = { left: (this.width - side) / 2, top: (this.height - side) / 2, side };
  }

  // Puts the square elsewhere; its centre stays on the picture.  The predicted mask goes with the face, a painted one too.
  place(left, top, side) {
    const most = MOST * Math.max(this.width, this.height);
    side = Math.min(most, Math.max(LEAST, side));
    left = Math.min(this.width, Math.max(0, left + side / 2)) - side / 2;
    top = Math.min(this.height, Math.max(0, top + side / 2)) - side / 2;
    this.face = { left, top, side };
    this.draw();
    this.told.on(this, "face");
  }

  // Scales the square about a place in it, in shares of its side.
  zoom(factor, at = { x: 0.5, y: 0.5 }) {
    if (!this.canvas) return;
    const { left, top, side } = this.face;
    const next = Math.min(MOST * Math.max(this.width, this.height), Math.max(LEAST, side * factor));
    this.place(left + at.x * (side - next), top + at.y * (side - next), next);
  }

  change(edit) {
    if (!this.mask.data) return;
    edit();
    this.draw();
    this.told.on(this, "mask");
  }

  predict(values) {
    if (values) this.mask.predict(values);
    this.draw();
  }

  get placing() { return this.told.brush().mode === "place" || !this.mask.data; }

  listen() {
    const { stage } = this;
    stage.addEventListener("pointerdown", (e) => {
      if (e.button || !this.canvas) return;
      e.preventDefault();
      stage.focus({ preventScroll: true });
      stage.setPointerCapture(e.pointerId);
      this.fingers.set(e.pointerId, this.point(e));
      if (this.fingers.size > 1) this.mask.abandon(); // two fingers place the face, whatever the mode
      else if (!this.placing) { this.mask.begin(); this.paint(this.point(e)); }
    });
    stage.addEventListener("pointermove", (e) => {
      const at = this.point(e);
      this.showRing(at);
      const before = this.fingers.get(e.pointerId);
      if (!before) return;
      if (this.mask.base) {
        for (const each of e.getCoalescedEvents?.() ?? [e]) this.paint(this.point(each));
      } else if (this.placing || this.fingers.size > 1) {
        this.drag(e.pointerId, before, at);
      }
      this.fingers.set(e.pointerId, at);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      stage.addEventListener(kind, (e) => {
        if (!this.fingers.delete(e.pointerId) || !this.mask.base) return;
        this.change(() => (kind === "pointerup" ? this.mask.commit() : this.mask.abandon()));
      });
    }
    stage.addEventListener("wheel", (e) => {
      if (!this.canvas || !this.placing) return;
      e.preventDefault();
      this.zoom(Math.exp(Math.sign(e.deltaY) * Math.min(0.2, Math.abs(e.deltaY) / 500)), this.point(e));
    }, { passive: false });
    stage.addEventListener("pointerleave", () => { this.ring.hidden = document.activeElement !== stage || this.placing; });
    stage.addEventListener("focus", () => this.showRing(this.at || { x: 0.5, y: 0.5 }));
    stage.addEventListener("blur", () => { this.ring.hidden = true; });
    stage.addEventListener("keydown", (e) => this.key(e));
    this.root.addEventListener("dragover", (e) => { e.preventDefault(); this.root.classList.add("over"); });
    this.root.addEventListener("dragleave", () => this.root.classList.remove("over"));
    this.root.addEventListener("drop", (e) => {
      e.preventDefault();
      this.root.classList.remove("over");
      this.open(e.dataTransfer.files[0]);
    });
    this.root.addEventListener("paste", (e) => this.open([...e.clipboardData.files].find((file) => file.type.startsWith("image/"))));
    new ResizeObserver(() => this.draw()).observe(stage);
  }

  // Moves by one finger; with a second one that stays, scales about the middle between them.
  drag(id, from, to) {
    const { left, top, side } = this.face;
    const other = [...this.fingers].find(([each]) => each !== id)?.[1];
    if (!other) return this.place(left - (to.x - from.x) * side, top - (to.y - from.y) * side, side);
    const far = (p) => Math.max(0.02, Math.hypot(p.x - other.x, p.y - other.y));
    const next = Math.min(MOST * Math.max(this.width, this.height), Math.max(LEAST, (side * far(from)) / far(to)));
    const middle = (p) => ({ x: (p.x + other.x) / 2, y: (p.y + other.y) / 2 });
    this.place(left + middle(from).x * side - middle(to).x * next, top + middle(from).y * side - middle(to).y * next, next);
  }

  paint(at) {
    const { radius, mode } = this.told.brush();
    const size = this.mask.size;
    this.mask.moveTo({ x: at.x * size, y: at.y * size }, radius * size, mode === "paint");
    this.draw();
  }

  // As shares of the stage's side.
  point(e) {
    const box = this.stage.getBoundingClientRect();
    return { x: (e.clientX - box.left) / box.width, y: (e.clientY - box.top) / box.height };
  }

  showRing(at) {
    this.at = at;
    const across = `${200 * this.told.brush().radius}%`;
    Object.assign(this.ring.style, { left: `${100 * at.x}%`, top: `${100 * at.y}%`, width: across, height: across });
    this.ring.hidden = this.placing;
  }

  key(e) {
    if (!this.canvas) return;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
    const share = e.shiftKey ? 0.1 : 0.02;
    const { left, top, side } = this.face;
    if (e.key.toLowerCase() === "z" && (e.ctrlKey || e.metaKey)) {
      this.change(() => (e.shiftKey ? this.mask.redo() : this.mask.undo()));
    } else if (e.ctrlKey || e.metaKey || e.altKey) {
      return;
    } else if (this.placing) {
      // The picture moves as it does under a finger.
      if (steps) this.place(left - steps[0] * share * side, top - steps[1] * share * side, side);
      else if (e.key === "+" || e.key === "=") this.zoom(1 / 1.04);
      else if (e.key === "-") this.zoom(1.04);
      else if (e.key === "0") { this.centre(); this.place(this.face.left, this.face.top, this.face.side); }
      else return;
    } else if (steps) {
      const at = this.at || { x: 0.5, y: 0.5 };
      this.showRing({ x: Math.min(1, Math.max(0, at.x + steps[0] * share)), y: Math.min(1, Math.max(0, at.y + steps[1] * share)) });
    } else if (e.key === " " || e.key === "Enter") {
      this.mask.begin();
      this.paint(this.at || { x: 0.5, y: 0.5 });
      this.change(() => this.mask.commit());
    } else if (e.key === "[" || e.key === "]") {
      this.told.resize(e.key === "]" ? 1 : -1);
      this.showRing(this.at || { x: 0.5, y: 0.5 });
    } else return;
    e.preventDefault();
  }

  draw() {
    const { shown, mode } = this.told.brush();
    const { mask } = this;
    const pixels = Math.max(1, Math.round(this.stage.clientWidth * (window.devicePixelRatio || 1)));
    if (this.view.width !== pixels) this.view.width = this.view.height = pixels;
    const context = this.view.getContext("2d");
    context.clearRect(0, 0, pixels, pixels);
    this.empty.hidden = Boolean(this.canvas);
    this.guide.style.display = this.canvas && mode === "place" ? "" : "none";
    this.stage.classList.toggle("painting", !this.placing);
    if (this.canvas) {
      const { left, top, side } = this.face;
      const scale = pixels / side;
      context.imageSmoothingQuality = "high";
      context.drawImage(this.canvas, -left * scale, -top * scale, this.width * scale, this.height * scale);
    }
    const tint = this.overlay.getContext("2d");
    tint.clearRect(0, 0, mask.size, mask.size);
    let sum = 0;
    if (mask.data) {
      const picture = tint.createImageData(mask.size, mask.size);
      mask.data.forEach((v, i) => { sum += v; picture.data.set([...TINT, 0.6 * v], 4 * i); });
      if (shown) tint.putImageData(picture, 0, 0);
      this.note.textContent = `The mask covers ${Math.round(sum / 2.55 / mask.data.length)} %${mask.edited ? ", edited" : ""}.`;
    } else {
      this.note.textContent = "";
    }
    for (const each of ["smaller", "larger"]) this.buttons[each].disabled = !this.canvas;
    this.buttons.undo.disabled = !mask.done.length;
    this.buttons.reset.disabled = !mask.edited;
  }
}
