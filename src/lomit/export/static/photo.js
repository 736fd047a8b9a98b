// The mathematics of lomit.photo for a face whose crop is an upright square: `align` and `paste`, with Pillow's way of
// resampling, so that a page gives the picture that Python gives.  Pictures are { width, height, data: RGBA of 8 bits };
// a face is { left, top, side } in the picture's pixels; crops are S x S x 3 in 0..255.

export const FADE = 0.08; // width of the seam along the crop's edges, as a share of its side
export const FEATHER = 0.012; // standard deviation of the blur of the mask's edge, as a share of the side
export const LOW = 0.1; // the change counts from where the mask is LOW,
export const HIGH = 0.5; // and fully from HIGH on
const LEAST = 1 / 512; // smaller weights are 0
const WINDOW = 0.02; // standard deviation of the windows in which structure is compared, as a share of the side
const FLAT = 16; // variance (levels squared) up to which a window counts as flat
const MARGIN = 3; // pixels around a warped region that the interpolation reaches into
const GAP = 3; // whole blocks are averaged before a scale below 1 / GAP

const clip = (v, low, high) => Math.min(high, Math.max(low, v));
const smooth = (t) => t * t * (3 - 2 * t);
const nine = (v) => Math.round(v * 1e9) / 1e9; // so that whole numbers of pixels are met exactly

// Half to even, as Python and NumPy round.
export function rint(v) {
  const r = Math.round(v);
  return r - v === 0.5 && r % 2 ? r - 1 : r;
}

// The mean of bytes as Pillow takes it: by a factor that is cut off, so that a mean just above a half may go down.
function average(sum, count) {
  return Math.floor(((sum + Math.floor(count / 2)) * Math.trunc(Math.fround(2 ** 24 / count))) / 2 ** 24);
}

// The crop of a face, seen on white where the picture is transparent (`lomit.photo.align`).
export function align(picture, face, size) {
  return view(picture, face, size, true);
}

// S x S x 3 of a picture's own colours, or of the picture on white.
function view(picture, face, size, onWhite = false) {
  const block = Math.max(1, Math.floor(face.side / (4 * size)));
  const between = Math.max(size, rint(face.side / block));
  const margin = (block + 1) * MARGIN;
  const [left, top] = [Math.floor(face.left) - margin, Math.floor(face.top) - margin];
  const right = Math.ceil(face.left + face.side) + margin;
  const bottom = Math.ceil(face.top + face.side) + margin;
  const region = reducedRegion(picture, left, top, right, bottom, block, onWhite);
  const step = nine(face.side / between / block);
  const warped = warpBytes(region, step, nine((face.left - left) / block), nine((face.top - top) / block), between);
  return resizeSquare(warped, between, size);
}

// A part of the picture, continued beyond its edges by reflection, averaged over blocks.
function reducedRegion({ width, height, data }, left, top, right, bottom, block, onWhite) {
  const columns = mirrored(left, right, width);
  const rows = mirrored(top, bottom, height);
  const out = { width: Math.ceil(columns.length / block), height: Math.ceil(rows.length / block) };
  out.data = new Uint8ClampedArray(out.width * out.height * 3);
  const sum = [0, 0, 0];
  for (let j = 0; j < out.height; j++) {
    const rowEnd = Math.min(rows.length, (j + 1) * block);
    for (let i = 0; i < out.width; i++) {
      const columnEnd = Math.min(columns.length, (i + 1) * block);
      sum.fill(0);
      for (let y = j * block; y < rowEnd; y++) {
        for (let x = i * block; x < columnEnd; x++) {
          const at = 4 * (rows[y] * width + columns[x]);
          const alpha = onWhite ? data[at + 3] : 255;
          for (let k = 0; k < 3; k++) sum[k] += alpha === 255 ? data[at + k] : rint((data[at + k] * alpha + 255 * (255 - alpha)) / 255);
        }
      }
      const count = (rowEnd - j * block) * (columnEnd - i * block);
      for (let k = 0; k < 3; k++) out.data[3 * (j * out.width + i) + k] = average(sum[k], count);
    }
  }
  return out;
}

// Where the places start..stop of a row lie once it is continued by its mirror image.
function mirrored(start, stop, length) {
  return Int32Array.from({ length: stop - start }, (_, k) => {
    const at = (((start + k) % (2 * length)) + 2 * length) % (2 * length);
    return Math.min(at, 2 * length - 1 - at);
  });
}

const cubic = (a, b, c, d, t) => b + t * (c - a + t * (2 * (a - b) + c - d + t * (b - a + d - c)));

