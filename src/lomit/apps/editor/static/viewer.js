// The result, beside what was before, and the strip of kept variants.

const find = (selector) => element.querySelector(selector);
const make = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};

// Asks the server for something, with the masks and sliders as they stand: the workbench adds them.
function ask(event, told) {
  window.dispatchEvent(new CustomEvent("lomit-ask", { detail: told }));
  trigger(event, told);
}

function view() {
  const told = props.value || {};
  const mode = find("input[name=lomit-view]:checked").value;
  const shown = Boolean(told.after);
  const comparing = shown && mode === "compare";
  find(".empty").hidden = shown;
  find(".after").hidden = !shown || mode === "change";
  find(".change").hidden = !shown || mode !== "change";
  find(".before").hidden = find(".line").hidden = find(".compare").hidden = !comparing;
  const other = (told.kept || []).find((variant) => String(variant.id) === find(".other").value);
  if (comparing) find(".before").src = other ? other.image : told.before;
  const at = find(".divider").value;
  find(".before").style.clipPath = `inset(0 ${100 - at}% 0 0)`;
  find(".line").style.left = `${at}%`;
}

function update() {
  const told = props.value;
  if (!told) return;
  for (const kind of ["after", "change"]) if (told[kind]) find(`.${kind}`).src = told[kind];
  find(".size").textContent = told.size;
  find(".closer").hidden = !told.can_close;
  find(".close").checked = told.close;
  find(".note").textContent = told.note;
  find(".keep").disabled = !told.after || told.kept.length >= told.most;
  element.querySelectorAll(".save button").forEach((button) => { button.disabled = !told.after; });
  const chosen = find(".other").value;
  find(".other").replaceChildren(make("option", { value: "", textContent: "the input" }),
    ...told.kept.map((variant) => make("option", { value: variant.id, textContent: `variant ${variant.id}` })));
  find(".other").value = told.kept.some((variant) => String(variant.id) === chosen) ? chosen : "";
  find(".strip").replaceChildren(...told.kept.map((variant) => {
    const back = make("button", { type: "button", className: "variant", title: variant.title,
      ariaLabel: `Go back to variant ${variant.id}: ${variant.title}` },
      make("img", { src: variant.image, alt: "" }), make("span", { textContent: variant.id }));
    back.onclick = () => ask("act", { action: "restore", id: variant.id });
    const drop = make("button", { type: "button", className: "drop", textContent: "×", ariaLabel: `Remove variant ${variant.id}` });
    drop.onclick = () => ask("act", { action: "drop", id: variant.id });
    return make("div", {}, back, drop);
  }));
  view();
}

find(".close").onchange = () => ask("act", { action: "close", on: Number(find(".close").checked) });
find(".keep").onclick = () => ask("act", { action: "keep" });
element.querySelectorAll(".save button").forEach((button) => {
  button.onclick = () => {
    find(".note").textContent = "Preparing the file …"; // seconds, for a large photograph
    ask("save", { what: button.value });
  };
});
window.addEventListener("lomit-saved", (e) => { find(".note").textContent = e.detail; });
find(".divider").oninput = find(".other").onchange = view;
element.querySelectorAll("input[name=lomit-view]").forEach((input) => { input.onchange = view; });
watch("value", update);
update();
