"use strict";
/* Asks one participant's questions with jsPsych, and gets every answer to the server however often the network fails. */

// Younger than some of the browsers that people have; jsPsych calls it.
if (!Object.hasOwn) Object.hasOwn = (object, key) => Object.prototype.hasOwnProperty.call(object, key);

/** Answers that the server has not acknowledged: kept in the browser, sent again until it has. */
class Outbox {
  constructor(onChange) {
    this.name = `lomit-study:${location.pathname}`;
    this.onChange = onChange;
    this.sending = false;
    this.failures = 0;
    this.gone = false;
    this.end = null; // what comes last, once the server has every answer
    this.waiting = [];
    try {
      const kept = JSON.parse(localStorage.getItem(this.name) || "[]");
      this.waiting = kept.filter(({ position, side }) => Number.isInteger(position) && ["left", "right"].includes(side));
    } catch {
      // Storage is switched off or holds something else: answers then live as long as the page.
    }
    window.addEventListener("online", () => this.send());
  }

  add(answer) {
    this.waiting.push(answer);
    this.keep();
    this.send();
  }

  keep() {
    try {
      if (this.waiting.length) localStorage.setItem(this.name, JSON.stringify(this.waiting));
      else localStorage.removeItem(this.name);
    } catch {
      // See above.
    }
  }

  async send() {
    if (this.sending || this.gone || !this.waiting.length) return;
    this.sending = true;
    clearTimeout(this.timer);
    try {
      const reply = await fetch("answers", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ answers: this.waiting }),
        signal: within(20000),
      });
      if (reply.status === 410) {
        this.gone = true;
        this.waiting = [];
        this.keep();
      } else {
        if (!reply.ok) throw new Error(String(reply.status));
        const { answered, end } = await reply.json();
        const stored = new Set(answered);
        this.end = end;
        this.waiting = this.waiting.filter((answer) => !stored.has(answer.position));
        this.keep();
        this.failures = 0;
      }
    } catch {
      this.failures += 1;
    }
    this.sending = false;
    this.onChange(this);
    if (this.gone || !this.waiting.length) return;
    const pause = this.failures ? Math.min(15000, 500 * 2 ** this.failures) : 0;
    this.timer = setTimeout(() => this.send(), pause);
  }

  /** Resolves when everything is with the server. */
  async empty() {
    while (this.waiting.length && !this.gone) {
      this.send();
      await new Promise((done) => setTimeout(done, 200));
    }
  }
}

/** A signal that breaks off what takes longer; AbortSignal.timeout is younger than the browsers that people have. */
const within = (milliseconds) => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), milliseconds);
  return controller.signal;
};

/** Puts these in the place of what an element holds. */
const fill = (place, ...children) => {
  place.textContent = "";
  place.append(...children);
};

const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

const CONTEXT = {
  input: "the picture before the change",
  exemplar: "an example of the style that it was meant to get",
};

/** Milliseconds in a day. */
const LONGEST = 24 * 3600 * 1000;

/** Waits longer with every attempt, ten seconds at most. */
const pause = (attempt) => new Promise((done) => setTimeout(done, Math.min(10000, 500 * 2 ** attempt)));

/** A picture that is fetched and decoded before it is ever shown; tried again until it is there. */
async function fetched(url, onFailure) {
  for (let attempt = 0; ; attempt += 1) {
    const image = new Image();
    image.src = url;
    try {
      await image.decode();
      return image;
    } catch {
      onFailure();
      await pause(attempt);
    }
  }
}

/** Address -> picture, all of them decoded before the first question. */
const pictures = new Map();
const where = (position, name) => `${position}/${name}`;

/** Fills `pictures`, six at a time. */
async function fetchAll(urls, onOne, onFailure) {
  const left = [...urls];
  const worker = async () => {
    for (let url = left.shift(); url !== undefined; url = left.shift()) {
      pictures.set(url, await fetched(url, onFailure));
      onOne(pictures.size);
    }
  };
  await Promise.all(Array.from({ length: 6 }, worker));
}

