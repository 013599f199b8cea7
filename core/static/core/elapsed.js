/* <time data-elapsed-since="2026-01-31T10:11:00Z"> shows how long ago that is, to the second at first, then h:mm;
   with data-elapsed-clock, where there is little room, h:mm at once; with data-elapsed-ago “3 sec. ago”, up to days.
   <button data-resend-in="30"> can be pressed after so many seconds and counts down in its [data-countdown]. */
(() => {
  "use strict";
  const { lang } = document.documentElement;
  const unitDisplay = lang === "fa" ? "short" : "narrow"; // Persian's narrow units are Latin letters
  const unit = (name) => new Intl.NumberFormat(lang, { style: "unit", unit: name, unitDisplay, numberingSystem: "latn" });
  const seconds = unit("second");
  const minutes = unit("minute");
  const past = new Intl.RelativeTimeFormat(lang, { style: "short", numberingSystem: "latn" });
  const loadedAt = Date.now();
  const pad = (number) => String(number).padStart(2, "0");

  function words(total, clock) {
    if (total < 60 && !clock) return seconds.format(total);
    if (total < 3600 && !clock) return minutes.format(Math.floor(total / 60));
    return `${Math.floor(total / 3600)}:${pad(Math.floor(total / 60) % 60)}`;
  }

  function ago(total) {
    if (total < 60) return past.format(-total, "second");
    if (total < 3600) return past.format(-Math.floor(total / 60), "minute");
    if (total < 86400) return past.format(-Math.floor(total / 3600), "hour");
    return past.format(-Math.floor(total / 86400), "day");
  }

  function show() {
    if (document.hidden) return;
    for (const element of document.querySelectorAll("[data-elapsed-since]")) {
      const since = Date.parse(element.dataset.elapsedSince);
      const total = Math.max(0, Math.floor((Date.now() - since) / 1000));
      const text = "elapsedAgo" in element.dataset ? ago(total) : words(total, "elapsedClock" in element.dataset);
      if (!Number.isNaN(since) && element.textContent !== text) element.textContent = text;
    }
    for (const button of document.querySelectorAll("[data-resend-in]")) {
      const left = Math.ceil(Number(button.dataset.resendIn) - (Date.now() - loadedAt) / 1000);
      button.disabled = left > 0;
      const slot = button.querySelector("[data-countdown]");
      if (slot) slot.textContent = left > 0 ? `${Math.floor(left / 60)}:${pad(left % 60)}` : "";
    }
  }

  setInterval(show, 1000);
  document.addEventListener("visibilitychange", show);
  document.addEventListener("live:swapped", show);
  document.addEventListener("htmx:afterSwap", show);
  show();
})();
