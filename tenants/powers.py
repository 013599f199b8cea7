"""What the way somebody came in is worth. Set by whatever recognises a person, read by `tenants.access` alone."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Held:
    """One role held in one place: a grant without its rows. Neither chain nor branch: the whole platform."""

    role: str
    permissions: frozenset[str]
    chain_id: UUID | None = None
    branch_id: UUID | None = None
    expires_at: datetime | None = None
    grant_id: int | None = None


@dataclass(frozen=True, slots=True)
class Powers:
    """Limits of one way in.

    `second_factor`: given in this session, or carried by the token. Without it staff and managers are customers.
    `scopes`: the only permissions that count (personal tokens). `seen_as`: this one role instead of the person's own.
    `behind`: who acts as this person. `read_only`: nothing may be changed, whatever the grants say.
    """

    second_factor: bool = True
    scopes: frozenset[str] | None = None
    seen_as: Held | None = None
    behind: UUID | None = None
    read_only: bool = False


UNLIMITED = Powers()