/** One question about two pictures: a jsPsych plugin. */
class Choice {
  constructor(jsPsych) {
    this.jsPsych = jsPsych;
  }

  trial(display, trial) {
    const picture = (name) => pictures.get(where(trial.position, name));
    const button = (side, label) => {
      const made = element("button", { type: "button", "data-side": side });
      const image = picture(side);
      image.alt = `${label} picture`;
      made.append(image, element("span", {}, side === "left" ? `← ${label}` : `${label} →`));
      return made;
    };
    const left = button("left", "Left");
    const right = button("right", "Right");
    const context = element("div", { class: "context" });
    for (const name of trial.context) {
      const image = picture(name);
      image.alt = name;
      const told = name === "input" ? "before" : "example of the style";
      context.append(element("figure", {}, image, element("figcaption", {}, told)));
    }
    const count = `Question ${trial.position + 1} of ${trial.total}`;
    fill(
      display,
      element("div", { class: "count" }, element("span", {}, count), element("span", {}, trial.practice ? "practice" : "")),
      element("progress", { max: trial.total, value: trial.position, "aria-label": "progress" }),
      element("p", { class: "question" }, trial.question),
      context,
      element("div", { class: "choices" }, left, right),
    );
    if (!trial.context.length) context.remove();

    let shown = null;
    let away = document.hidden;
    let over = false;
    const onHidden = () => (away = true);
    document.addEventListener("visibilitychange", onHidden);
    // The second frame after the pictures were put in: the first one has been drawn.
    requestAnimationFrame(() => requestAnimationFrame((now) => (shown = now)));

    const answer = (side, means, at) => {
      // A click or key that began with the last question answers nothing.
      if (over || shown === null || at < shown) return;
      over = true;
      document.removeEventListener("visibilitychange", onHidden);
      document.removeEventListener("keydown", onKey);
      // Whoever leaves the page open for days still has an answer; the server takes no longer time.
      this.jsPsych.finishTrial({ side, rt: Math.min(at - shown, LONGEST), means, away });
    };
    const keys = { ArrowLeft: "left", ArrowRight: "right", f: "left", j: "right", F: "left", J: "right" };
    const onKey = (event) => {
      if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || !(event.key in keys)) return;
      event.preventDefault();
      answer(keys[event.key], "key", event.timeStamp);
    };
    document.addEventListener("keydown", onKey);
    for (const made of [left, right]) {
      // Enter and space on a focused button arrive as clicks without a pointer.
      made.addEventListener("click", (event) =>
        answer(made.dataset.side, event.detail === 0 ? "key" : "pointer", event.timeStamp));
    }
  }
}
Choice.info = {
  name: "lomit-choice",
  version: "1.0.0",
  parameters: {
    question: { type: jsPsychModule.ParameterType.STRING },
    context: { type: jsPsychModule.ParameterType.STRING, array: true, default: [] },
    position: { type: jsPsychModule.ParameterType.INT },
    total: { type: jsPsychModule.ParameterType.INT },
    practice: { type: jsPsychModule.ParameterType.BOOL },
  },
  data: {
    side: { type: jsPsychModule.ParameterType.STRING },
    rt: { type: jsPsychModule.ParameterType.FLOAT },
    means: { type: jsPsychModule.ParameterType.STRING },
    away: { type: jsPsychModule.ParameterType.BOOL },
  },
};

/** A page of text with a button: a jsPsych plugin. */
class Text {
  constructor(jsPsych) {
    this.jsPsych = jsPsych;
  }

  trial(display, trial) {
    const go = element("button", { type: "button", class: "go" }, trial.button);
    const paragraphs = trial.paragraphs.map((text) => element("p", {}, text));
    fill(display, element("h1", {}, trial.heading), ...paragraphs, go);
    go.addEventListener("click", () => this.jsPsych.finishTrial({}));
    go.focus();
  }
}
Text.info = {
  name: "lomit-text",
  version: "1.0.0",
  parameters: {
    heading: { type: jsPsychModule.ParameterType.STRING },
    paragraphs: { type: jsPsychModule.ParameterType.STRING, array: true },
    button: { type: jsPsychModule.ParameterType.STRING },
  },
  data: {},
};

