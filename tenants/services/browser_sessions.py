"""The browsers somebody is signed in with. A row that is gone ends its session at once: the cookie finds nothing."""

from core import audit
from core.errors import NotFound
from tenants.models import BrowserSession, User


def end_session(*, user: User, key: str) -> None:
    """End one of the person's own sessions; `key` is what its row is found by. Raises `NotFound`."""
    row = BrowserSession.objects.filter(user=user, pk=key).first()
    if row is None:
        raise NotFound
    row.delete()
    audit.record("session ended", user, actor=user)


def end_other_sessions(*, user: User, keep: str) -> int:
    """End all sessions of the person but the one whose row has this key. Returns how many."""
    ended = BrowserSession.objects.filter(user=user).exclude(pk=keep).delete()[0]
    if ended:
        audit.record("other sessions ended", user, actor=user, after={"sessions": ended})
    return ended
