"""The key that signs, made anew at each start, and its certificate."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID


class SigningKey:
    """RS256 (RFC 7518 §3.3)."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulated google")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365))
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.id = hashlib.sha256(self.certificate.encode()).hexdigest()[:40]

    def sign(self, claims: dict[str, object], *, key_id: str = "") -> str:
        head = _head("RS256", key_id or self.id)
        signed = f"{head}.{_encode(claims)}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64(signature)}"

    def sign_with_certificate(self, claims: dict[str, object]) -> str:
        """What a forger makes who hopes that the certificate is taken for a shared secret."""
        signed = f"{_head('HS256', self.id)}.{_encode(claims)}"
        return f"{signed}.{_base64(hmac.digest(self.certificate.encode(), signed.encode(), 'sha256'))}"

    def leave_unsigned(self, claims: dict[str, object]) -> str:
        return f"{_head('none', self.id)}.{_encode(claims)}."


def _head(algorithm: str, key_id: str) -> str:
    return _encode({"alg": algorithm, "kid": key_id, "typ": "JWT"})


def _encode(value: dict[str, object]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
