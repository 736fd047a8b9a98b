// A mask that is painted: S x S bytes beside the predicted ones, with what can be undone.

const STEPS = 40; // that can be undone
const same = (a, b) => Boolean(a && b) && a.every((v, i) => v === b[i]);

export class Mask {
  constructor(size) {
    this.size = size;
    this.clear();
  }

  clear() {
    this.data = this.predicted = this.base = null;
    this.done = [];
    this.undone = [];
  }

  // A prediction takes the mask's place unless a person painted it.
  predict(values) {
    if (!this.edited && !this.base) this.data = values.slice();
    this.predicted = values;
  }

  get edited() { return Boolean(this.data && this.predicted) && !same(this.data, this.predicted); }

  // The values to use in place of the prediction, or null.
  get given() { return this.edited ? this.data : null; }

  // One stroke covers each pixel once, however often the brush passes over it.
  begin() {
    this.base = this.data.slice();
    this.cover = new Float32Array(this.data.length);
    this.last = null;
  }

  // Goes on to a place, in pixels of the mask.
  moveTo(at, radius, paint) {
    const from = this.last || at;
    const count = Math.max(1, Math.ceil(Math.hypot(at.x - from.x, at.y - from.y) / Math.max(0.5, radius / 4)));
    for (let k = 1; k <= count; k++) {
      this.dab(from.x + ((at.x - from.x) * k) / count, from.y + ((at.y - from.y) * k) / count, radius, paint ? 255 : 0);
    }
    this.last = at;
  }

  // Full in the inner third, then fading out.
  dab(x, y, radius, value) {
    const last = this.size - 1;
    for (let j = Math.max(0, Math.floor(y - radius)); j <= Math.min(last, y + radius); j++) {
      for (let i = Math.max(0, Math.floor(x - radius)); i <= Math.min(last, x + radius); i++) {
        const far = Math.hypot(i + 0.5 - x, j + 0.5 - y);
        const cover = far < radius ? 0.5 + 0.5 * Math.cos((Math.PI * Math.max(0, far - radius / 3)) / (radius - radius / 3)) : 0;
        const at = j * this.size + i;
        if (cover <= this.cover[at]) continue;
        this.cover[at] = cover;
        this.data[at] = Math.round(this.base[at] + (value - this.base[at]) * cover);
      }
    }
  }

  commit() {
    const before = this.base;
    this.base = null;
    if (!same(before, this.data)) this.remember(before);
  }

  // Ends a stroke and undoes it.
  abandon() {
    if (this.base) [this.data, this.base] = [this.base, null];
  }

  reset() {
    this.abandon();
    if (!this.edited) return;
    this.remember(this.data);
    this.data = this.predicted.slice();
  }

  remember(before) {
    this.done.push(before);
    if (this.done.length > STEPS) this.done.shift();
    this.undone = [];
  }

  undo() { this.step(this.done, this.undone); }

  redo() { this.step(this.undone, this.done); }

  step(from, to) {
    this.abandon();
    if (!from.length) return;
    to.push(this.data);
    this.data = from.pop();
  }
}
