// Sends the newest frame of the camera or of a video file, waits for it to come back translated, and shows it.
"use strict";

const LONGEST = 640; // pixels of a frame's longer side
const QUALITY = 0.85; // of the JPEGs that are sent
const RATE_OVER = 2000; // milliseconds
const PATIENCE = 2000; // milliseconds before a server that did not answer is asked again

const $ = (id) => document.getElementById(id);
const video = $("input");
const output = $("output");
const shown = output.getContext("2d");
const frame = document.createElement("canvas");
const drawing = frame.getContext("2d");
const page = document.body.dataset.page;
const times = [];

let source = 0; // counts what was begun, so that what comes late is known
let ended = false;

const CAMERA_FAULTS = {
  NotAllowedError: "The camera may not be used. Allow it beside the page's address, then press Camera; or choose a video file.",
  NotFoundError: "No camera was found. Connect one and press Camera, or choose a video file.",
  NotReadableError: "The camera can't be read: another program may be using it. Close that, then press Camera.",
  OverconstrainedError: "No camera was found. Connect one and press Camera, or choose a video file.",
};

function say(text, kind = "") {
  const line = $("message");
  if (line.textContent !== text) line.textContent = text;
  line.dataset.kind = kind;
}

// Removes a message of this kind; others stay.
function unsay(kind) {
  if ($("message").dataset.kind === kind) say("");
}

function stop() {
  source += 1;
  if (video.srcObject) for (const track of video.srcObject.getTracks()) track.stop();
  if (video.src.startsWith("blob:")) URL.revokeObjectURL(video.src);
  video.srcObject = null;
  video.removeAttribute("src");
  times.length = 0;
  setPaused(false);
}

function mirror(on) {
  $("mirror").checked = on;
  for (const each of [video, output]) each.classList.toggle("mirrored", on);
}

function setPaused(on) {
  $("pause").setAttribute("aria-pressed", String(on));
}

async function openCamera() {
  stop();
  const mine = source;
  if (!navigator.mediaDevices) {
    say("This browser gives no page a camera. Take another one, or choose a video file.");
    return;
  }
  say("Asking for the camera …", "camera");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" },
      audio: false,
    });
  } catch (error) {
    if (mine === source) say(CAMERA_FAULTS[error.name] || `The camera can't be used (${error.name}).`);
    return;
  }
  if (mine !== source) {
    for (const track of stream.getTracks()) track.stop();
    return;
  }
  stream.getVideoTracks()[0].addEventListener("ended", () => {
    if (mine === source) {
      stop();
      say("The camera was switched off or taken away. Press Camera to begin again.");
    }
  });
  video.srcObject = stream;
  mirror(true);
  await begin(mine);
}

async function openVideo(address) {
  stop();
  const mine = source;
  say("Opening the video …", "camera");
  video.src = address;
  video.loop = true;
  mirror(false);
  await begin(mine);
}

async function begin(mine) {
  try {
    await video.play();
  } catch {
    if (mine === source) say("This browser can't play that video. Convert it to MP4 (H.264) or WebM, or use the camera.");
    return;
  }
  if (mine !== source) return;
  say("");
  run(mine);
}

// Resolves at the next frame of the video, or after a while where there is none.
function nextFrame() {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 250);
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(done);
    else setTimeout(done, 30);
  });
}

function asked() {
  const query = new URLSearchParams({ page, strength: $("strength").value });
  if ($("mask").checked) query.set("mask", "1");
  for (const box of document.querySelectorAll("#names input:checked")) query.append("only", box.value);
  return query;
}

// One frame is under way at a time: what the camera shows meanwhile is left out.
async function run(mine) {
  while (mine === source && !ended) {
    await nextFrame();
    if (mine !== source) return;
    if (video.paused || !video.videoWidth) continue;
    const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
    frame.width = Math.round(video.videoWidth * scale);
    frame.height = Math.round(video.videoHeight * scale);
    drawing.drawImage(video, 0, 0, frame.width, frame.height);
    const body = await new Promise((resolve) => frame.toBlob(resolve, "image/jpeg", QUALITY));
    let answer, image;
    try {
      answer = await fetch(`frame?${asked()}`, { method: "POST", body });
      image = await answer.blob();
    } catch {
      say("The program does not answer. If it has ended, start lomit live again and open the address that it prints.", "gone");
      times.length = 0;
      await new Promise((resolve) => setTimeout(resolve, PATIENCE));
      continue;
    }
    if (mine !== source) return;
    unsay("gone");
    if (!answer.ok) {
      const why = answer.status === 500 ? "A frame could not be translated; the program's terminal says why." : await image.text();
      if (answer.status === 409) {
        ended = true;
        stop();
      }
      say(sentence(why), "frame");
      await new Promise((resolve) => setTimeout(resolve, PATIENCE / 2));
      continue;
    }
    unsay("frame");
    await show(image);
    if (answer.headers.get("x-face") === "1") unsay("face");
    else say("No face is seen. Look into the camera, come nearer, and have light on the face.", "face");
  }
}

async function show(image) {
  const bitmap = await createImageBitmap(image);
  if (output.width !== bitmap.width || output.height !== bitmap.height) {
    output.width = bitmap.width;
    output.height = bitmap.height;
  }
  shown.drawImage(bitmap, 0, 0);
  bitmap.close();
  const now = performance.now();
  times.push(now);
  while (times[0] < now - RATE_OVER) times.shift();
  const seconds = (now - times[0]) / 1000;
  $("rate").textContent = seconds > 0.5 ? `${((times.length - 1) / seconds).toFixed(1)} frames a second` : "";
}

async function chooseExemplar(file) {
  let answer;
  try {
    answer = await fetch(`exemplar?${new URLSearchParams({ name: file.name })}`, { method: "POST", body: file });
  } catch {
    say("The program does not answer. If it has ended, start lomit live again and open the address that it prints.", "gone");
    return;
  }
  if (answer.ok) {
    $("exemplar").src = `exemplar?${performance.now()}`;
    unsay("exemplar");
  } else if (answer.status === 413) say(`${file.name} is too large; scale it down first.`, "exemplar");
  else say(sentence(await answer.text()), "exemplar");
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

// A file's input, behind a button that can be styled; the same file may be chosen twice.
function picks(button, input, take) {
  $(button).addEventListener("click", () => $(input).click());
  $(input).addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (file) take(file);
    event.target.value = "";
  });
}

$("camera").addEventListener("click", openCamera);
picks("open", "file", (file) => openVideo(URL.createObjectURL(file)));
picks("another", "image", chooseExemplar);
$("mirror").addEventListener("change", (event) => mirror(event.target.checked));
$("strength").addEventListener("input", (event) => {
  $("amount").textContent = Number(event.target.value).toFixed(1);
});
$("pause").addEventListener("click", () => {
  if (!video.srcObject && !video.src) return;
  if (video.paused) video.play();
  else video.pause();
});
video.addEventListener("play", () => setPaused(false));
video.addEventListener("pause", () => setPaused(true));

if (document.body.dataset.video) openVideo(document.body.dataset.video);
else openCamera();
