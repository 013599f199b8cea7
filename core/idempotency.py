"""One intent, one effect: the same key gives the same answer, whether twice in a row or fifty at once."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.errors import DomainError
from core.models import IdempotencyKey

KEEP = timedelta(days=2)
MAX_KEY_LENGTH = 200


class KeyReused(DomainError):
    """The key came before with another body."""

    status = 422
    code = "idempotency-key-reused"
    title = _("This key was used for another request")


def once(*, scope: str, key: str, request: Any, action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run `action` unless (scope, key) ran before; answer what it answered then.

    `action` runs in the same transaction as the key's row: when it raises, the key is free again. Fifty at once
    queue on the unique index; one runs, the others read its answer. Raises `KeyReused` for another `request`.
    """
    fingerprint = hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()
    with transaction.atomic():
        if not _claim(scope, key, fingerprint):
            row = IdempotencyKey.objects.get(scope=scope, key=key)
            if row.request_hash != fingerprint:
                raise KeyReused
            return dict(row.response or {})
        answer = action()
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE core_idempotencykey SET response = %s::jsonb WHERE scope = %s AND key = %s",
                [json.dumps(answer), scope, key],
            )
        return answer


def _claim(scope: str, key: str, fingerprint: str) -> bool:
    """True for the one that inserts; the others wait here until its transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO core_idempotencykey (scope, key, request_hash, created_at) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (scope, key) DO NOTHING",
            [scope, key, fingerprint, timezone.now()],
        )
        return bool(cursor.rowcount == 1)


def forget_old_keys() -> int:
    """Delete keys past their keeping time; a retry comes within minutes, not days."""
    return IdempotencyKey.objects.filter(created_at__lt=timezone.now() - KEEP).delete()[0]
