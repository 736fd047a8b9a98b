// The network and the mathematics of photo.js, off the page's own thread.  Asked by messages { id, task, ... }; answers
// { id, ... } or { id, error }.

import * as ort from "./runtime/ort.wasm.bundle.min.js";
import { align, paste, rint } from "./photo.js";

let session, about;
const slots = [{}, {}]; // the input and the exemplar: picture, face, crop
let kept = {}; // the predicted masks of two crops

const tasks = {
  async load(told) {
    about = told.about;
    ort.env.wasm.wasmPaths = { wasm: new URL("./runtime/ort-wasm-simd-threaded.wasm", import.meta.url).href };
    ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
    ort.env.logLevel = "error";
    const answer = await fetch("./model.onnx").catch(() => null);
    if (!answer?.ok) throw new Error("The file model.onnx is missing beside this page. Reload the page, or put the file back.");
    const content = new Uint8Array(await answer.arrayBuffer());
    try {
      session = await ort.InferenceSession.create(content, { executionProviders: ["wasm"] });
    } catch (error) {
      if (outOfMemory(error)) throw error;
      throw new Error("The model can't be run here: a file of this page is damaged or missing, or the browser is too old. Reload the page, or export it again.", { cause: error });
    }
    return { threads: ort.env.wasm.numThreads };
  },

  picture({ slot, picture }) {
    slots[slot] = { picture };
    return {};
  },

  swap() {
    slots.reverse();
    return {};
  },

  // The picture at its own size with the exemplar's style in the face's place, by the steps of `lomit.photo.translate`.
  async translate({ faces, masks, moved }) {
    slots.forEach((slot, k) => {
      if (!slot.crop || ["left", "top", "side"].some((key) => slot.face[key] !== faces[k][key])) {
        Object.assign(slot, { face: faces[k], crop: align(slot.picture, faces[k], about.size) });
      }
    });
    const [x, exemplar] = slots.map((slot) => slot.crop);
    const { picture, face } = slots[0];
    let [before, after, predicted, used] = [x, null, [null, null], [null, null]];
    if (about.hasMasks) {
      predicted = await predictedMasks(x, exemplar, moved);
      used = masks.map((mask, k) => mask || predicted[k]);
      // Beside the translation, what the network makes of the face when nothing is to change.
      const [m, n] = used;
      [after, before] = (await run([x, x], [exemplar, x], [[m, m], [n, m]], moved)).images;
    } else {
      [after] = (await run([x], [exemplar], null, moved)).images;
    }
    const data = paste(picture, face, before, after, used[0], about.size);
    return { data, width: picture.width, height: picture.height, predicted, transfer: [data.buffer] };
  },
};

async function predictedMasks(x, exemplar, moved) {
  const key = String(moved);
  if (kept.x !== x || kept.exemplar !== exemplar || kept.key !== key) {
    kept = { x, exemplar, key, masks: (await run([x], [exemplar], null, moved)).masks };
  }
  return kept.masks;
}

// Crops, and masks of them or null for the predicted ones -> images and masks, as bytes.
async function run(inputs, exemplars, masks, moved) {
  const [size, count] = [about.size, inputs.length];
  const images = (crops) => new ort.Tensor("float32", Float32Array.from({ length: count * 3 * size * size }, (_, at) => {
    const [pixel, plane] = [at % (size * size), Math.floor(at / (size * size))];
    return crops[Math.floor(plane / 3)][3 * pixel + (plane % 3)] / 127.5 - 1;
  }), [count, 3, size, size]);
  const planes = (given) => given
    ? new ort.Tensor("float32", Float32Array.from({ length: count * size * size }, (_, at) => given[Math.floor(at / (size * size))][at % (size * size)] / 255), [count, 1, size, size])
    : new ort.Tensor("float32", [NaN], [1, 1, 1, 1]);
  const feed = { input: images(inputs), exemplar: images(exemplars) };
  if (about.moves.length) feed.moved = moved ? new ort.Tensor("float32", moved, [1, moved.length]) : new ort.Tensor("float32", [-1], [1, 1]);
  if (about.hasMasks) Object.assign(feed, { input_mask: planes(masks?.[0]), exemplar_mask: planes(masks?.[1]) });
  const out = await session.run(feed);
  const bytes = (values, scale) => Uint8ClampedArray.from(values, (v) => rint(scale(v)));
  const pictures = Array.from({ length: count }, (_, i) => {
    const crop = new Uint8ClampedArray(3 * size * size);
    for (let k = 0; k < 3; k++) for (let at = 0; at < size * size; at++) {
      crop[3 * at + k] = rint(Math.min(255, Math.max(0, (out.image.data[(3 * i + k) * size * size + at] + 1) * 127.5)));
    }
    return crop;
  });
  const seen = about.hasMasks ? ["used_input_mask", "used_exemplar_mask"].map((name) => bytes(out[name].data.subarray(0, size * size), (v) => 255 * Math.min(1, Math.max(0, v)))) : [];
  return { images: pictures, masks: seen };
}

const outOfMemory = (error) => /memory|allocat|bad_alloc/i.test(error?.message ?? error);

function told(error) {
  return outOfMemory(error) ? "There is not enough memory for this picture. Close other pages, or take a smaller picture." : String(error?.message ?? error);
}

self.onmessage = async ({ data: { id, task, ...given } }) => {
  try {
    const { transfer = [], ...answer } = await tasks[task](given);
    self.postMessage({ id, ...answer }, transfer);
  } catch (error) {
    self.postMessage({ id, error: told(error) });
  }
};