// Places and fractions of the four neighbours of each output pixel along one axis; null outside of the input.
function neighbours(step, shift, count, length) {
  return Array.from({ length: count }, (_, k) => {
    const at = step * (k + 0.5) + shift;
    if (at < 0 || at >= length) return null;
    const first = Math.floor(at - 0.5);
    return { t: at - 0.5 - first, at: [-1, 0, 1, 2].map((d) => clip(first + d, 0, length - 1)) };
  });
}

// Bytes, bicubic, to a square: along rows, then along columns, in the form that keeps even areas exactly even.
function warpBytes({ width, height, data }, step, shiftX, shiftY, size) {
  const columns = neighbours(step, shiftX, size, width);
  const rows = neighbours(step, shiftY, size, height);
  const across = new Float64Array(height * size * 3);
  columns.forEach((column, i) => {
    if (!column) return;
    const [a, b, c, d] = column.at.map((x) => 3 * x);
    for (let y = 0; y < height; y++) for (let k = 0; k < 3; k++) {
      const row = 3 * y * width + k;
      across[3 * (y * size + i) + k] = cubic(data[row + a], data[row + b], data[row + c], data[row + d], column.t);
    }
  });
  const out = new Uint8ClampedArray(size * size * 3);
  rows.forEach((row, j) => {
    if (!row) return;
    const [a, b, c, d] = row.at.map((y) => 3 * y * size);
    for (let i = 0; i < 3 * size; i++) {
      out[3 * j * size + i] = Math.trunc(clip(cubic(across[a + i], across[b + i], across[c + i], across[d + i], row.t), 0, 255));
    }
  });
  return out;
}

// A square of bytes, S x S x 3, scaled with Lanczos's window.
function resizeSquare(data, from, to) {
  if (from === to) return data;
  const block = Math.max(1, Math.trunc(from / to / GAP));
  if (block > 1) {
    const side = Math.ceil(from / block);
    const reduced = new Uint8ClampedArray(side * side * 3);
    for (let j = 0; j < side; j++) for (let i = 0; i < side; i++) for (let k = 0; k < 3; k++) {
      let [sum, count] = [0, 0];
      for (let y = j * block; y < Math.min(from, (j + 1) * block); y++) {
        for (let x = i * block; x < Math.min(from, (i + 1) * block); x++, count++) sum += data[3 * (y * from + x) + k];
      }
      reduced[3 * (j * side + i) + k] = average(sum, count);
    }
    return scale(reduced, side, to, 3, from / block, Uint8ClampedArray);
  }
  return scale(data, from, to, 3, from, Uint8ClampedArray);
}

const sinc = (v) => (v ? Math.sin(Math.PI * v) / (Math.PI * v) : 1);
const lanczos = (v) => (Math.abs(v) < 3 ? sinc(v) * sinc(v / 3) : 0);

// A square, from x from x channels, scaled with antialiasing: rows first, then columns, rounded in between where the
// values are bytes.  `extent` is the part of it that counts.
function scale(data, from, to, channels, extent, Kind) {
  const ratio = extent / to;
  const wide = Math.max(1, ratio);
  const taps = Array.from({ length: to }, (_, k) => {
    const centre = (k + 0.5) * ratio;
    const first = Math.max(0, Math.trunc(centre - 3 * wide + 0.5));
    const last = Math.min(from, Math.trunc(centre + 3 * wide + 0.5));
    const weights = Array.from({ length: last - first }, (_, i) => lanczos((first + i - centre + 0.5) / wide));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((w) => w / sum) };
  });
  const across = new Kind(from * to * channels);
  for (let j = 0; j < from; j++) for (let i = 0; i < to; i++) for (let k = 0; k < channels; k++) {
    const { first, weights } = taps[i];
    let sum = 0;
    for (let t = 0; t < weights.length; t++) sum += weights[t] * data[(j * from + first + t) * channels + k];
    across[(j * to + i) * channels + k] = sum;
  }
  const out = new Kind(to * to * channels);
  for (let j = 0; j < to; j++) for (let i = 0; i < to; i++) for (let k = 0; k < channels; k++) {
    const { first, weights } = taps[j];
    let sum = 0;
    for (let t = 0; t < weights.length; t++) sum += weights[t] * across[((first + t) * to + i) * channels + k];
    out[(j * to + i) * channels + k] = sum;
  }
  return out;
}

