"""A person's own data: told on request, forgotten on request, and forgotten again after a restore."""

import errno
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core import audit, privacy
from core.errors import Unavailable
from core.models import StateChange
from tenants import access
from tenants.enums import Languages
from tenants.models import Erasure, SupportAccess, User
from tenants.services.people import close_support_access, require_another_manager

logger = logging.getLogger(__name__)


def export_person(*, person: User, actor: User | str) -> Iterator[str]:
    """Everything kept about a person as pieces of one JSON document, without secrets and without other people.

    Raises `NotAllowed` when the person outranks `actor`. The audit says who took it before the first piece is read.
    """
    if isinstance(actor, User):
        access.require_rank(actor, person, "users:export")
    audit.record("exported", person, actor=actor)
    return privacy.export(person)


def erase_person(*, user: User, actor: User | str) -> None:
    """Forget for good who a person is; what they did stays, done by nobody in particular. Twice is once.

    Addresses, second factors, sessions, tokens and grants go; rentals stay with the row, which names nobody any more.
    Raises `NotAllowed` when the person outranks `actor` or is the last manager, `NotErasable` while something of theirs
    runs, `Unavailable` when the journal can't be written. Locks the person.
    """
    with transaction.atomic():
        row = User.objects.select_for_update().get(pk=user.pk)
        if row.erased_at is not None:
            return
        if isinstance(actor, User):
            access.require_rank(actor, row, "users:erase")
        require_another_manager(row.pk)
        privacy.require_erasable(row)
        _forget(row, actor)
        write_journal(row.pk)


def reapply_erasures() -> int:
    """After a restore: erase again whoever the journal or the table says was erased. Returns how many were back.

    Whatever of theirs runs in the restored data does not matter: they are gone, and keep no cart.
    """
    journal = read_journal()
    table = set(Erasure.objects.values_list("user_id", flat=True))
    back = 0
    for user_id in sorted(journal | table):
        with transaction.atomic():
            row = User.objects.select_for_update().filter(pk=user_id).first()
            if row is None:
                continue
            back += row.erased_at is None
            _forget(row, "reapply_erasures")
            if user_id not in journal:
                write_journal(user_id)
    return back


def write_journal(user_id: UUID) -> None:
    """One line, on the disk before this returns: the journal outlives the database. Raises `Unavailable`.

    It begins with a line end of its own: one that a power cut or a full disk left unfinished does not swallow it.
    """
    path = Path(settings.ERASURE_JOURNAL)
    line = f"\n{json.dumps({'id': str(user_id), 'at': timezone.now().isoformat()})}\n".encode()
    try:
        _append(path, line)
    except OSError as error:
        raise Unavailable(_("The list of erasures can't be written. Nothing was erased.")) from error


def _append(path: Path, line: bytes) -> None:
    """Raises `OSError`, also where only a part could be written."""
    _flush(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), line)
    _flush(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY))  # or a new file's name is lost, its lines with it


def _flush(descriptor: int, line: bytes = b"") -> None:
    """Write, flush to the disk, close."""
    try:
        if line and os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, "written in part")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_journal() -> set[UUID]:
    """Everybody in it. A line that a power cut left unfinished is passed over: its erasure did not happen either."""
    path = Path(settings.ERASURE_JOURNAL)
    found = set()
    lines = path.read_text(errors="replace").split("\n") if path.exists() else ()
    for line in filter(None, lines):
        try:
            found.add(UUID(json.loads(line)["id"]))
        except (ValueError, KeyError, TypeError):
            logger.warning("a line of the erasure journal can't be read", extra={"journal": str(path)})
    return found


def _forget(row: User, actor: User | str) -> None:
    """Every row about them as its model says; then nobody comes in as this person again."""
    now = timezone.now()
    came_back = row.erased_at is None
    for opened in SupportAccess.objects.select_for_update().filter(staff=row, ended_at__isnull=True, ends_at__gt=now):
        close_support_access(opened=opened, actor=actor)
    User.objects.filter(pk=row.pk).update(
        erased_at=row.erased_at or now,
        is_active=False,
        password="!",  # noqa: S106 (matches no password)
        last_login=None,
        client_id=None,
        language=Languages.ENGLISH,
        token_version=F("token_version") + 1,
        access_version=uuid4(),
    )
    privacy.erase(row)
    Erasure.objects.get_or_create(user_id=row.pk)
    if came_back:
        audit.record("erased", row, actor=actor)
        StateChange.objects.create(
            entity=row._meta.label_lower,
            entity_id=row.pk,
            field="account",
            from_state="open" if row.is_active else "closed",
            to_state="erased",
            actor=str(actor.pk if isinstance(actor, User) else actor),
        )
