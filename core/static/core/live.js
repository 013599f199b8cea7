/* Keeps a page live over one websocket.
 *
 * An element (usually <body>) carries
 *   data-live-url    path of the websocket
 *   data-live-swap   ids, separated by spaces, that a catch-up takes from the page fetched again
 * Each text message is HTML: every top-level element with an id replaces the element with that id;
 * <template data-live-event="name"> fires a "live:name" event on document instead.
 * A server that sends the current fragments on connect spares the page the catch-up after it.
 * #live-banner and #live-badge get data-state: connecting | live | polling | lost; [data-live-age] shows how old the page is;
 * the text of [data-live-say] is spoken through #live-status when it changes.
 */
(() => {
  "use strict";

  const root = document.querySelector("[data-live-url]");
  if (!root) return;

  const POLL_MS = 15000; // fallback, and no faster than this by promise
  const SILENCE_MS = 60000; // an open socket that says nothing for so long may be dead: ask the page itself
  const GREETING_MS = 400; // how long a fresh socket may take to send the current state before we fetch it
  const PATIENCE_MS = 3000; // a shorter gap is not worth a banner
  const FETCH_MS = 10000;
  const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";
  const [banner, badge, status] = ["live-banner", "live-badge", "live-status"].map((id) => document.getElementById(id));

  let socket = null;
  let attempts = 0;
  let retryTimer = 0;
  let greetingTimer = 0;
  let heardAt = Date.now(); // when what is shown was last known to be true
  let askedAt = Date.now();
  let lostAt = Date.now();
  let wasOpen = false;
  let pollWorks = navigator.onLine;
  let pending = null; // messages that arrive while the page is being fetched are applied again on top of it

  const isOpen = () => socket !== null && socket.readyState === WebSocket.OPEN;

  function swap(next) {
    const old = document.getElementById(next.id);
    if (!old || old.isEqualNode(next)) return;
    const said = sayOf(old);
    const focus = focusWithin(old);
    const opened = [...old.querySelectorAll("details[open][id]")].map((details) => details.id);
    next.classList.add("is-changed");
    old.replaceWith(next);
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    fillTokens(next);
    if (window.htmx) window.htmx.process(next);
    if (focus !== null) focusAgain(next, focus);
    const say = sayOf(next);
    if (status && say && say !== said) status.textContent = say;
    next.dispatchEvent(new CustomEvent("live:swapped", { bubbles: true }));
  }

  const sayOf = (element) =>
    (element.matches("[data-live-say]") ? element : element.querySelector("[data-live-say]"))?.textContent.trim();

  // Focus is found again by id, else by its place among what can hold focus.
  function focusWithin(element) {
    const active = document.activeElement;
    if (!active || !element.contains(active)) return null;
    return { id: active.id, place: [...element.querySelectorAll(FOCUSABLE)].indexOf(active) };
  }

  function focusAgain(element, { id, place }) {
    const same = id && document.getElementById(id);
    const target = same || (place < 0 ? element : element.querySelectorAll(FOCUSABLE)[place]);
    target?.focus({ preventScroll: true });
  }

  // A pushed fragment is the same for every listener, so its forms come without a CSRF token.
  function fillTokens(element) {
    const token = document.querySelector("[name=csrfmiddlewaretoken]");
    if (!token) return;
    for (const form of element.querySelectorAll("form[method=post]")) {
      if (!form.elements.csrfmiddlewaretoken) form.prepend(token.cloneNode());
    }
  }

  function apply(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    for (const element of [...template.content.children]) {
      const event = element.dataset.liveEvent;
      if (event) document.dispatchEvent(new CustomEvent(`live:${event}`, { detail: element.innerHTML }));
      else if (element.id) swap(element);
    }
  }

  async function catchUp() {
    if (pending !== null) return;
    pending = [];
    askedAt = Date.now();
    try {
      const response = await fetch(location.href, {
        headers: { "X-Live": "catch-up" },
        cache: "no-store",
        signal: AbortSignal.timeout(FETCH_MS),
      });
      if (response.redirected) return location.assign(response.url);
      if ([401, 403, 404, 410].includes(response.status)) return location.reload();
      if (!response.ok) throw new Error(`status ${response.status}`);
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      for (const id of (root.dataset.liveSwap || "").split(/\s+/)) {
        const next = id && page.getElementById(id);
        if (next) swap(document.adoptNode(next));
      }
      pending.forEach(apply);
      heardAt = Date.now();
      pollWorks = true;
      if (isOpen()) attempts = 0;
    } catch {
      pollWorks = false;
      if (isOpen() && Date.now() - heardAt > SILENCE_MS) socket.close();
    } finally {
      pending = null;
      show();
    }
  }

  function connect() {
    clearTimeout(retryTimer);
    if (socket !== null) return;
    const url = new URL(root.dataset.liveUrl, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    socket = new WebSocket(url);
    socket.addEventListener("open", () => {
      wasOpen = true;
      greetingTimer = setTimeout(catchUp, GREETING_MS);
      show();
    });
    socket.addEventListener("message", ({ data }) => {
      clearTimeout(greetingTimer);
      attempts = 0;
      heardAt = Date.now();
      if (pending !== null) pending.push(data);
      apply(data);
    });
    socket.addEventListener("close", () => {
      clearTimeout(greetingTimer);
      socket = null;
      if (wasOpen) {
        wasOpen = false;
        lostAt = Date.now();
        pollWorks = navigator.onLine;
        askedAt = lostAt - POLL_MS + PATIENCE_MS; // the first poll settles which banner is true
      }
      const wait = Math.min(30000, 500 * 2 ** attempts) * (0.5 + Math.random());
      attempts += 1;
      retryTimer = setTimeout(connect, wait);
      show();
    });
  }

  function state() {
    if (isOpen()) return "live";
    if (Date.now() - lostAt < PATIENCE_MS) return "connecting";
    return pollWorks ? "polling" : "lost";
  }

  function show() {
    const now = state();
    const age = Math.max(0, Math.round((Date.now() - heardAt) / 1000));
    if (badge && badge.dataset.state !== now) badge.dataset.state = now;
    if (!banner) return;
    if (banner.dataset.state !== now) {
      banner.dataset.state = now;
      banner.hidden = now === "live" || now === "connecting";
      const words = [...banner.querySelectorAll("[data-when]")].find((part) => part.dataset.when.split(" ").includes(now));
      if (status && !banner.hidden && words) status.textContent = words.textContent.trim();
    }
    for (const slot of banner.querySelectorAll("[data-live-age]")) {
      slot.textContent = `${Math.floor(age / 60)}:${String(age % 60).padStart(2, "0")}`;
    }
  }

  function tick() {
    const asked = Date.now() - askedAt;
    if (!document.hidden && asked >= POLL_MS && !isOpen()) catchUp();
    if (!document.hidden && isOpen() && Date.now() - heardAt >= SILENCE_MS && asked >= POLL_MS) catchUp();
    show();
  }

  function wake() {
    if (document.hidden) return;
    attempts = 0;
    if (isOpen()) catchUp();
    else connect();
  }

  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", wake);
  window.addEventListener("online", wake);
  window.addEventListener("pageshow", (event) => event.persisted && wake());
  connect();
})();
