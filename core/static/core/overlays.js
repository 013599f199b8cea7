/* What native elements leave open.
 *
 * #sheet is a <dialog> whose #sheet-body HTMX fills: it opens when it gets content and closes when an answer brings none. Forms in
 * it are sent by HTMX, which keeps the page below; the same forms on their own page are plain. What opened it gets the focus back.
 * A form[data-once] is sent once, however often it is pressed; again after PATIENCE_MS, should the first try have been given up.
 * [data-dismiss] removes the .toast around it; a click on a dialog's backdrop closes it; a menu closes on Escape and outside clicks.
 */
(() => {
  "use strict";
  const sheet = document.getElementById("sheet");
  const body = document.getElementById("sheet-body");
  let openedBy = "";

  if (sheet && body) {
    body.addEventListener("htmx:afterSwap", (event) => {
      if (event.detail.target !== body) return;
      const filled = body.childElementCount > 0;
      if (filled && !sheet.open) {
        openedBy = document.activeElement?.id;
        sheet.showModal();
      }
      if (!filled && sheet.open) sheet.close();
    });
    body.addEventListener("submit", (event) => {
      event.preventDefault();
      window.htmx.ajax("POST", event.target.getAttribute("action"), { source: event.target, target: body, swap: "innerHTML show:none" });
    });
    sheet.addEventListener("close", () => {
      body.replaceChildren();
      // The browser gives the focus back to the very element that had it, which a live change may have replaced meanwhile.
      const active = document.activeElement;
      if (active === document.body || sheet.contains(active)) document.getElementById(openedBy)?.focus({ preventScroll: true });
    });
    sheet.addEventListener("click", (event) => event.target === sheet && sheet.close());
  }

  function failed() {
    const template = document.getElementById("toast-failed");
    const toasts = document.getElementById("toasts");
    if (template && toasts) toasts.replaceChildren(template.content.cloneNode(true));
    if (sheet?.open) sheet.close(); // a toast lies below a modal dialog
  }
  document.addEventListener("htmx:responseError", failed);
  document.addEventListener("htmx:sendError", failed);

  const PATIENCE_MS = 10000;

  function openAgain(form) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("[type=submit]")) button.removeAttribute("aria-disabled");
  }
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!("once" in form.dataset)) return;
    if ("sent" in form.dataset) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "";
    // Not `disabled`, which would take the focus away and what the button says out of the form.
    for (const button of form.querySelectorAll("[type=submit]")) button.setAttribute("aria-disabled", "true");
    setTimeout(openAgain, PATIENCE_MS, form);
  });
  window.addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach(openAgain));

  document.addEventListener("click", (event) => {
    event.target.closest("[data-dismiss]")?.closest(".toast")?.remove();
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && event.target.closest?.("details.menu[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
})();
