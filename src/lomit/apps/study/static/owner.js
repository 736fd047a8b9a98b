"use strict";
/* The owner's page.  The token stays in this page's memory: it is in no address and in no storage. */

let token = "";
const get = (id) => document.getElementById(id);
const element = (name, ...children) => {
  const made = document.createElement(name);
  made.append(...children);
  return made;
};

async function ask(path, method = "GET") {
  const reply = await fetch(path, { method, headers: { authorization: `Bearer ${token}` } });
  if (reply.status === 401) throw new Error("This is not the owner's token.");
  if (reply.status === 429) throw new Error("Too many attempts. Wait a minute.");
  if (!reply.ok) throw new Error(`The server answered ${reply.status}.`);
  return reply;
}

function table({ caption, header, rows }) {
  const head = element("tr", ...header.map((text) => element("th", text)));
  const body = rows.map((row) => element("tr", ...row.map((text) => element("td", text))));
  return element("table", element("caption", caption), element("thead", head), element("tbody", ...body));
}

async function guarded(work) {
  get("status").hidden = true;
  try {
    await work();
  } catch (error) {
    get("status").textContent = error.message;
    get("status").hidden = false;
  }
}

async function show() {
  const { tables } = await (await ask("owner/results")).json();
  get("tables").replaceChildren(...tables.map(table));
  get("enter").hidden = true;
  get("results").hidden = false;
}

get("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  token = get("token").value.trim();
  guarded(show);
});
get("reload").addEventListener("click", () => guarded(show));
const save = (name) =>
  guarded(async () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await (await ask(`owner/${name}`)).blob());
    link.download = name;
    link.click();
    URL.revokeObjectURL(link.href);
  });
get("save").addEventListener("click", () => save("answers.csv"));
if (get("panel")) get("panel").addEventListener("click", () => save("panel.csv"));
get("preview").addEventListener("click", () =>
  guarded(async () => {
    const { path } = await (await ask("owner/preview", "POST")).json();
    location.assign(path);
  }));