const status = (text) => {
  const line = document.getElementById("status");
  line.textContent = text;
  line.hidden = !text;
};

/** The way back for who opens the join link again; gone when all is done, so that a shared computer forgets it. */
function remember(open) {
  if (document.body.dataset.preview) return;
  const name = `lomit-study-back:${location.pathname.replace(/s\/[^/]*\/$/, "")}`;
  try {
    if (open) localStorage.setItem(name, location.pathname);
    else localStorage.removeItem(name);
  } catch {
    // Storage is switched off; the personal link still works.
  }
}

function finish({ thanks, completion_url: link }) {
  remember(false);
  const place = document.getElementById("study");
  fill(place, element("h1", {}, "Done"), element("p", {}, thanks));
  if (link) {
    const back = element("a", { href: link, rel: "noreferrer" }, "Back to where you came from");
    place.append(element("p", {}, back));
  }
  place.append(element("p", { class: "quiet" }, "All your answers have arrived."));
}

async function load() {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const reply = await fetch("trials");
      if (reply.ok) return await reply.json();
      if (reply.status === 410 || reply.status === 404) location.reload();
    } catch {
      // Tried again below.
    }
    status("No connection. Trying again …");
    await pause(attempt);
  }
}

async function run() {
  const place = document.getElementById("study");
  const outbox = new Outbox((box) => {
    if (box.gone) location.reload();
    status(box.failures ? "No connection. Go on; your answers are kept here and sent as soon as it is back." : "");
  });
  const study = await load();
  status("");
  document.getElementById("withdraw").hidden = false;
  remember(true);
  document.getElementById("withdraw").addEventListener("submit", (event) => {
    if (!confirm("Delete all your answers and stop taking part?")) event.preventDefault();
    else remember(false);
  });
  const done = new Set([...study.answered, ...outbox.waiting.map((answer) => answer.position)]);
  const left = study.trials.map((_, position) => position).filter((position) => !done.has(position));
  const urls = left.flatMap((position) =>
    [...study.trials[position].context, "left", "right"].map((name) => where(position, name)));

  if (left.length) {
    const bar = element("progress", { max: urls.length, value: 0, "aria-label": "loading" });
    fill(place, element("p", {}, "Loading the pictures …"), bar);
    await fetchAll(urls, (count) => (bar.value = count), () => status("No connection. Trying again …"));
    status("");
    const begun = done.size > 0;
    const paragraphs = begun ? ["Your answers so far are kept. Go on where you were."] : study.instructions;
    const timeline = [
      { type: Text, heading: begun ? "Welcome back" : "How it works", paragraphs, button: begun ? "Go on" : "Begin" },
    ];
    let part = null;
    for (const position of left) {
      const trial = study.trials[position];
      if (trial.part !== part) {
        const parts = study.trials[study.trials.length - 1].part + 1;
        const above = trial.context.map((name) => CONTEXT[name]).join(", and ");
        const about = above ? [`With the two pictures you see ${above}.`] : [];
        timeline.push({
          type: Text,
          heading: `Part ${trial.part + 1} of ${parts}`,
          paragraphs: ["In this part the question is:", trial.question, ...about],
          button: "Continue",
        });
        part = trial.part;
      }
      timeline.push({
        type: Choice,
        question: trial.question,
        context: trial.context,
        position,
        total: study.trials.length,
        practice: trial.practice,
        post_trial_gap: 250,
        on_finish: ({ side, rt, means, away }) => outbox.add({ position, side, rt, means, away }),
      });
    }
    fill(place);
    const jsPsych = jsPsychModule.initJsPsych({ display_element: "study" });
    await jsPsych.run(timeline);
  }
  fill(place, element("p", {}, "Sending your answers …"));
  outbox.send();
  await outbox.empty();
  const end = outbox.end || study.end;
  if (outbox.gone || !end) location.reload();
  else finish(end);
}

document.addEventListener("DOMContentLoaded", run);
