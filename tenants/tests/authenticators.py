"""People's second factors in tests: an app on a phone, and a passkey in a browser, both as the standards say."""

import base64
import hashlib
import hmac
import json
import os
import struct
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2.cose import ES256
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData

from tenants.models import User
from tenants.services.second_factor import add_app

STEP_S = 30
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
ORIGIN = "http://testserver"


def code_of(secret: str, *, steps: int = 0) -> str:
    """What an app with this secret shows, now or `steps` later (RFC 6238 with SHA-1, 30 s, 6 digits)."""
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", step_now() + steps), hashlib.sha1).digest()
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start : start + 4])[0] & 0x7FFFFFFF) % 10**6:06d}"


def step_now() -> int:
    return int(time.time()) // STEP_S


def give_app(user: User, *, secret: str = SECRET) -> str:
    """The person has an app, set up a while ago; its secret."""
    add_app(user=user, secret=secret, step=step_now() - 10, first=True)
    return secret


class Passkey:
    """A key in a browser: answers what pages put into `webauthn-options`, as `webauthn.js` would send it.

    `asks_pin`: it checks who uses it; whoever stole the key does without.
    """

    def __init__(self, *, asks_pin: bool = True) -> None:
        self.asks_pin = asks_pin
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.id = os.urandom(16)
        self.owner = b""

    def create(self, options: dict[str, Any]) -> str:
        wanted = options["publicKey"]
        self.owner = websafe_decode(wanted["user"]["id"])
        credential = AttestedCredentialData.create(
            b"\0" * 16, self.id, ES256.from_cryptography_key(self.private.public_key())
        )
        data = AuthenticatorData.create(_hash(wanted["rp"]["id"]), 0x45, 0, credential)
        client = _client_data(CollectedClientData.TYPE.CREATE, wanted)
        attestation = AttestationObject.create("none", data, {})
        return self._answer(client, attestationObject=bytes(attestation))

    def get(self, options: dict[str, Any]) -> str:
        wanted = options["publicKey"]
        data = AuthenticatorData.create(_hash(wanted["rpId"]), 0x05 if self.asks_pin else 0x01, 1)
        client = _client_data(CollectedClientData.TYPE.GET, wanted)
        signature = self.private.sign(bytes(data) + client.hash, ec.ECDSA(SHA256()))
        return self._answer(client, authenticatorData=bytes(data), signature=signature, userHandle=self.owner)

    def _answer(self, client: CollectedClientData, **parts: bytes) -> str:
        response = {name: websafe_encode(part) for name, part in {"clientDataJSON": bytes(client), **parts}.items()}
        key = websafe_encode(self.id)
        extensions = {"credProps": {"rk": True}}
        return json.dumps(
            {"id": key, "rawId": key, "type": "public-key", "clientExtensionResults": extensions, "response": response}
        )


def _client_data(kind: Any, options: dict[str, Any]) -> CollectedClientData:
    return CollectedClientData.create(kind, websafe_decode(options["challenge"]), ORIGIN)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
