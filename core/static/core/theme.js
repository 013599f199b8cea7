/* [data-theme-switch] goes round: as the device, light, dark. A cookie keeps it, so the server draws the right one at once. */
(() => {
  "use strict";
  const YEAR_S = 31536000;
  const html = document.documentElement;
  const order = ["", "light", "dark"];

  function label() {
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      for (const word of button.querySelectorAll("[data-theme-word]")) {
        word.hidden = word.dataset.themeWord !== (html.dataset.theme || "");
      }
    }
  }

  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    const next = order[(order.indexOf(html.dataset.theme || "") + 1) % order.length];
    if (next) html.dataset.theme = next;
    else delete html.dataset.theme;
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `theme=${next}; path=/; max-age=${next ? YEAR_S : 0}; samesite=lax${secure}`;
    label();
  });
  label();
})();
