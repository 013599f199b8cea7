"""Keys as programs, forms and addresses send them.

For idempotency: a database keeps no NUL, and a key is for machines.
"""

import re
from uuid import UUID, uuid4

from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.request import Request

from core.errors import InvalidInput
from core.idempotency import MAX_KEY_LENGTH

_KEY = re.compile(rf"[ -~]{{1,{MAX_KEY_LENGTH}}}")


def key_of_header(request: Request) -> str:
    """What a program sent as `Idempotency-Key`. Raises `InvalidInput` where that is no key."""
    key = request.headers.get("Idempotency-Key", "").strip()
    if not _KEY.fullmatch(key):
        raise InvalidInput(
            errors={
                "Idempotency-Key": [
                    _("Send one, of at most %(length)s printable ASCII characters.") % {"length": MAX_KEY_LENGTH}
                ]
            }
        )
    return key


def key_of_form(request: HttpRequest, field: str = "idempotency_key") -> str:
    """What our own form carries; a new key where somebody sent something else."""
    key = request.POST.get(field, "")
    return key if _KEY.fullmatch(key) else uuid4().hex


def key_of_text(text: str) -> UUID | None:
    """The id that somebody typed; None for anything else."""
    try:
        return UUID(text)
    except ValueError:
        return None
