// Keeps the page's files, so that it works without a network.  lomit writes VERSION and FILES in front.

const PREFIX = `lomit ${self.registration.scope} `;
const NAME = PREFIX + VERSION;

self.addEventListener("install", (e) => {
  const fetched = FILES.map((name) => new Request(name, { cache: "no-cache" }));
  e.waitUntil(caches.open(NAME).then((cache) => cache.addAll(fetched)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (e) => {
  const old = caches.keys().then((names) => names.filter((name) => name.startsWith(PREFIX) && name !== NAME));
  e.waitUntil(old.then((names) => Promise.all(names.map((name) => caches.delete(name)))).then(() => self.clients.claim()));
});

self.addEventListener("fetch", (e) => {
  if (e.request.method !== "GET" || !e.request.url.startsWith(self.registration.scope)) return;
  const address = e.request.url.split(/[?#]/, 1)[0];
  const asked = address === self.registration.scope ? "index.html" : address;
  e.respondWith(caches.open(NAME).then((cache) => cache.match(asked)).then((kept) => kept || fetch(e.request)));
});
