// Says in one line why the page can't work here.  A script of the old kind: it runs where modules don't, and before them.
(function () {
  var why = "";
  if (location.protocol === "file:") why = "This page needs a web server: run python -m http.server in its folder, and open the address it says.";
  else if (typeof WebAssembly !== "object") why = "This browser has no WebAssembly, or it is turned off. Take a current Firefox, Chrome, Edge or Safari.";
  else if (typeof Worker !== "function" || typeof createImageBitmap !== "function") why = "This browser is too old for this page. Take a current Firefox, Chrome, Edge or Safari.";
  if (!why) return;
  var line = document.getElementById("alert");
  line.textContent = why;
  line.hidden = false;
})();
// A file of the page that did not come.
addEventListener("error", function (e) {
  if (!e.target || e.target.tagName !== "SCRIPT") return;
  var line = document.getElementById("alert");
  if (!line || !line.hidden) return;
  line.textContent = "A file of this page is missing. Reload it, or export the page again.";
  line.hidden = false;
}, true);
