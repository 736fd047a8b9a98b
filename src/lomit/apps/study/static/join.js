"use strict";
/* Before consent: turns away browsers that can't run the study, and shows the way back to who has begun in this one.
   Written in the language of old browsers, which have to understand it. */

if (
  !window.fetch || !window.AbortController || !Object.fromEntries || !Array.prototype.flat ||
  !Element.prototype.append || !HTMLImageElement.prototype.decode
) {
  document.getElementById("old").hidden = false;
  document.querySelector("form").hidden = true;
}

try {
  var base = location.pathname.replace(/join\/[^/]*$/, "");
  var path = localStorage.getItem("lomit-study-back:" + base);
  if (path && path.indexOf(base + "s/") === 0) {
    document.querySelector("#back a").setAttribute("href", path);
    document.getElementById("back").hidden = false;
  }
} catch (error) {
  // Storage is switched off: there is no way back but the personal link.
}
