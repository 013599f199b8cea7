"""Taking the audit or a list of people away, which is told in the audit too."""

from collections.abc import Mapping

from core import audit
from core.exports import take_export
from tenants.models import Branch, Chain, User


def note_people_export(*, actor: User, format: str, place: Chain | Branch | None) -> None:
    """Say who takes a list of people away; what they searched for may name somebody, so it is left out.

    Raises `TooMany`.
    """
    take_export(actor.pk)
    audit.record("people exported", actor, actor=actor, after={"format": format}, place=place)


def note_audit_export(*, actor: User, format: str, filters: Mapping[str, str], place: Chain | Branch | None) -> None:
    """Say who takes which part of the audit away, where whoever manages the place sees it too. Raises `TooMany`."""
    take_export(actor.pk)
    audit.record("audit exported", actor, actor=actor, after={"format": format, "filter": dict(filters)}, place=place)