// How much of the change each pixel of a crop takes: the mask, feathered, fading out along the crop's edges; S x S.
// `mask` is S x S bytes, or null for all of the crop.
export function weights(mask, size) {
  const ramp = Float32Array.from({ length: size }, (_, k) => clip((k + 0.5) / (FADE * size), 0, 1));
  const edge = ramp.map((v, k) => smooth(Math.min(v, ramp[size - 1 - k])));
  const inside = mask
    ? blur(Float32Array.from(mask, (v) => smooth(clip((v / 255 - LOW) / (HIGH - LOW), 0, 1))), size, FEATHER * size)
    : new Float32Array(size * size).fill(1);
  return inside.map((v, k) => v * edge[Math.floor(k / size)] * edge[k % size]);
}

// Gaussian blur of S x S, continued by reflection at the edges.
export function blur(plane, size, sigma) {
  const radius = Math.max(1, rint(3 * sigma));
  const kernel = Array.from({ length: 2 * radius + 1 }, (_, k) => Math.exp(-0.5 * ((k - radius) / Math.max(sigma, 1e-6)) ** 2));
  const sum = kernel.reduce((a, b) => a + b, 0);
  const places = mirrored(-radius, size + radius, size);
  const pass = (from, along, across) => {
    const out = new Float32Array(size * size);
    for (let j = 0; j < size; j++) for (let i = 0; i < size; i++) {
      let value = 0;
      for (let k = 0; k < kernel.length; k++) value += (kernel[k] / sum) * from[j * across + places[i + k] * along];
      out[j * across + i * along] = value;
    }
    return out;
  };
  return pass(pass(plane, size, 1), 1, size);
}

// How far structure before explains structure after: the slope of the guided filter (He et al., 2010), S x S in [0, 1].
export function detailGain(before, after, size) {
  const grey = (crop) => Float32Array.from({ length: size * size }, (_, k) => 0.299 * crop[3 * k] + 0.587 * crop[3 * k + 1] + 0.114 * crop[3 * k + 2]);
  const [b, a] = [grey(before), grey(after)];
  const [x, y, xx, xy] = [b, a, b.map((v) => v * v), b.map((v, k) => v * a[k])].map((plane) => blur(plane, size, WINDOW * size));
  return x.map((v, k) => clip((xy[k] - v * y[k] + FLAT) / (xx[k] - v * v + FLAT), 0, 1));
}

// The picture with the change of a face's crop applied to it (`lomit.photo.paste`): a new RGBA array.
export function paste(picture, face, before, after, mask, size) {
  const out = new Uint8ClampedArray(picture.data);
  const left = Math.max(0, Math.floor(face.left));
  const top = Math.max(0, Math.floor(face.top));
  const right = Math.min(picture.width, Math.ceil(face.left + face.side));
  const bottom = Math.min(picture.height, Math.ceil(face.top + face.side));
  if (right <= left || bottom <= top) return out;
  const seen = view(picture, face, size);
  const change = Array.from({ length: 3 }, (_, k) => Float32Array.from({ length: size * size }, (_, i) => after[3 * i + k] - before[3 * i + k]));
  const shown = Array.from({ length: 3 }, (_, k) => Float32Array.from({ length: size * size }, (_, i) => seen[3 * i + k]));
  // A crop with more pixels than its place has is scaled down first.
  const here = Math.max(1, Math.min(size, rint(face.side)));
  const planes = [weights(mask, size), detailGain(before, after, size), ...change, ...shown].map((plane) =>
    here === size ? plane : scale(plane, size, here, 1, size, Float32Array));
  const step = nine(here / face.side);
  const columns = neighbours(step, nine(((left - face.left) / face.side) * here), right - left, here);
  const rows = neighbours(step, nine(((top - face.top) / face.side) * here), bottom - top, here);
  const lines = planes.map(() => new Float64Array(here)); // the planes between rows of the crop
  rows.forEach((row, j) => {
    if (!row) return;
    const [a, b, c, d] = row.at.map((y) => y * here);
    planes.forEach((plane, k) => {
      for (let x = 0; x < here; x++) lines[k][x] = cubic(plane[a + x], plane[b + x], plane[c + x], plane[d + x], row.t);
    });
    for (let i = 0; i < columns.length; i++) {
      const column = columns[i];
      if (!column) continue;
      const weight = sample(lines[0], column);
      if (weight < LEAST) continue;
      const lost = 1 - clip(sample(lines[1], column), 0, 1);
      const at = 4 * ((top + j) * picture.width + left + i);
      for (let k = 0; k < 3; k++) {
        const own = picture.data[at + k];
        const beyond = own - sample(lines[5 + k], column); // what the picture shows beyond the crop's resolution
        out[at + k] = rint(own + Math.min(weight, 1) * (sample(lines[2 + k], column) - lost * beyond));
      }
    }
  });
  return out;
}

const sample = (line, { at, t }) => cubic(line[at[0]], line[at[1]], line[at[2]], line[at[3]], t);
