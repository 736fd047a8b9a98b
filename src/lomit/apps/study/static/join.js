"use strict";
/* Shows the way back to who has begun in this browser and opens the join link again. */

try {
  const base = location.pathname.replace(/join\/[^/]*$/, "");
  const path = localStorage.getItem(`lomit-study-back:${base}`);
  if (path && path.startsWith(`${base}s/`)) {
    document.querySelector("#back a").setAttribute("href", path);
    document.getElementById("back").hidden = false;
  }
} catch {
  // Storage is switched off: there is no way back but the personal link.
}
