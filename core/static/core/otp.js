/* <input data-otp="6">: takes the code out of the SMS (WebOTP), accepts Persian and Arabic digits, and sends its form when full.
   The form is a [data-once], which overlays.js sends only once. */
(() => {
  "use strict";
  const input = document.querySelector("[data-otp]");
  if (!input) return;
  const length = Number(input.dataset.otp);
  const waiting = new AbortController();

  const latin = (text) =>
    text
      .replace(/[\u06f0-\u06f9]/g, (digit) => digit.charCodeAt(0) - 0x06f0)
      .replace(/[\u0660-\u0669]/g, (digit) => digit.charCodeAt(0) - 0x0660)
      .replace(/\D/g, "")
      .slice(0, length);

  function take(text) {
    const digits = latin(text);
    if (input.value !== digits) input.value = digits;
    if (digits.length === length) input.form.requestSubmit();
  }

  input.addEventListener("input", () => take(input.value));
  input.form.addEventListener("submit", () => waiting.abort());
  if ("OTPCredential" in window) {
    navigator.credentials
      .get({ otp: { transport: ["sms"] }, signal: waiting.signal })
      .then((credential) => credential && take(credential.code))
      .catch(() => {}); // declined or timed out: the person types it
  }
})();
