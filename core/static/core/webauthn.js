/* <form data-webauthn="create|get"> with a hidden [name=credential]: asks the browser for a passkey or security key, then sends it.
 *
 * What to ask for stands in <script type="application/json" id="…"> named by data-options, or comes from data-options-url.
 * [data-webauthn-failed] is shown when the person or the browser declines, [data-webauthn-missing] where no keys can be used.
 */
(() => {
  "use strict";

  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (sign) => sign.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replace(/\+/g, "-")
      .replace(/\//g, "_")
      .replace(/=+$/, "");
  const keys = (list) => (list || []).map((each) => ({ ...each, id: bytes(each.id) }));

  async function ask(kind, { publicKey }) {
    const challenge = bytes(publicKey.challenge);
    if (kind === "get") {
      return navigator.credentials.get({
        publicKey: { ...publicKey, challenge, allowCredentials: keys(publicKey.allowCredentials) },
      });
    }
    const user = { ...publicKey.user, id: bytes(publicKey.user.id) };
    return navigator.credentials.create({
      publicKey: { ...publicKey, challenge, user, excludeCredentials: keys(publicKey.excludeCredentials) },
    });
  }

  function plain(credential) {
    const response = { clientDataJSON: text(credential.response.clientDataJSON) };
    for (const part of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[part]) response[part] = text(credential.response[part]);
    }
    return {
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      authenticatorAttachment: credential.authenticatorAttachment ?? undefined,
      clientExtensionResults: credential.getClientExtensionResults(),
      response,
    };
  }

  async function options(form) {
    if (form.dataset.options) return JSON.parse(document.getElementById(form.dataset.options).textContent);
    const answer = await fetch(form.dataset.optionsUrl, { headers: { Accept: "application/json" } });
    return answer.json();
  }

  async function send(form) {
    const failed = form.querySelector("[data-webauthn-failed]");
    const button = form.querySelector("button[type=submit]");
    failed.hidden = true;
    button.disabled = true;
    try {
      const credential = await ask(form.dataset.webauthn, await options(form));
      form.elements.credential.value = JSON.stringify(plain(credential));
      form.submit();
    } catch {
      failed.hidden = false;
      button.disabled = false;
    }
  }

  // A key belongs to a name: browsers make none for a bare address.
  const nameless = /^[\d.]+$|:/.test(location.hostname);

  for (const form of document.querySelectorAll("form[data-webauthn]")) {
    if (!window.PublicKeyCredential || nameless) {
      form.querySelector("button[type=submit]").hidden = true;
      form.querySelector("[data-webauthn-missing]").hidden = false;
      continue;
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send(form);
    });
  }
})();
